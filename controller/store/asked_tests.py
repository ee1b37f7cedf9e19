"""Tests of destinations that one replica asks of a connector attached to another one (T-17).

A row is a question, then also its answer; whoever asked takes it away. A question is good for FRESH_S and is gone after
KEEP_S whatever becomes of those who asked or were to answer: how many there are is bounded by how many each replica asks at
a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.follow import knock
from controller.store.replicas import database_now
from controller.store.tables_replicas import ASKED_TESTS

FRESH_S: Final = 12.0
"""As long as whoever asks waits, about: nothing is dialled for somebody who has given up."""
KEEP_S: Final = 60.0
READ_MAX: Final = 256
"""Questions read at once."""


@dataclass(frozen=True, slots=True)
class AskedTest:
    """A question: ``connector`` is to dial ``host``."""

    id: str
    connector: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class AnsweredTest:
    """Its end: the reason's code when the connector was not asked or did not answer, else the text of what it told."""

    id: str
    failed: str | None
    answer: str | None


async def ask(connection: AsyncConnection, asker: str, test: AskedTest) -> None:
    """Puts a question, and wakes the other replicas."""
    await purge(connection)
    row = {"id": test.id, "connector": test.connector, "host": test.host, "port": test.port, "asker": asker}
    await connection.execute(sa.insert(ASKED_TESTS).values(**row, asked=database_now(connection)))
    await knock(connection)


async def open_questions(connection: AsyncConnection) -> list[AskedTest]:
    """Returns the questions that no replica has taken yet, oldest first."""
    table = ASKED_TESTS
    query = sa.select(table.c.id, table.c.connector, table.c.host, table.c.port)
    query = query.where(table.c.holder.is_(None), table.c.asked > database_now(connection) - FRESH_S)
    rows = await connection.execute(query.order_by(table.c.asked, table.c.id).limit(READ_MAX))
    return [AskedTest(*row) for row in rows.fetchall()]


async def take(connection: AsyncConnection, holder: str, tests: Sequence[str]) -> frozenset[str]:
    """Takes questions; returns those that no other replica was quicker to take: each is asked of its connector once."""
    table = ASKED_TESTS
    statement = sa.update(table).where(table.c.id.in_(sorted(tests)), table.c.holder.is_(None)).values(holder=holder)
    return frozenset(str(taken) for taken in (await connection.execute(statement.returning(table.c.id))).scalars())


async def answer(connection: AsyncConnection, holder: str, answered: AnsweredTest) -> None:
    """Answers a question that ``holder`` has taken, and wakes whoever asked."""
    table = ASKED_TESTS
    ours = sa.update(table).where(table.c.id == answered.id, table.c.holder == holder)
    await connection.execute(ours.values(failed=answered.failed, answer=answered.answer))
    await knock(connection)


async def collect(connection: AsyncConnection, asker: str) -> list[AnsweredTest]:
    """Takes away and returns what was answered to ``asker``."""
    table = ASKED_TESTS
    done = sa.or_(table.c.failed.is_not(None), table.c.answer.is_not(None))
    statement = sa.delete(table).where(table.c.asker == asker, done)
    rows = await connection.execute(statement.returning(table.c.id, table.c.failed, table.c.answer))
    return [AnsweredTest(*row) for row in rows.fetchall()]


async def purge(connection: AsyncConnection) -> None:
    """Forgets what nobody waits for any more."""
    await connection.execute(sa.delete(ASKED_TESTS).where(ASKED_TESTS.c.asked < database_now(connection) - KEEP_S))
