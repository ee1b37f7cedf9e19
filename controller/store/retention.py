"""Keeps the connection log true, and within its age and size. A duty of the leader; the event log is never shortened."""

from collections.abc import Collection
from typing import Final

from controller.store import acknowledgements, records
from controller.store.store import Store

ROUNDS_MAX: Final = 1_000
"""Transactions of one run; the next run goes on where this one stopped."""


async def purge_connections(store: Store, *, before_ms: int, keep_rows: int) -> int:
    """Deletes records that ended before ``before_ms`` (Unix ms), then each side's oldest beyond ``keep_rows``.

    Many short transactions instead of a long one: agents go on reporting meanwhile.

    Returns:
        How many were deleted.

    Raises:
        LocalError: UNAVAILABLE.
    """
    total = 0
    for _ in range(ROUNDS_MAX):
        async with store.transact() as connection:
            deleted = await records.purge(connection, before_ms)
        total += deleted
        if deleted < records.PURGE_MAX:
            break
    return total + await _purge_rows(store, keep_rows)


async def _purge_rows(store: Store, keep_rows: int) -> int:
    """What is too much is looked for in read transactions, which keep no reporter waiting, and each row of the log is passed once."""
    total = 0
    async with store.read() as connection:
        beyond = await records.beyond(connection, keep_rows)
    for reporter, last in beyond.items():
        passed = 0
        for _ in range(ROUNDS_MAX):
            async with store.read() as connection:
                ids = await records.ended_within(connection, reporter, passed, last)
            if not ids:
                break
            async with store.transact() as connection:
                total += await records.delete_ended(connection, ids)
            passed = ids[-1]
    return total


async def purge_acknowledgements(store: Store, *, before_ms: int) -> int:
    """Deletes acknowledgements from before a moment that newer ones have superseded; returns how many.

    Raises:
        LocalError: UNAVAILABLE.
    """
    total = 0
    for _ in range(ROUNDS_MAX):
        async with store.transact() as connection:
            deleted = await acknowledgements.purge(connection, before_ms)
        total += deleted
        if deleted < acknowledgements.PURGE_MAX:
            break
    return total


async def close_orphans(store: Store, *, known: Collection[str], silent_before_ms: int, now_ms: int) -> int:
    """Closes what agents reported as open that will never report its end.

    Args:
        store: the database.
        known: the agents that have a standing; the others' flows were cut with it.
        silent_before_ms: agents that were heard last before this moment have outlived every lease.
        now_ms: Unix milliseconds.

    Returns:
        How many flows were closed.

    Raises:
        LocalError: UNAVAILABLE.
    """
    async with store.read() as connection:
        agents = await records.agents_with_open(connection)
        heard = await acknowledgements.contacts(connection)
    closed = 0
    for agent in agents:
        if agent in known and heard.get(agent, now_ms) >= silent_before_ms:
            continue
        async with store.transact() as connection:
            newest = await records.newest(connection)
            ended, _ = await records.close_unknown(connection, agent, alive=(), newest=newest, now_ms=now_ms)
        closed += ended
    return closed
