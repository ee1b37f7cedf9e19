"""Where records are sent to, and how far each destination has got. A cursor moves only behind what was taken there.

Connections are followed by the number of their last change, events by their position: both become visible in their order, so
that nothing is skipped (D6).
"""

from dataclasses import dataclass, fields
from typing import Final, Literal

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store import events
from controller.store.events import StoredEvent
from controller.store.tables_connections import SINKS
from protocol.errors import RefusedError
from protocol.reasons import Reason

SINKS_MAX: Final = 16
DETAIL_MAX: Final = 300

SinkKind = Literal["https", "syslog_tls", "syslog_tcp"]


@dataclass(frozen=True, slots=True)
class Sink:
    """One destination. ``content`` holds ``connections``, ``events`` or both; times are Unix milliseconds.

    ``failing_ms``: since when nothing was taken; None while all is well. ``failure`` is a reason code.
    """

    id: str
    name: str
    kind: SinkKind
    destination: str
    ca_pem: str
    content: str
    created_ms: int
    connections_seq: int
    events_position: int
    delivered: int = 0
    delivered_ms: int | None = None
    failing_ms: int | None = None
    failure: str = ""
    detail: str = ""

    def takes(self, what: Literal["connections", "events"]) -> bool:
        """Whether it is sent this."""
        return what in self.content.split()


_FIELDS: Final = tuple(field.name for field in fields(Sink))


async def add(connection: AsyncConnection, sink: Sink) -> None:
    """Stores a new one. Raises RefusedError(ALREADY_EXISTS, LIMIT_EXCEEDED)."""
    count = (await connection.execute(sa.select(sa.func.count()).select_from(SINKS))).scalar_one()
    if count >= SINKS_MAX:
        raise RefusedError(Reason.LIMIT_EXCEEDED, f"there are {count} sinks")
    try:
        async with connection.begin_nested():
            await connection.execute(sa.insert(SINKS).values({name: getattr(sink, name) for name in _FIELDS}))
    except IntegrityError as exc:
        raise RefusedError(Reason.ALREADY_EXISTS, "a sink of this name exists") from exc


async def list_all(connection: AsyncConnection) -> list[Sink]:
    """Returns all of them, by name."""
    rows = (await connection.execute(sa.select(SINKS).order_by(SINKS.c.name))).mappings()
    return [_sink(row) for row in rows]


async def get(connection: AsyncConnection, sink: str) -> Sink | None:
    """Returns the one of this id."""
    row = (await connection.execute(sa.select(SINKS).where(SINKS.c.id == sink))).mappings().one_or_none()
    return None if row is None else _sink(row)


async def remove(connection: AsyncConnection, sink: str) -> bool:
    """Forgets a sink; tells whether it was there."""
    return int((await connection.execute(sa.delete(SINKS).where(SINKS.c.id == sink))).rowcount) == 1


async def last_event(connection: AsyncConnection) -> int:
    """Returns the position of the newest event."""
    return await events.last_position(connection)


async def events_after(connection: AsyncConnection, position: int, *, limit: int) -> list[StoredEvent]:
    """Returns the events behind ``position``, oldest first."""
    return [events.stored_event(row) for row in await events.rows_after(connection, position, limit=limit)]


async def took(
    connection: AsyncConnection, sink: str, *, connections_seq: int, events_position: int, count: int, now_ms: int
) -> None:
    """The destination took everything up to these numbers."""
    values = {
        "connections_seq": connections_seq,
        "events_position": events_position,
        "delivered": SINKS.c.delivered + count,
        "delivered_ms": now_ms,
        "failing_ms": None,
        "failure": "",
        "detail": "",
    }
    await connection.execute(sa.update(SINKS).where(SINKS.c.id == sink).values(values))


async def failed(connection: AsyncConnection, sink: str, reason: Reason, detail: str, now_ms: int) -> None:
    """The destination took nothing; the first moment of a row of failures stays."""
    values = {
        "failing_ms": sa.func.coalesce(SINKS.c.failing_ms, now_ms),
        "failure": reason.code,
        "detail": detail[:DETAIL_MAX],
    }
    await connection.execute(sa.update(SINKS).where(SINKS.c.id == sink).values(values))


def _sink(row: sa.RowMapping) -> Sink:
    return Sink(**{name: row[name] for name in _FIELDS})
