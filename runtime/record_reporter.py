"""Sends connection records to the controller, every few seconds or by the full batch (S-13).

The controller's work is mostly by the batch, so that records wait for each other a little; a full batch goes at once, and so
does everything when the agent is about to end.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import structlog

from protocol.control import Records, RecordsAccepted
from protocol.errors import RemoteError
from protocol.reasons import Reason
from runtime.agent_link import AgentLink
from runtime.backoff import Backoff
from runtime.record_queue import RecordQueue

PAUSE_S: Final = 1.0
"""Collects records into batches."""

_log = structlog.get_logger(__name__)


class Reporter:
    """``run`` must be running for records to leave.

    Args:
        queue: what is sent.
        link: over what.
        on_progress: called whenever some were stored.
        pause_s: how long records wait for others.
        since_ms: of a client, when its present life began (Unix ms); it is asked when the controller is there, and said once.
    """

    def __init__(
        self,
        queue: RecordQueue,
        link: AgentLink,
        *,
        on_progress: Callable[[], None],
        pause_s: Callable[[], float] = lambda: PAUSE_S,
        since_ms: Callable[[], int] | None = None,
    ) -> None:
        self._queue = queue
        self._link = link
        self._on_progress = on_progress
        self._pause_s = pause_s
        self._since_ms = since_ms
        self._due = asyncio.Event()
        self._now = asyncio.Event()
        self._hurrying = False

    @property
    def connected(self) -> bool:
        """Whether the controller is there."""
        return self._link.state.connected

    @property
    def unsaid(self) -> bool:
        """There is something to say even without records."""
        return self._since_ms is not None and self.connected

    def wake(self) -> None:
        """There is a record, or a connection over which one could go."""
        self._due.set()
        if self._queue.full_batch:
            self._now.set()

    def hurry(self) -> None:
        """From now on nothing waits for anything."""
        self._hurrying = True
        self._now.set()
        self._due.set()

    async def run(self) -> None:
        """Sends until cancelled."""
        backoff = Backoff()
        reported = 0
        while True:
            await self._due.wait()
            self._due.clear()
            await self._collect()
            await self._send(backoff)
            if self._queue.dropped != reported:
                reported = self._queue.dropped
                _log.error("records.dropped", total=reported)

    async def _collect(self) -> None:
        if not self._hurrying:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._now.wait()
            self._now.clear()

    async def _send(self, backoff: Backoff) -> None:
        """Sends one batch, and more only while they are full: the rest waits for its company."""
        while ((batch := self._queue.next_batch()) or self.unsaid) and self._link.state.connected:
            since_ms = None if self._since_ms is None else self._since_ms()
            try:
                message = Records(self._link.next_id(), batch.records, batch.opened, since_ms)
                reply = await self._link.request(message)
            except RemoteError as error:
                if error.reason is not Reason.TIMEOUT:
                    self._queue.came_back()
                elif self.connected:
                    self._queue.unanswered()
                await asyncio.sleep(backoff.next())
                continue
            backoff.reset()
            if isinstance(reply, RecordsAccepted):
                self._since_ms = None
                self._queue.acknowledged()
                self._on_progress()
            if not self._queue.full_batch and not self._hurrying:
                if len(self._queue):
                    self._due.set()
                return
