"""The live end of the log in memory: the latest state, and every change in order for whoever follows it.

The feed moves only forward and only by whole committed transactions. It keeps the last HISTORY changes; a reader that is
further behind gets one Resync instead, never a silent gap.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final

from controller.domain.log import Change, Head, Resync
from controller.domain.state import PolicyState
from protocol.errors import LocalError
from protocol.ids import Revision
from protocol.reasons import Reason

HISTORY: Final = 4096
"""Changes kept for readers; states share their structure, so that one costs a few kilobytes."""


class Feed:
    """Lives in one event loop; ``advance`` is the only way in."""

    def __init__(self, head: Head, recent: Iterable[Change] = ()) -> None:
        self._head = head
        self._recent: deque[Change] = deque(recent, maxlen=HISTORY)
        self._moved = asyncio.Event()

    @property
    def head(self) -> Head:
        """The end of the log."""
        return self._head

    @property
    def state(self) -> PolicyState:
        """The latest policy state."""
        return self._head.state

    @property
    def recent(self) -> tuple[Change, ...]:
        """The last changes, oldest first; some of them from before the process started."""
        return tuple(self._recent)

    def advance(self, changes: Iterable[Change]) -> None:
        """Takes committed changes; those that are known already are skipped.

        Raises:
            LocalError: STATE_CORRUPT when one is missing: its reader would never learn of a revocation (T-7).
        """
        moved = False
        for change in changes:
            if change.position <= self._head.position:
                continue
            if change.position > self._head.position + 1:
                raise LocalError(Reason.STATE_CORRUPT, f"event {change.position} follows event {self._head.position}")
            self._head = change.after
            self._recent.append(change)
            moved = True
        if moved:
            waiting, self._moved = self._moved, asyncio.Event()
            waiting.set()

    async def wait_beyond(self, position: Revision | int) -> Head:
        """Waits until the log is longer than ``position`` and returns its head. The caller sets the deadline."""
        while self._head.position <= position:
            await self._moved.wait()
        return self._head

    def subscribe(self, after: Revision | None = None) -> "Subscription":
        """Returns a reader that starts behind ``after`` (default: behind the present head)."""
        return Subscription(self, self._head.position if after is None else after)

    def since(self, position: Revision) -> tuple[Change, ...] | Resync:
        """Returns the changes behind ``position`` without waiting."""
        if not self._recent or self._recent[0].position > position + 1:
            return Resync(self._head) if self._head.position > position else ()
        behind = self._head.position - position
        return tuple(self._recent)[-behind:] if behind > 0 else ()


class Subscription:
    """One reader's place in the log. It holds no queue: being slow costs a Resync, not memory."""

    def __init__(self, feed: Feed, position: Revision) -> None:
        self._feed = feed
        self.position = position

    async def next(self) -> tuple[Change, ...] | Resync:
        """Waits for what follows and returns all of it."""
        head = await self._feed.wait_beyond(self.position)
        changes = self._feed.since(self.position)
        self.position = head.position
        return changes
