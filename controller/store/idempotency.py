"""Answers to writes that carried an ``Idempotency-Key``, so that a repeated request gets the same answer."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.tables import IDEMPOTENCY
from controller.store.upsert import insert_missing


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """``request_hash`` tells a repetition from another request under the same key."""

    request_hash: str
    status: int
    body: str
    created_at: float


async def get(connection: AsyncConnection, principal: str, key: str) -> StoredAnswer | None:
    """Returns the answer that was given before."""
    table = IDEMPOTENCY
    query = sa.select(table.c.request_hash, table.c.status, table.c.body, table.c.created_at).where(
        table.c.principal == principal, table.c.key == key
    )
    row = (await connection.execute(query)).mappings().one_or_none()
    return StoredAnswer(**row) if row is not None else None


async def put(
    connection: AsyncConnection, principal: str, key: str, *, request_hash: str, status: int, body: str, now: float
) -> None:
    """Keeps an answer; the first one stays. Write it in the transaction of the write itself."""
    row = {"principal": principal, "key": key, "request_hash": request_hash, "status": status, "body": body}
    await insert_missing(connection, IDEMPOTENCY, [{**row, "created_at": now}])


async def purge(connection: AsyncConnection, before: float) -> None:
    """Deletes answers given before a moment (Unix seconds)."""
    await connection.execute(sa.delete(IDEMPOTENCY).where(IDEMPOTENCY.c.created_at < before))
