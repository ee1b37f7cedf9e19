"""The connection log: what flows, flowed, or was denied, as agents reported it. Kept apart from the event log, with retention.

One row is one side's view of one flow. It appears when the flow has been open for a while, or at its end; its bytes grow while it
is open, and at the end it is closed. ``seq`` tells of the start and the end only: followers are not sent every step. Batches are written by one statement each, with numbers taken from a counter whose row stays locked until the
transaction commits: whoever follows ``seq`` misses nothing (D6).
"""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.record_pairs import both_told_the_end, is_only_or_connectors, mark_differences, told_too_often
from controller.store.record_rows import COLUMNS, COUNTER, StoredRecord, row_of, stored, take_numbers
from controller.store.tables_connections import CONNECTIONS, COUNTERS
from protocol.control import ConnectionRecord
from protocol.reasons import Reason

PAGE_MAX: Final = 500
PURGE_MAX: Final = 5_000
"""Rows deleted in one transaction, so that records are not kept waiting."""
CLIENTS_PART: Final = 4
"""Of the rows that are kept at most, clients always have one in so many."""
UNKNOWN: Final = Reason.END_UNKNOWN.code

_KEY: Final = "flow, reporter, agent, started_ms"
_CHANGED: Final = ("relay", "path", "address", "seen_ms", "ended_ms", "outcome")
_GROWING: Final = ("bytes_up", "bytes_down")


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which records a page holds; None does not restrict. ``denied``: outcome other than ``normal``.

    ``since_ms`` and ``until_ms`` are about the end; an open flow has none, and so is on the page of ``open`` only.
    """

    user: str | None = None
    device: str | None = None
    resource: str | None = None
    network: str | None = None
    connector: str | None = None
    outcome: str | None = None
    denied: bool | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    open: bool | None = None
    flow: str | None = None
    token: str | None = None
    reporter: str | None = None
    differs: bool | None = None
    """True: the other side of the flow contradicts it. False: both sides have told the end, and nothing contradicts."""
    outcomes: tuple[str, ...] | None = None
    """Any of these."""
    one_side: bool = False
    """One record of each flow: the connector's, or the client's where there is no other."""


async def append(
    connection: AsyncConnection,
    agent: str,
    records: Sequence[ConnectionRecord],
    opened: Sequence[ConnectionRecord] = (),
) -> int:
    """Stores what ``agent`` reported; what it reported before is skipped, the end of an open flow closes its row.

    Returns:
        How many were left out because a client told too many stories of one flow.
    """
    batch: dict[tuple[str, int], tuple[ConnectionRecord, bool]] = {}
    for record in opened:
        batch[record.flow, record.started_ms] = (record, True)
    for record in records:
        batch[record.flow, record.started_ms] = (record, False)
    told = [key for key, (record, _) in batch.items() if record.reporter == "client"]
    beyond = await told_too_often(connection, agent, told) if told else set()
    for key in beyond:
        del batch[key]
    if not batch:
        return len(beyond)
    number = await take_numbers(connection, len(batch)) + 1
    rows = [
        row_of(number + offset, agent, record, is_open=is_open)
        for offset, (record, is_open) in enumerate(batch.values())
    ]
    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql(_SQLITE_INSERT, rows)
    else:
        # One statement for the whole batch; an array per column would cost the client more than one text.
        text = json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in rows])
        await connection.exec_driver_sql(_POSTGRESQL_INSERT, (text,))
    await mark_differences(connection, {flow for flow, _ in batch})
    return len(beyond)


async def page(
    connection: AsyncConnection, *, before: int | None = None, limit: int = 100, where: RecordFilter | None = None
) -> list[StoredRecord]:
    """Returns a page, newest first, of records whose id is below ``before``."""
    query = sa.select(CONNECTIONS).order_by(CONNECTIONS.c.id.desc()).limit(min(limit, PAGE_MAX))
    if before is not None:
        query = query.where(CONNECTIONS.c.id < before)
    if where is not None:
        query = query.where(*_conditions(where))
    return [stored(row) for row in (await connection.execute(query)).mappings()]


async def changed_after(connection: AsyncConnection, seq: int, *, limit: int = PAGE_MAX) -> list[StoredRecord]:
    """Returns what appeared or changed behind change number ``seq``, in order; nothing is skipped, whoever writes."""
    query = sa.select(CONNECTIONS).where(CONNECTIONS.c.seq > seq).order_by(CONNECTIONS.c.seq).limit(limit)
    return [stored(row) for row in (await connection.execute(query)).mappings()]


async def newest(connection: AsyncConnection) -> int:
    """Returns the number of the last change: what is written later has a higher ``id`` and ``seq``."""
    query = sa.select(COUNTERS.c.value).where(COUNTERS.c.name == COUNTER)
    return int((await connection.execute(query)).scalar_one())


async def open_flows(
    connection: AsyncConnection,
    *,
    devices: Collection[str] | None = None,
    resources: Collection[str] | None = None,
    limit: int = PAGE_MAX,
) -> list[StoredRecord]:
    """Returns the flows that are open now, oldest first, as connectors reported them.

    Args:
        connection: a read transaction.
        devices: only of these devices; None: of all.
        resources: only to these resources; None: to all.
        limit: how many at most.
    """
    table = CONNECTIONS
    query = sa.select(table).where(_is_open(), table.c.reporter == "connector").order_by(table.c.id).limit(limit)
    if devices is not None:
        query = query.where(table.c.device.in_(list(devices)))
    if resources is not None:
        query = query.where(table.c.resource.in_(list(resources)))
    return [stored(row) for row in (await connection.execute(query)).mappings()]


async def count_open(connection: AsyncConnection, *, user: str | None = None) -> int:
    """Returns how many flows are open now, as connectors reported them; with ``user`` only his."""
    query = sa.select(sa.func.count()).select_from(CONNECTIONS).where(_is_open(), CONNECTIONS.c.reporter == "connector")
    if user is not None:
        query = query.where(CONNECTIONS.c.user == user)
    return int((await connection.execute(query)).scalar_one())


async def close_unknown(
    connection: AsyncConnection, agent: str, *, alive: Collection[str], newest: int, now_ms: int
) -> tuple[int, int]:
    """Brings the open flows of ``agent`` into line with those that are really alive.

    A row whose flow is not alive is closed with END_UNKNOWN; a real end that comes later replaces that. A row that was closed
    so although its flow lives is opened again.

    Args:
        connection: a write transaction.
        agent: who reports.
        alive: the flows that the agent has open.
        newest: the number of the last change when ``alive`` was said; what was written later is not concerned.
        now_ms: the moment since which they are known to be over.

    Returns:
        How many were closed, and how many opened again.
    """
    table = CONNECTIONS
    living = frozenset(alive)
    ours = sa.select(table.c.id, table.c.flow).where(table.c.agent == agent, table.c.id <= newest)
    dead = [row.id for row in await connection.execute(ours.where(_is_open())) if row.flow not in living]
    back: list[int] = []
    for chunk in _chunks(sorted(living)):
        given_up = ours.where(table.c.outcome == UNKNOWN, table.c.flow.in_(chunk))
        back += [row.id for row in await connection.execute(given_up)]
    await _mark(connection, dead, ended_ms=now_ms, outcome=UNKNOWN)
    await _mark(connection, back, ended_ms=None, outcome=None)
    return len(dead), len(back)


async def close_before(connection: AsyncConnection, agent: str, since_ms: int) -> int:
    """Closes the flows of ``agent`` that it has open since before its present life began, at ``since_ms`` (Unix ms).

    Returns:
        How many were closed.
    """
    table = CONNECTIONS
    earlier = sa.select(table.c.id).where(table.c.agent == agent, _is_open(), table.c.started_ms < since_ms)
    dead = list((await connection.execute(earlier)).scalars())
    await _mark(connection, dead, ended_ms=since_ms, outcome=UNKNOWN)
    return len(dead)


async def _mark(connection: AsyncConnection, ids: Sequence[int], *, ended_ms: int | None, outcome: str | None) -> None:
    if not ids:
        return
    number = await take_numbers(connection, len(ids))
    change = sa.update(CONNECTIONS).where(CONNECTIONS.c.id == sa.bindparam("row"))
    change = change.values(ended_ms=ended_ms, outcome=outcome, seq=sa.bindparam("number"))
    rows = [{"row": item, "number": number + offset} for offset, item in enumerate(ids, 1)]
    await connection.execute(change, rows)


def _chunks(items: Sequence[str]) -> Iterator[Sequence[str]]:
    return (items[start : start + PAGE_MAX] for start in range(0, len(items), PAGE_MAX))


async def agents_with_open(connection: AsyncConnection) -> list[str]:
    """Returns the agents that have flows open."""
    query = sa.select(CONNECTIONS.c.agent).where(_is_open()).distinct().order_by(CONNECTIONS.c.agent)
    return list((await connection.execute(query)).scalars())


async def purge(connection: AsyncConnection, before_ms: int) -> int:
    """Deletes at most PURGE_MAX records of flows that ended before a moment (Unix ms).

    Returns:
        How many were deleted: call it again while that is PURGE_MAX.
    """
    table = CONNECTIONS
    some = sa.select(table.c.id).where(table.c.ended_ms < before_ms).limit(PURGE_MAX)
    return int((await connection.execute(sa.delete(table).where(table.c.id.in_(some)))).rowcount)


async def beyond(connection: AsyncConnection, keep_rows: int) -> dict[str, int]:
    """Returns up to which id each side's records are too many for ``keep_rows``; a side that is not in it has none of those.

    All but one in CLIENTS_PART are the connectors', however much clients report; clients have what these leave.
    """
    table = CONNECTIONS
    connectors = keep_rows - keep_rows // CLIENTS_PART
    ours = sa.select(sa.func.count()).select_from(table).where(table.c.reporter == "connector")
    clients = keep_rows - min(connectors, (await connection.execute(ours)).scalar_one())
    found: dict[str, int] = {}
    for reporter, keep in (("connector", connectors), ("client", clients)):
        newest = sa.select(table.c.id).where(table.c.reporter == reporter).order_by(table.c.id.desc())
        last = (await connection.execute(newest.offset(keep).limit(1))).scalar_one_or_none()
        if last is not None:
            found[reporter] = last
    return found


async def ended_within(connection: AsyncConnection, reporter: str, after: int, last: int) -> list[int]:
    """Returns the ids of at most PURGE_MAX ended records of one side, behind ``after`` and up to ``last``, in order."""
    table = CONNECTIONS
    ended = sa.select(table.c.id).where(table.c.reporter == reporter, table.c.ended_ms.is_not(None))
    query = ended.where(table.c.id > after, table.c.id <= last).order_by(table.c.id).limit(PURGE_MAX)
    return list((await connection.execute(query)).scalars())


async def delete_ended(connection: AsyncConnection, ids: Sequence[int]) -> int:
    """Deletes these, at most PURGE_MAX, unless they were opened again; returns how many."""
    table = CONNECTIONS
    these = sa.delete(table).where(table.c.id.in_(ids), table.c.ended_ms.is_not(None))
    return int((await connection.execute(these)).rowcount)


def _is_open() -> sa.ColumnElement[bool]:
    return CONNECTIONS.c.ended_ms.is_(None)


def _conditions(where: RecordFilter) -> list[sa.ColumnElement[bool]]:
    table = CONNECTIONS
    names = ("user", "device", "resource", "network", "connector", "outcome", "flow", "token", "reporter")
    conditions = [table.c[name] == value for name in names if (value := getattr(where, name)) is not None]
    if where.denied is not None:
        # Spelt out, so that the partial index is found.
        normal: sa.ColumnElement[str] = sa.literal_column("'normal'")
        conditions.append(table.c.outcome != normal if where.denied else table.c.outcome == normal)
    if where.outcomes is not None:
        conditions.append(table.c.outcome.in_(where.outcomes))
    if where.differs is not None:
        none: sa.ColumnElement[str] = sa.literal_column("''")
        conditions += [table.c.differs != none] if where.differs else [table.c.differs == none, both_told_the_end()]
    if where.one_side:
        conditions.append(is_only_or_connectors())
    if where.open is not None:
        conditions.append(_is_open() if where.open else table.c.ended_ms.is_not(None))
    if where.since_ms is not None:
        conditions.append(table.c.ended_ms >= where.since_ms)
    if where.until_ms is not None:
        conditions.append(table.c.ended_ms < where.until_ms)
    return conditions


def _upsert(source: str) -> str:
    """An end closes what is open or was given up; a start opens again what was given up; what is open grows and never shrinks;
    all else is known already."""
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    goes_on = "connections.ended_ms IS NULL AND excluded.ended_ms IS NULL"
    changes = [f"{name} = excluded.{name}" for name in _CHANGED]
    changes += [
        f"{name} = CASE WHEN connections.{name} > excluded.{name} THEN connections.{name} ELSE excluded.{name} END"
        for name in _GROWING
    ]
    changes.append(f"seq = CASE WHEN {goes_on} THEN connections.seq ELSE excluded.seq END")
    grew = " OR ".join(f"connections.{name} < excluded.{name}" for name in _GROWING)
    return (
        f"INSERT INTO connections ({names}) {source} ON CONFLICT ({_KEY}) DO UPDATE SET {', '.join(changes)} "
        f"WHERE (connections.ended_ms IS NULL OR connections.outcome = '{UNKNOWN}') AND (NOT ({goes_on}) OR {grew})"
    )


_SQLITE_INSERT: Final = _upsert(f"VALUES ({', '.join('?' * len(COLUMNS))})")
_TYPES: Final = ", ".join(
    f'"{column.name}" {"text" if isinstance(column.type, sa.Text) else "bigint"}' for column in CONNECTIONS.columns
)
_POSTGRESQL_INSERT: Final = _upsert(
    f"SELECT * FROM json_to_recordset(%s::json) AS given({_TYPES}) WHERE true"  # noqa: S608 - constants
)
