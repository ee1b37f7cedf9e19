"""From the log in the database to a feed in memory, at the start of a process."""

import contextlib
import gc
import json
from collections import deque
from collections.abc import AsyncIterator, Iterator

from sqlalchemy.ext.asyncio import AsyncConnection

from controller.domain.bulk_fold import BulkFold
from controller.domain.event_codec import event_from_json
from controller.domain.log import Change, Head
from controller.domain.state import PolicyState
from controller.store import events, folds
from controller.store.chain import GENESIS, ChainVerifier, Row
from controller.store.feed import HISTORY, Feed
from controller.store.folds import Sealer
from protocol.errors import LocalError
from protocol.reasons import Reason


async def load(connection: AsyncConnection, seal: Sealer | None) -> tuple[Feed, Head]:
    """Folds the log, from a saved fold if ``seal`` opens one; returns the feed and the head that it began with.

    The last HISTORY events are folded change by change, for those who look at single changes; what lies before in one go.

    Raises:
        LocalError: STATE_CORRUPT naming the event that is missing or was changed (T-7, T-70); SCHEMA_NEWER.
    """
    with _without_collector():
        base = (await folds.load(connection, seal) if seal is not None else None) or Head(PolicyState())
        last = await events.last_position(connection)
        head = await _fold_to(connection, base, last - HISTORY) if last - HISTORY > base.position else base
        recent: deque[Change] = deque(maxlen=HISTORY)
        async for change in events.changes_after(connection, head):
            recent.append(change)
            head = change.after
        return Feed(head, recent), base


async def _fold_to(connection: AsyncConnection, base: Head, last: int) -> Head:
    verifier = ChainVerifier(position=base.position, log_head=base.log_head or GENESIS)
    folding = BulkFold(base.state)
    async for row in _rows_to(connection, base.position, last):
        fault = verifier.check(row)
        if fault is not None:
            raise LocalError(Reason.STATE_CORRUPT, f"event {fault.position}: {fault.detail}")
        folding.add(event_from_json(row.type, json.loads(row.data)), row.position, row.at_ms)
    return Head(folding.finish(), verifier.report().log_head)


async def _rows_to(connection: AsyncConnection, position: int, last: int) -> AsyncIterator[Row]:
    while position < last:
        rows = await events.rows_after(connection, position, limit=min(events.BATCH, last - position))
        if not rows:
            raise LocalError(Reason.STATE_CORRUPT, f"event {position + 1}: missing")
        for row in rows:
            yield row
        position = rows[-1].position


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Folding makes millions of objects and hardly any cycles: the collector would only walk over them again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
