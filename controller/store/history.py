"""The log as of then: states by position or time, and walks over a stretch of it.

Reading a stretch means folding it. The fold runs in a thread, one at a time per process, over a bounded number of events,
and starts at the nearest state that is known: one of the feed's or one that an earlier question left behind.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.domain.event_codec import event_from_json
from controller.domain.evolve import evolve
from controller.domain.history import STRIDE, SavedHeads
from controller.domain.log import Change, Head
from controller.domain.state import changed
from controller.store import events
from controller.store.chain import GENESIS, ChainVerifier, Row
from controller.store.store import Store
from controller.store.tables import EVENTS
from protocol.errors import LocalError
from protocol.ids import Revision
from protocol.reasons import Reason

BATCH: Final = 500
"""Rows fetched and folded at once; small, because turning rows into Python happens on the event loop."""
WALK_MAX: Final = 20_000
"""Events that one question looks at behind, and before, the moment that it asks about."""
TURN_S: Final = 20.0
"""How long a question waits for the one before it."""

_ID: Final = re.compile(r"[a-z]{3}_[A-Za-z0-9_-]{22}")
"""The shape of every id that events mention (``protocol.ids``)."""

Visit = Callable[[Change], None]


class History:
    """Answers about the past of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._saved = SavedHeads()
        self._turn = asyncio.Lock()

    async def position_at(self, at_ms: int) -> int:
        """Returns the position of the last event that is not later than ``at_ms`` (Unix ms); 0 before the first one.

        Times never decrease along the log, and positions are dense: twenty look-ups find one event in a million.
        """
        recent = self._store.feed.recent
        if recent and recent[0].after.state.at_ms <= at_ms:
            return max(change.position for change in recent if change.after.state.at_ms <= at_ms)
        low, high = 0, int(self._store.feed.head.position)
        async with self._store.read() as connection:
            while low < high:
                middle = (low + high + 1) // 2
                query = sa.select(EVENTS.c.at_ms).where(EVENTS.c.position == middle)
                if (await connection.execute(query)).scalar_one() <= at_ms:
                    low = middle
                else:
                    high = middle - 1
        return low

    async def head_at(self, position: int) -> Head:
        """Returns the head as of ``position`` (beyond the end: the end). Raises LocalError as ``walk``."""
        last = min(position, int(self._store.feed.head.position))
        if (near := self._in_memory(last)) is not None:
            return near
        async with self._exclusively(), self._store.read() as connection:
            return await self._fold(connection, self._saved.at_or_before(last), last)

    async def walk(self, first: Head, last: int, visit: Visit) -> None:
        """Calls ``visit`` with every change behind ``first`` up to position ``last``, in order.

        ``visit`` runs in another thread when the stretch must be read, so that it must only touch what it was given.

        Raises:
            LocalError: STATE_CORRUPT naming a damaged event (T-70); UNAVAILABLE when others ask too much.
        """
        recent = self._store.feed.recent
        if recent and recent[0].position <= first.position + 1:
            for change in recent:
                if first.position < change.position <= last:
                    visit(change)
            return
        async with self._exclusively(), self._store.read() as connection:
            await self._fold(connection, first, last, visit)

    async def sift(self, first: Head, last: int, ids: frozenset[str], visit: Visit) -> None:
        """As ``walk``, but calls ``visit`` only with changes that concern ``ids``, or what those come to mention.

        The states in them are folds of just these events on top of ``first``: true of what is asked about, not of the rest.
        Several times quicker than a walk, because most of a log is other people's sign-ins.
        """
        recent = self._store.feed.recent
        if recent and recent[0].position <= first.position + 1:
            await self.walk(first, last, visit)
            return
        async with self._exclusively(), self._store.read() as connection:
            rows: list[Row] = []
            position = int(first.position)
            while position < last:
                part = await events.rows_after(connection, position, limit=min(BATCH, last - position))
                if not part or part[-1].position != position + len(part):
                    raise LocalError(Reason.STATE_CORRUPT, f"an event behind {position} is missing")
                rows += part
                position = part[-1].position
        await asyncio.to_thread(_fold_sparsely, first, rows, ids, visit)

    def _in_memory(self, position: int) -> Head | None:
        feed = self._store.feed
        if position == feed.head.position:
            return feed.head
        recent = feed.recent
        if recent and recent[0].position <= position:
            return recent[position - recent[0].position].after
        saved = self._saved.at_or_before(position)
        return saved if saved.position == position else None

    @contextlib.asynccontextmanager
    async def _exclusively(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(TURN_S):
                await self._turn.acquire()
        except TimeoutError as exc:
            raise LocalError(Reason.UNAVAILABLE, "too many questions about the past at once") from exc
        try:
            yield
        finally:
            self._turn.release()

    async def _fold(self, connection: AsyncConnection, head: Head, last: int, visit: Visit | None = None) -> Head:
        """Folds from ``head`` to ``last``, leaving states behind for later questions. The caller has the turn."""
        while head.position < last:
            rows = await events.rows_after(connection, head.position, limit=min(BATCH, last - head.position))
            if not rows:
                raise LocalError(Reason.STATE_CORRUPT, f"event {head.position + 1}: missing")
            before = head.position
            head = await asyncio.to_thread(_fold_rows, head, rows, visit)
            if head.position // STRIDE > before // STRIDE:
                self._saved.keep(head)
        self._saved.keep(head)
        return head


def _fold_rows(head: Head, rows: Sequence[Row], visit: Visit | None) -> Head:
    verifier = ChainVerifier(position=head.position, log_head=head.log_head or GENESIS)
    for row in rows:
        fault = verifier.check(row)
        if fault is not None:
            raise LocalError(Reason.STATE_CORRUPT, f"event {fault.position}: {fault.detail}")
        event = event_from_json(row.type, json.loads(row.data))
        after = Head(evolve(head.state, event, row.position, row.at_ms), row.hash)
        if visit is not None:
            visit(Change(event, head.state, after))
        head = after
    return head


def _fold_sparsely(first: Head, rows: Sequence[Row], ids: frozenset[str], visit: Visit) -> None:
    """Folds the rows that mention one of ``ids``, and all those about anything that these mention.

    A group that somebody joins, a policy that a grant is under: such things are mentioned by what is asked about, and what
    happened to them is in their own streams.
    """
    about = {row.position: {row.stream, *_ID.findall(row.data)} for row in rows}
    direct = {position for position, found in about.items() if not ids.isdisjoint(found)}
    needed = ids.union(*(about[position] for position in direct))
    head = first
    for row in rows:
        if row.position not in direct and row.stream not in needed:
            continue
        event = event_from_json(row.type, json.loads(row.data))
        before = changed(head.state, position=Revision(row.position - 1))
        after = Head(evolve(before, event, row.position, row.at_ms), row.hash)
        visit(Change(event, before, after))
        head = after
