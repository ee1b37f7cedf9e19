"""Keeps the connection log within its age and size. A duty of the leader; the event log is never shortened."""

from typing import Final

from controller.store import records
from controller.store.store import Store

ROUNDS_MAX: Final = 1_000
"""Transactions of one run; the next run goes on where this one stopped."""


async def purge_connections(store: Store, *, before_ms: int, keep_rows: int) -> int:
    """Deletes records that ended before ``before_ms`` (Unix ms), then the oldest beyond ``keep_rows``.

    Many short transactions instead of a long one: agents go on reporting meanwhile.

    Returns:
        How many were deleted.

    Raises:
        LocalError: UNAVAILABLE.
    """
    total = 0
    for _ in range(ROUNDS_MAX):
        async with store.transact() as connection:
            deleted = await records.purge(connection, before_ms, keep_rows=keep_rows)
        total += deleted
        if deleted < records.PURGE_MAX:
            break
    return total
