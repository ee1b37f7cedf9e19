"""Appending to and reading the table ``events``.

Positions are dense: they are assigned under the log's lock in the transaction that inserts them (D6), so that a reader
which has seen position n has seen everything up to n.
"""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.domain.event_codec import event_from_json, event_to_json
from controller.domain.events import Event
from controller.domain.evolve import evolve
from controller.domain.log import Change, Head
from controller.store.chain import GENESIS, ChainVerifier, Row, canonical_json, row_hash
from controller.store.tables import EVENTS
from protocol.errors import LocalError
from protocol.reasons import Reason

BATCH: Final = 2_000
"""Rows fetched at once while folding."""
PAGE_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event as the audit log shows it."""

    position: int
    version: int
    event: Event
    actor: str
    at_ms: int
    request_id: str
    hash: str


def stored_event(row: Row) -> StoredEvent:
    """Reads a row of the log for people."""
    event = event_from_json(row.type, json.loads(row.data))
    return StoredEvent(row.position, row.version, event, row.actor, row.at_ms, row.request_id, row.hash)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events a page of the audit log holds; None does not restrict. ``type_prefix``: ``grant.``, ``grant.created``."""

    stream: str | None = None
    actor: str | None = None
    type_prefix: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


async def append(
    connection: AsyncConnection, head: Head, events: Sequence[Event], *, actor: str, at_ms: int, request_id: str
) -> list[Change]:
    """Inserts ``events`` behind ``head``. The caller holds the log's lock and ``head`` is the log's true end."""
    changes: list[Change] = []
    rows: list[dict[str, object]] = []
    for event in events:
        position = head.position + 1
        stream = event.stream
        row = {
            "position": position,
            "stream": stream,
            "version": head.state.version_of(stream) + 1,
            "type": event.TYPE,
            "data": canonical_json(event_to_json(event)),
            "actor": actor,
            "at_ms": at_ms,
            "request_id": request_id,
            "previous_hash": head.log_head or GENESIS,
        }
        digest = row_hash(
            position=position,
            stream=stream,
            version=head.state.version_of(stream) + 1,
            event_type=event.TYPE,
            data=str(row["data"]),
            actor=actor,
            at_ms=at_ms,
            request_id=request_id,
            previous_hash=head.log_head or GENESIS,
        )
        rows.append({**row, "hash": digest})
        after = Head(evolve(head.state, event, position, at_ms), digest)
        changes.append(Change(event, head.state, after))
        head = after
    if rows:
        await connection.execute(sa.insert(EVENTS), rows)
    return changes


async def last_position(connection: AsyncConnection) -> int:
    """Returns the position of the last event; 0 for an empty log."""
    return (await connection.execute(sa.select(sa.func.max(EVENTS.c.position)))).scalar_one() or 0


async def rows_after(connection: AsyncConnection, position: int, *, limit: int = BATCH) -> list[Row]:
    """Returns at most ``limit`` rows behind ``position``, in order."""
    query = sa.select(EVENTS).where(EVENTS.c.position > position).order_by(EVENTS.c.position).limit(limit)
    return [Row._make(row) for row in (await connection.execute(query)).fetchall()]


async def changes_after(connection: AsyncConnection, head: Head) -> AsyncIterator[Change]:
    """Folds what follows ``head``, verifying the hash chain on the way.

    Raises:
        LocalError: STATE_CORRUPT naming the event that is missing or was changed (T-7, T-70).
    """
    verifier = ChainVerifier(position=head.position, log_head=head.log_head or GENESIS)
    while True:
        rows = await rows_after(connection, head.position)
        for row in rows:
            fault = verifier.check(row)
            if fault is not None:
                raise LocalError(Reason.STATE_CORRUPT, f"event {fault.position}: {fault.detail}")
            event = event_from_json(row.type, json.loads(row.data))
            after = Head(evolve(head.state, event, row.position, row.at_ms), row.hash)
            yield Change(event, head.state, after)
            head = after
        if len(rows) < BATCH:
            return


async def page(
    connection: AsyncConnection, *, before: int | None = None, limit: int = 100, where: EventFilter | None = None
) -> list[StoredEvent]:
    """Returns a page of the audit log, newest first, of events below position ``before``."""
    query = sa.select(EVENTS).order_by(EVENTS.c.position.desc()).limit(min(limit, PAGE_MAX))
    if before is not None:
        query = query.where(EVENTS.c.position < before)
    if where is not None:
        query = query.where(*_conditions(where))
    rows = [Row(*row) for row in await connection.execute(query)]
    return [stored_event(row) for row in rows]


def _conditions(where: EventFilter) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if where.stream is not None:
        conditions.append(EVENTS.c.stream == where.stream)
    if where.actor is not None:
        conditions.append(EVENTS.c.actor == where.actor)
    if where.type_prefix is not None:
        conditions.append(EVENTS.c.type.startswith(where.type_prefix, autoescape=True))
    if where.since_ms is not None:
        conditions.append(EVENTS.c.at_ms >= where.since_ms)
    if where.until_ms is not None:
        conditions.append(EVENTS.c.at_ms < where.until_ms)
    return conditions
