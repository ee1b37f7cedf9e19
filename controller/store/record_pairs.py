"""Both sides of a flow in the connection log: the connector's record and the client's, and where they contradict each other.

Two records are sides of one flow when they have its id and its device. The device of a client's record is the client itself
(``controller.agents.reports``), so that nobody can attach anything to the records of others; the id of the access token is in both.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.domain.two_sides import differences
from controller.store.record_rows import StoredRecord, stored, take_numbers
from controller.store.tables_connections import CONNECTIONS
from protocol.reasons import Reason

_T = TypeVar("_T")
_LOOKED_UP: Final = 500
"""Flows of one question."""
TOLD_MAX: Final = 2
"""Records of one flow by one client, and those of each side that are compared: whoever is honest has one."""
_UNKNOWN: Final = Reason.END_UNKNOWN.code
_SIDE: Final = {"connector": "client", "client": "connector"}

_FAR: Final = CONNECTIONS.alias("far")


def is_only_or_connectors() -> sa.ColumnElement[bool]:
    """The condition that keeps one record of each flow: the connector's, or the client's where there is no other."""
    table = CONNECTIONS
    twin = sa.exists().where(
        _FAR.c.flow == table.c.flow, _FAR.c.reporter == "connector", _FAR.c.device == table.c.device
    )
    return sa.or_(table.c.reporter == "connector", sa.not_(twin))


def both_told_the_end() -> sa.ColumnElement[bool]:
    """The condition that keeps records of flows that were compared to their end: it and one of the other side are closed."""
    table = CONNECTIONS
    told = sa.and_(table.c.ended_ms.is_not(None), table.c.outcome != _UNKNOWN)
    far_told = sa.and_(_FAR.c.ended_ms.is_not(None), _FAR.c.outcome != _UNKNOWN)
    other = sa.and_(_FAR.c.flow == table.c.flow, _FAR.c.device == table.c.device, _FAR.c.reporter != table.c.reporter)
    return sa.and_(told, sa.exists().where(other, far_told))


async def other_sides(connection: AsyncConnection, items: Sequence[StoredRecord]) -> dict[int, StoredRecord]:
    """Returns the other side's record of each of ``items`` that has one, by the id of the item; the newest if there are several."""
    found: dict[tuple[str, str, str], StoredRecord] = {}
    for flows in _chunks(sorted({item.record.flow for item in items})):
        last = _newest(flows).subquery()
        query = sa.select(CONNECTIONS).where(CONNECTIONS.c.id.in_(sa.select(last.c.id).where(last.c.place == 1)))
        for row in (await connection.execute(query)).mappings():
            found[row["flow"], row["device"], row["reporter"]] = stored(row)
    keys = {item.id: (item.record.flow, item.record.device, _SIDE.get(item.record.reporter, "")) for item in items}
    return {number: found[key] for number, key in keys.items() if key in found}


async def told_too_often(
    connection: AsyncConnection, client: str, records: Collection[tuple[str, int]]
) -> set[tuple[str, int]]:
    """Returns which of a client's records, as (flow, started_ms), are beyond TOLD_MAX of their flow.

    A client chooses the ids of its flows, and each record is compared with those of the other side.
    """
    table = CONNECTIONS
    told: dict[str, set[int]] = {}
    for flows in _chunks(sorted({flow for flow, _ in records})):
        query = sa.select(table.c.flow, table.c.started_ms)
        query = query.where(table.c.flow.in_(flows), table.c.reporter == "client", table.c.agent == client)
        for row in await connection.execute(query):
            told.setdefault(row.flow, set()).add(row.started_ms)
    beyond = set()
    for flow, started_ms in records:
        starts = told.setdefault(flow, set())
        if started_ms not in starts and len(starts) >= TOLD_MAX:
            beyond.add((flow, started_ms))
        else:
            starts.add(started_ms)
    return beyond


async def mark_differences(connection: AsyncConnection, flows: Collection[str]) -> int:
    """Writes into the records of these flows in what their two sides contradict each other; returns how many changed.

    A record whose mark changes gets a new number, so that followers learn of it.
    """
    marks: dict[int, set[str]] = {}
    before: dict[int, str] = {}
    for chunk in _chunks(sorted(flows)):
        for near, far in await _suspects(connection, chunk):
            over = not near.open and not far.open
            found = differences(near.record, far.record, over=over)
            for side in (near, far):
                before[side.id] = " ".join(side.differs)
                # A client that tells two stories of one flow: each of them counts.
                marks.setdefault(side.id, set()).update(found)
    changed = {number: text for number, found in marks.items() if (text := " ".join(sorted(found))) != before[number]}
    if changed:
        first = await take_numbers(connection, len(changed)) + 1
        change = sa.update(CONNECTIONS).where(CONNECTIONS.c.id == sa.bindparam("row"))
        change = change.values(differs=sa.bindparam("mark"), seq=sa.bindparam("number"))
        rows = [
            {"row": row, "mark": mark, "number": first + offset} for offset, (row, mark) in enumerate(changed.items())
        ]
        await connection.execute(change, rows)
    return len(changed)


async def _suspects(connection: AsyncConnection, flows: Sequence[str]) -> list[tuple[StoredRecord, StoredRecord]]:
    """The pairs that are not plainly alike: nearly all are, and those are not even read."""
    names = ("outcome", "bytes_up", "bytes_down", "resource", "connector", "host", "transport", "port")
    last = _newest(flows, "differs", *names).cte("last")
    near, far = last.alias("one"), last.alias("other")
    unlike = [near.c[name].is_distinct_from(far.c[name]) for name in names]
    pairs = sa.and_(near.c.flow == far.c.flow, near.c.device == far.c.device)
    query = (
        sa.select(near.c.id.label("near"), far.c.id.label("far"))
        .join_from(near, far, pairs)
        .where(near.c.reporter == "connector", far.c.reporter == "client")
        .where(near.c.place <= TOLD_MAX, far.c.place <= TOLD_MAX)
        .where(sa.or_(near.c.differs != "", far.c.differs != "", *unlike))
    )
    pairs_of_ids = [(row.near, row.far) for row in await connection.execute(query)]
    known: dict[int, StoredRecord] = {}
    for ids in _chunks(sorted({number for pair in pairs_of_ids for number in pair})):
        wanted = sa.select(CONNECTIONS).where(CONNECTIONS.c.id.in_(ids))
        known |= {row["id"]: stored(row) for row in (await connection.execute(wanted)).mappings()}
    return [(known[one], known[other]) for one, other in pairs_of_ids]


def _newest(flows: Sequence[str], *names: str) -> sa.Select[Any]:
    """The records of these flows with their ``place`` among those of their side: the newest has 1.

    Counted by the database: a client opens as many connections under one id as it likes, and no one of them is a reason to read
    all the others.
    """
    table = CONNECTIONS
    side = (table.c.flow, table.c.device, table.c.reporter)
    place = sa.func.row_number().over(partition_by=side, order_by=table.c.id.desc()).label("place")
    return sa.select(table.c.id, *side, *(table.c[name] for name in names), place).where(table.c.flow.in_(flows))


def _chunks(items: Sequence[_T]) -> list[Sequence[_T]]:
    return [items[start : start + _LOOKED_UP] for start in range(0, len(items), _LOOKED_UP)]
