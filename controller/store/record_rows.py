"""Rows of the connection log as values, and the numbers that they get."""

from dataclasses import dataclass, fields
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.tables_connections import CONNECTIONS, COUNTERS
from protocol.control import ConnectionRecord
from protocol.reasons import Reason

COUNTER: Final = "connections"
COLUMNS: Final = tuple(column.name for column in CONNECTIONS.columns)
_FIELDS: Final = tuple(field.name for field in fields(ConnectionRecord))


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record, the agent that reported it, its place (``id``: the page cursor) and the number of its last change.

    While ``open``, the record's ``ended_ms``, bytes and outcome are as of the last report. ``differs``: in what the other side of
    the flow contradicts it (``controller.domain.two_sides``).
    """

    id: int
    agent: str
    record: ConnectionRecord
    open: bool = False
    seq: int = 0
    differs: tuple[str, ...] = ()


async def take_numbers(connection: AsyncConnection, count: int) -> int:
    """Returns the last number before ``count`` fresh ones; others wait for this transaction's end."""
    up = sa.update(COUNTERS).where(COUNTERS.c.name == COUNTER).values(value=COUNTERS.c.value + count)
    return int((await connection.execute(up.returning(COUNTERS.c.value))).scalar_one()) - count


def row_of(number: int, agent: str, record: ConnectionRecord, *, is_open: bool) -> tuple[object, ...]:
    """Returns the values of COLUMNS, in their order."""
    return (
        number,
        number,
        record.flow,
        record.reporter,
        agent,
        record.token,
        record.device,
        record.user,
        record.resource,
        record.network,
        record.connector,
        record.relay,
        record.path,
        record.host,
        record.address,
        record.transport,
        record.port,
        record.started_ms,
        record.ended_ms,
        None if is_open else record.ended_ms,
        record.bytes_up,
        record.bytes_down,
        None if is_open else record.outcome,
        record.revision,
        " ".join(record.grants),
        "",
    )


def stored(row: sa.RowMapping) -> StoredRecord:
    """Returns a row of CONNECTIONS as a value."""
    values = {name: row[name] for name in _FIELDS}
    values["grants"] = tuple(row["grants"].split())
    is_open = row["ended_ms"] is None
    if is_open:
        values["ended_ms"], values["outcome"] = row["seen_ms"], Reason.NORMAL.code
    return StoredRecord(
        row["id"], row["agent"], ConnectionRecord(**values), is_open, row["seq"], tuple(row["differs"].split())
    )
