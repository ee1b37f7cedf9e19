"""Both sides of a flow in the connection log: the connector's record and the client's, and where they contradict each other.

Two records are sides of one flow when they have its id and its device. The device of a client's record is the client itself
(``controller.agents.reports``), so that nobody can attach anything to the records of others; the id of the access token is in both.
"""

from collections.abc import Collection, Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.domain.two_sides import differences
from controller.store.record_rows import StoredRecord, stored, take_numbers
from controller.store.tables_connections import CONNECTIONS
from protocol.reasons import Reason

_LOOKED_UP: Final = 500
"""Flows of one question."""
_UNKNOWN: Final = Reason.END_UNKNOWN.code
_SIDE: Final = {"connector": "client", "client": "connector"}

_FAR: Final = CONNECTIONS.alias("far")
_NEAR: Final = CONNECTIONS.alias("near")


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
        query = sa.select(CONNECTIONS).where(CONNECTIONS.c.flow.in_(flows)).order_by(CONNECTIONS.c.id)
        for row in (await connection.execute(query)).mappings():
            found[row["flow"], row["device"], row["reporter"]] = stored(row)
    keys = {item.id: (item.record.flow, item.record.device, _SIDE.get(item.record.reporter, "")) for item in items}
    return {number: found[key] for number, key in keys.items() if key in found}


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
    near, far = _NEAR, _FAR
    names = ("outcome", "bytes_up", "bytes_down", "resource", "connector", "host", "transport", "port")
    unlike = [near.c[name].is_distinct_from(far.c[name]) for name in names]
    pairs = sa.and_(near.c.flow == far.c.flow, near.c.device == far.c.device)
    query = (
        sa.select(near.c.id.label("near"), far.c.id.label("far"))
        .join_from(near, far, pairs)
        .where(near.c.flow.in_(flows), near.c.reporter == "connector", far.c.reporter == "client")
        .where(sa.or_(near.c.differs != "", far.c.differs != "", *unlike))
    )
    ids = [(row.near, row.far) for row in await connection.execute(query)]
    if not ids:
        return []
    wanted = sa.select(CONNECTIONS).where(CONNECTIONS.c.id.in_({number for pair in ids for number in pair}))
    known = {row["id"]: stored(row) for row in (await connection.execute(wanted)).mappings()}
    return [(known[one], known[other]) for one, other in ids]


def _chunks(items: Sequence[str]) -> list[Sequence[str]]:
    return [items[start : start + _LOOKED_UP] for start in range(0, len(items), _LOOKED_UP)]
