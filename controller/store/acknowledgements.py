"""What agents have said that they enforce, and when each was heard last: the proof of enforcement outlives processes.

Times ``*_ms`` are Unix milliseconds by the clock of the replica that heard the agent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.tables_connections import AGENT_CONTACTS, ENFORCEMENT_ACKS
from controller.store.upsert import insert_missing
from protocol.ids import Epoch, Revision

PURGE_MAX: Final = 5_000
"""Rows deleted in one transaction."""


@dataclass(frozen=True, slots=True)
class Ack:
    """``agent`` enforces ``revision`` of ``epoch`` since ``at_ms``; ``digest`` is that of the token that it was sent."""

    agent: str
    epoch: Epoch
    revision: Revision
    digest: str
    at_ms: int


async def note(connection: AsyncConnection, acks: Sequence[Ack]) -> None:
    """Stores acknowledgements; of one that comes again the first stays."""
    rows = [
        {
            "agent": ack.agent,
            "epoch": ack.epoch,
            "revision": ack.revision,
            "digest": ack.digest,
            "at_ms": ack.at_ms,
        }
        for ack in sorted(acks, key=lambda ack: ack.agent)
    ]
    await insert_missing(connection, ENFORCEMENT_ACKS, rows)


async def first_since(connection: AsyncConnection, epoch: Epoch, revision: Revision) -> dict[str, Ack]:
    """Returns, by agent, the first acknowledgement of ``revision`` or a later one of the same or a later epoch."""
    table = ENFORCEMENT_ACKS
    enough = sa.or_(table.c.epoch > epoch, sa.and_(table.c.epoch == epoch, table.c.revision >= revision))
    return await _one_each(connection, enough, [table.c.at_ms, table.c.epoch, table.c.revision])


async def latest(connection: AsyncConnection) -> dict[str, Ack]:
    """Returns each agent's newest acknowledgement."""
    table = ENFORCEMENT_ACKS
    order = [table.c.epoch.desc(), table.c.revision.desc(), table.c.at_ms.desc()]
    return await _one_each(connection, sa.true(), order)


async def since(connection: AsyncConnection, at_ms: int) -> list[Ack]:
    """Returns the acknowledgements from a moment on, oldest first."""
    table = ENFORCEMENT_ACKS
    query = sa.select(table).where(table.c.at_ms >= at_ms).order_by(table.c.at_ms)
    return [_ack(row) for row in (await connection.execute(query)).mappings()]


async def heard(connection: AsyncConnection, contacts: Mapping[str, int]) -> None:
    """Notes when agents were heard (agent -> Unix ms); an older moment never replaces a newer one."""
    if not contacts:
        return
    insert: Any = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(AGENT_CONTACTS)
    newer = insert.excluded.heard_ms > AGENT_CONTACTS.c.heard_ms
    statement = insert.on_conflict_do_update(
        index_elements=["agent"], set_={"heard_ms": insert.excluded.heard_ms}, where=newer
    )
    await connection.execute(statement, [{"agent": agent, "heard_ms": at} for agent, at in sorted(contacts.items())])


async def contacts(connection: AsyncConnection) -> dict[str, int]:
    """Returns when each agent was heard last (Unix ms)."""
    return {row.agent: row.heard_ms for row in await connection.execute(sa.select(AGENT_CONTACTS))}


async def purge(connection: AsyncConnection, before_ms: int) -> int:
    """Deletes at most PURGE_MAX acknowledgements from before a moment; each agent's newest one stays.

    Returns:
        How many were deleted.
    """
    old, newer = ENFORCEMENT_ACKS, ENFORCEMENT_ACKS.alias()
    superseded = sa.exists().where(newer.c.agent == old.c.agent, newer.c.at_ms > old.c.at_ms)
    query = sa.select(old.c.agent, old.c.epoch, old.c.revision).where(old.c.at_ms < before_ms, superseded)
    rows = (await connection.execute(query.limit(PURGE_MAX))).all()
    if rows:
        key = [old.c[name] == sa.bindparam(f"of_{name}") for name in ("agent", "epoch", "revision")]
        given = [{"of_agent": row.agent, "of_epoch": row.epoch, "of_revision": row.revision} for row in rows]
        await connection.execute(sa.delete(old).where(*key), given)
    return len(rows)


async def _one_each(
    connection: AsyncConnection, condition: sa.ColumnElement[bool], order: Sequence[sa.ColumnElement[int]]
) -> dict[str, Ack]:
    table = ENFORCEMENT_ACKS
    place = sa.func.row_number().over(partition_by=table.c.agent, order_by=order)
    ranked = sa.select(table, place.label("place")).where(condition).subquery()
    rows = (await connection.execute(sa.select(ranked).where(ranked.c.place == 1))).mappings()
    return {row["agent"]: _ack(row) for row in rows}


def _ack(row: sa.RowMapping) -> Ack:
    return Ack(row["agent"], Epoch(row["epoch"]), Revision(row["revision"]), row["digest"], row["at_ms"])
