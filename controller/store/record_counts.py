"""How many connections ended how, over time: what the connection log adds up to."""

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.record_pairs import is_only_or_connectors
from controller.store.tables_connections import CONNECTIONS
from protocol.reasons import Reason

ROWS_MAX: Final = 100_000
"""Records that are counted at most: a bounded answer takes a bounded time."""


@dataclass(frozen=True, slots=True)
class Counted:
    """``count`` flows that ended with ``outcome`` in the bucket that begins at ``start_ms`` (Unix ms)."""

    start_ms: int
    outcome: str
    count: int


async def by_bucket(
    connection: AsyncConnection, *, since_ms: int, bucket_ms: int, user: str | None = None
) -> tuple[list[Counted], bool]:
    """Counts the flows that ended since a moment, the newest ROWS_MAX of them, each once; tells whether there are more.

    Args:
        connection: a read transaction.
        since_ms: Unix ms.
        bucket_ms: the length of a bucket; buckets begin at multiples of it.
        user: only of this user or service account.
    """
    table = CONNECTIONS
    newest = sa.select(table.c.ended_ms, table.c.outcome).where(table.c.ended_ms >= since_ms, is_only_or_connectors())
    if user is not None:
        newest = newest.where(table.c.user == user)
    newest = newest.order_by(table.c.ended_ms.desc())
    some = newest.limit(ROWS_MAX).subquery()
    number = some.c.ended_ms // bucket_ms
    query = sa.select(number.label("number"), some.c.outcome, sa.func.count().label("count"))
    query = query.group_by("number", some.c.outcome).order_by("number", some.c.outcome)
    rows = (await connection.execute(query)).all()
    counted = [Counted(int(row.number) * bucket_ms, row.outcome, int(row[2])) for row in rows]
    if sum(item.count for item in counted) < ROWS_MAX:
        return counted, False
    return counted, (await connection.execute(newest.offset(ROWS_MAX).limit(1))).first() is not None


async def first_served_ms(connection: AsyncConnection) -> int | None:
    """Returns when the first connection that a connector served began, as far as records are kept (Unix ms)."""
    table = CONNECTIONS
    served = sa.or_(table.c.outcome == Reason.NORMAL.code, table.c.ended_ms.is_(None))
    query = sa.select(table.c.started_ms).where(table.c.reporter == "connector", served).order_by(table.c.id).limit(1)
    found = (await connection.execute(query)).scalar_one_or_none()
    return None if found is None else int(found)
