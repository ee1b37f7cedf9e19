"""What the controller's processes over one PostgreSQL tell each other: that they live, which agents they hold, and which
assertions are spent. Only PostgreSQL is shared; over SQLite there is one process that serves, and none of this is used.

An agent has one row, and the replica that wrote it last holds the agent: a first ``claim`` takes the row, and whoever finds
on ``refresh`` that it is another's has lost the agent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.tables_replicas import AGENT_PRESENCE, REPLICAS, SPENT_ASSERTIONS
from controller.store.upsert import put, put_many

DEAD_AFTER_S: Final = 10.0
"""A replica that did not say for so long that it lives is gone, and with it what it held."""
OVERLAP_S: Final = 5.0
FORGET_AFTER_S: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Replica:
    """One process. Times are Unix seconds by the database's clock."""

    id: str
    hostname: str
    software: str
    started: float
    seen: float


@dataclass(frozen=True, slots=True)
class Held:
    """An agent's connection to a replica; ``attachment`` tells it from others of the same agent. ``line`` is opaque here."""

    agent: str
    attachment: str
    line: str


@dataclass(frozen=True, slots=True)
class HeldElsewhere:
    """What another replica says of an agent."""

    agent: str
    replica: str
    line: str
    online: bool
    changed: float


async def beat(connection: AsyncConnection, replica: str, *, hostname: str, software: str) -> None:
    """Says that this replica lives."""
    now = database_now(connection)
    row = {"id": replica, "hostname": hostname, "software": software, "started": now, "seen": now}
    await put(connection, REPLICAS, row, keep=("started",))


async def leave(connection: AsyncConnection, replica: str) -> None:
    """Says that this replica ends in order: nobody waits for it."""
    await connection.execute(sa.delete(AGENT_PRESENCE).where(AGENT_PRESENCE.c.replica == replica))
    await connection.execute(sa.delete(REPLICAS).where(REPLICAS.c.id == replica))


async def living(connection: AsyncConnection) -> list[Replica]:
    """Returns the replicas that live, in order of their start."""
    alive = REPLICAS.c.seen > database_now(connection) - DEAD_AFTER_S
    query = sa.select(REPLICAS).where(alive).order_by(REPLICAS.c.started, REPLICAS.c.id)
    return [Replica(**row) for row in (await connection.execute(query)).mappings()]


async def claim(connection: AsyncConnection, replica: str, held: Sequence[Held]) -> None:
    """These agents have come to this replica, wherever they were before."""
    # In order of the agents, here and below: replicas that write the same rows wait for each other in no circle.
    ordered = sorted(held, key=lambda item: item.agent)
    rows = [{"agent": item.agent, "attachment": item.attachment, "line": item.line} for item in ordered]
    await put_many(connection, AGENT_PRESENCE, rows, replica=replica, online=True, changed=database_now(connection))


async def refresh(connection: AsyncConnection, replica: str, held: Sequence[Held]) -> list[str]:
    """Replaces what is said of agents that this replica claimed before; returns those that another one has claimed since."""
    lost: list[str] = []
    for item in sorted(held, key=lambda item: item.agent):
        values = {"line": item.line, "changed": database_now(connection)}
        statement = sa.update(AGENT_PRESENCE).where(*_ours(replica, item.agent, item.attachment)).values(values)
        if (await connection.execute(statement)).rowcount == 0:
            lost.append(item.agent)
    return lost


async def release(connection: AsyncConnection, replica: str, gone: Sequence[tuple[str, str]]) -> None:
    """These (agent, attachment) left this replica; those that another one has claimed since are not touched."""
    for agent, attachment in sorted(gone):
        # Where it was and what it ran is of no more use to anybody.
        values = {"online": False, "line": "", "changed": database_now(connection)}
        await connection.execute(sa.update(AGENT_PRESENCE).where(*_ours(replica, agent, attachment)).values(values))


async def held_elsewhere(connection: AsyncConnection, replica: str, since: float | None = None) -> list[HeldElsewhere]:
    """Returns what was said of the other replicas' agents since ``since`` (OVERLAP_S earlier), or all of it.

    A transaction stamps its rows before it commits, so that a reader must look back a little.
    """
    table = AGENT_PRESENCE
    query = sa.select(table.c.agent, table.c.replica, table.c.line, table.c.online, table.c.changed)
    query = query.where(table.c.replica != replica)
    if since is not None:
        query = query.where(table.c.changed > since - OVERLAP_S)
    return [HeldElsewhere(*row) for row in (await connection.execute(query)).fetchall()]


async def spend_assertions(
    connection: AsyncConnection, spent: Sequence[tuple[str, str, float]]
) -> frozenset[tuple[str, str]]:
    """Spends many (agent, jti, expires) in one statement; returns the (agent, jti) that were not spent before (D7).

    PostgreSQL only.
    """
    # In order, as above: replicas that are shown the same assertions wait for each other in no circle.
    ordered = sorted(spent)
    columns = tuple(list(column) for column in zip(*ordered, strict=True))
    rows = await connection.exec_driver_sql(_SPEND_MANY, columns)
    return frozenset((str(row.agent), str(row.jti)) for row in rows)


_SPEND_MANY: Final = """
    INSERT INTO spent_assertions (agent, jti, expires)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::float8[])
    ON CONFLICT DO NOTHING RETURNING agent, jti
"""


async def purge(connection: AsyncConnection, now: float) -> None:
    """Forgets assertions that no verifier takes any more at ``now``, and replicas that are long gone."""
    await connection.execute(sa.delete(SPENT_ASSERTIONS).where(SPENT_ASSERTIONS.c.expires < now))
    gone = database_now(connection) - FORGET_AFTER_S
    await connection.execute(sa.delete(REPLICAS).where(REPLICAS.c.seen < gone))
    of_nobody = AGENT_PRESENCE.c.replica.not_in(sa.select(REPLICAS.c.id)) & (AGENT_PRESENCE.c.changed < gone)
    await connection.execute(sa.delete(AGENT_PRESENCE).where(of_nobody))


def _ours(replica: str, agent: str, attachment: str) -> tuple[sa.ColumnElement[bool], ...]:
    table = AGENT_PRESENCE
    return table.c.agent == agent, table.c.replica == replica, table.c.attachment == attachment


def database_now(connection: AsyncConnection) -> sa.ColumnElement[float]:
    """The database's clock, so that replicas need not agree about theirs."""
    if connection.dialect.name == "postgresql":
        return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double)
    return (sa.func.julianday("now") - 2440587.5) * 86400.0
