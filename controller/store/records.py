"""Connection records: what flowed, or was denied, as agents reported it. Kept apart from the log, with retention."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.tables import CONNECTION_RECORDS
from controller.store.upsert import insert_missing
from protocol.control import ConnectionRecord

PAGE_MAX: Final = 500
_FIELDS: Final = tuple(field.name for field in fields(ConnectionRecord))


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record, the agent that reported it, and its place (``id``: the page cursor)."""

    id: int
    agent: str
    record: ConnectionRecord


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which records a page holds; None does not restrict. ``denied``: outcome other than ``normal``."""

    user: str | None = None
    device: str | None = None
    resource: str | None = None
    network: str | None = None
    connector: str | None = None
    outcome: str | None = None
    denied: bool | None = None
    since_ms: int | None = None
    until_ms: int | None = None


async def append(connection: AsyncConnection, agent: str, records: Sequence[ConnectionRecord]) -> None:
    """Stores records that ``agent`` reported; those that it reported before are skipped."""
    rows = [{**_row(record), "agent": agent} for record in records]
    await insert_missing(connection, CONNECTION_RECORDS, rows)


async def page(
    connection: AsyncConnection, *, before: int | None = None, limit: int = 100, where: RecordFilter | None = None
) -> list[StoredRecord]:
    """Returns a page, newest first, of records whose id is below ``before``."""
    table = CONNECTION_RECORDS
    query = sa.select(table).order_by(table.c.id.desc()).limit(min(limit, PAGE_MAX))
    if before is not None:
        query = query.where(table.c.id < before)
    if where is not None:
        query = query.where(*_conditions(where))
    return [_stored(row) for row in (await connection.execute(query)).mappings()]


async def purge(connection: AsyncConnection, before_ms: int) -> None:
    """Deletes the records of flows that ended before a moment (Unix ms)."""
    await connection.execute(sa.delete(CONNECTION_RECORDS).where(CONNECTION_RECORDS.c.ended_ms < before_ms))


def _conditions(where: RecordFilter) -> list[sa.ColumnElement[bool]]:
    table = CONNECTION_RECORDS
    conditions = [
        table.c[name] == value
        for name in ("user", "device", "resource", "network", "connector", "outcome")
        if (value := getattr(where, name)) is not None
    ]
    if where.denied is not None:
        conditions.append(table.c.outcome != "normal" if where.denied else table.c.outcome == "normal")
    if where.since_ms is not None:
        conditions.append(table.c.ended_ms >= where.since_ms)
    if where.until_ms is not None:
        conditions.append(table.c.ended_ms < where.until_ms)
    return conditions


def _row(record: ConnectionRecord) -> dict[str, object]:
    row = {name: getattr(record, name) for name in _FIELDS}
    return {**row, "grants": " ".join(record.grants)}


def _stored(row: sa.RowMapping) -> StoredRecord:
    values = {name: row[name] for name in _FIELDS}
    return StoredRecord(row["id"], row["agent"], ConnectionRecord(**{**values, "grants": tuple(row["grants"].split())}))
