"""Tests of destinations that one replica asks of another one's connector (T-17, D10)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from policy_world import START
from store_steps import raw_connection

from controller.agents import shared_tests
from controller.agents.destination_tests import PER_CONNECTOR, DestinationTests
from controller.agents.presence import AgentPresence, Presence
from controller.agents.shared_tests import ANSWER_MAX, SharedTests
from controller.publish import AgentKind
from controller.store import Store, asked_tests
from controller.store.asked_tests import AnsweredTest, AskedTest
from controller.store.tables_replicas import ASKED_TESTS
from protocol.control import Message
from protocol.control_tests import DestinationTested, TestDestination
from protocol.errors import LocalError, RefusedError
from protocol.reasons import Reason

TOLD = DestinationTested(0, None, ("10.0.0.5",), "10.0.0.5", 1500, 800)
QUESTION = AskedTest("one", "con_a", "wiki.internal", 443)


class SharedStore:
    """The store as several processes use it, whichever database it is."""

    shared = True

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@dataclass
class Replica:
    """One process's part."""

    here: DestinationTests
    presence: Presence
    tests: SharedTests
    orders: list[Message]

    def holds(self, connector: str, *, able: bool = True) -> object:
        return self.here.attach(connector, self.orders.append, able=able)

    def knows_of(self, connector: str) -> None:
        line = AgentPresence(connector, AgentKind.CONNECTOR, START, START, "0.1.0", "gate", 0)
        self.presence.elsewhere({connector: line})

    def answers(self, connector: str, told: DestinationTested = TOLD) -> None:
        for order in self.orders:
            assert isinstance(order, TestDestination)
            parts = (told.reason, told.addresses, told.address, told.resolve_us, told.connect_us)
            self.here.answered(connector, DestinationTested(order.test, *parts))


def replica(store: Store, name: str, *, deadline_s: float = 30) -> Replica:
    here, presence = DestinationTests(), Presence()
    tests = SharedTests(SharedStore(store), here, presence, replica=name, deadline_s=deadline_s)  # type: ignore[arg-type]
    return Replica(here, presence, tests, [])


@pytest.fixture
async def pair(url: str, store: Store) -> AsyncIterator[tuple[Replica, Replica]]:
    """Who is asked, and who holds ``con_a``."""
    other = await Store.open(url)
    asker, holder = replica(store, "one"), replica(other, "two")
    asker.knows_of("con_a")
    yield asker, holder
    await other.close()


async def rows(url: str) -> int:
    async with raw_connection(url) as connection:
        return int((await connection.execute(sa.select(sa.func.count()).select_from(ASKED_TESTS))).scalar_one())


async def outcome(asker: Replica, holder: Replica, *, answer: bool = True) -> DestinationTested | None:
    """Asks, with rounds of both until there is an end."""
    asking = asyncio.create_task(asker.tests.ask("con_a", "wiki.internal", 443))
    async with asyncio.timeout(30):
        while not asking.done():
            await holder.tests.round()
            if answer:
                holder.answers("con_a")
            await asker.tests.round()
    return await asking


async def test_a_connector_of_another_replica_is_asked_there(url: str, pair: tuple[Replica, Replica]) -> None:
    asker, holder = pair
    holder.holds("con_a")
    told = await outcome(asker, holder)
    assert told is not None
    assert (told.addresses, told.address, told.connect_us) == (("10.0.0.5",), "10.0.0.5", 800)
    (order,) = holder.orders
    assert isinstance(order, TestDestination)
    assert (order.host, order.port) == ("wiki.internal", 443)
    assert await rows(url) == 0


async def test_one_that_is_too_old_or_goes_away_is_told_as_it_is(pair: tuple[Replica, Replica]) -> None:
    asker, holder = pair
    line = holder.holds("con_a", able=False)
    assert await outcome(asker, holder) is None
    holder.here.detach("con_a", line)
    line = holder.holds("con_a")
    asking = asyncio.create_task(outcome(asker, holder, answer=False))
    async with asyncio.timeout(30):
        while not holder.orders:
            await asyncio.sleep(0.01)
    holder.here.detach("con_a", line)
    with pytest.raises(LocalError) as gone:
        await asking
    assert gone.value.reason is Reason.UNAVAILABLE


async def test_one_that_is_nowhere_is_not_waited_for(url: str, pair: tuple[Replica, Replica]) -> None:
    asker, _ = pair
    with pytest.raises(LocalError) as away:
        await asker.tests.ask("con_b", "wiki.internal", 443)
    assert away.value.reason is Reason.UNAVAILABLE
    assert await rows(url) == 0


async def test_a_connector_of_this_replica_needs_no_database(url: str, pair: tuple[Replica, Replica]) -> None:
    asker, _ = pair
    asker.holds("con_a")
    asking = asyncio.create_task(asker.tests.ask("con_a", "wiki.internal", 443))
    async with asyncio.timeout(30):
        while not asker.orders:
            await asyncio.sleep(0)
    asker.answers("con_a")
    assert (await asking) is not None
    assert await rows(url) == 0


async def test_f7_nobody_waits_for_a_replica_that_is_dead(url: str, store: Store) -> None:
    asker = replica(store, "one", deadline_s=0.2)
    asker.knows_of("con_a")
    with pytest.raises(LocalError) as late:
        await asker.tests.ask("con_a", "wiki.internal", 443)
    assert late.value.reason is Reason.UNAVAILABLE
    assert await rows(url) == 1
    async with raw_connection(url) as connection:
        await connection.execute(sa.update(ASKED_TESTS).values(asked=ASKED_TESTS.c.asked - asked_tests.FRESH_S))
    async with store.read() as connection:
        assert await asked_tests.open_questions(connection) == []
    async with raw_connection(url) as connection:
        await connection.execute(sa.update(ASKED_TESTS).values(asked=ASKED_TESTS.c.asked - asked_tests.KEEP_S))
    async with store.transact() as connection:
        await asked_tests.ask(connection, "one", AskedTest("two", "con_a", "wiki.internal", 443))
    assert await rows(url) == 1


async def test_a_question_is_taken_once_and_its_answer_is_its_takers(store: Store) -> None:
    async with store.transact() as connection:
        await asked_tests.ask(connection, "one", QUESTION)
        assert await asked_tests.open_questions(connection) == [QUESTION]
        assert await asked_tests.take(connection, "two", ["one", "none"]) == {"one"}
        assert await asked_tests.take(connection, "three", ["one"]) == frozenset()
        assert await asked_tests.open_questions(connection) == []
        await asked_tests.answer(connection, "three", AnsweredTest("one", None, "forged"))
        assert await asked_tests.collect(connection, "one") == []
        await asked_tests.answer(connection, "two", AnsweredTest("one", "unavailable", None))
        assert await asked_tests.collect(connection, "two") == []
        assert await asked_tests.collect(connection, "one") == [AnsweredTest("one", "unavailable", None)]
        assert await asked_tests.collect(connection, "one") == []


async def test_d10_few_questions_wait(pair: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch) -> None:
    asker, holder = pair
    holder.holds("con_a")
    monkeypatch.setattr(shared_tests, "ASKED_MAX", PER_CONNECTOR + 1)
    asking = [
        asyncio.create_task(asker.tests.ask("con_a", "wiki.internal", port)) for port in range(1, PER_CONNECTOR + 2)
    ]
    await asyncio.sleep(0)
    with pytest.raises(RefusedError) as full:
        await asker.tests.ask("con_a", "wiki.internal", 443)
    assert full.value.reason is Reason.LIMIT_EXCEEDED
    # And what is too much for the connector is refused where it is attached.
    async with asyncio.timeout(30):
        while not any(task.done() for task in asking):
            await holder.tests.round()
            await asker.tests.round()
        while not all(task.done() for task in asking):
            holder.answers("con_a")
            await asker.tests.round()
    ends = [task.exception() for task in asking]
    assert ends.count(None) == PER_CONNECTOR
    assert [type(end) for end in ends if end is not None] == [RefusedError]


@pytest.mark.parametrize("wrong", ["", "{}", '{"type":"heartbeat","clock_ms":1}', "no json"])
async def test_what_is_no_answer_is_unavailable(store: Store, pair: tuple[Replica, Replica], wrong: str) -> None:
    asker, _ = pair
    asking = asyncio.create_task(asker.tests.ask("con_a", "wiki.internal", 443))
    async with asyncio.timeout(30):
        while not asking.done():
            async with store.transact() as connection:
                for question in await asked_tests.open_questions(connection):
                    await asked_tests.take(connection, "mallory", [question.id])
                    await asked_tests.answer(connection, "mallory", AnsweredTest(question.id, None, wrong))
            await asker.tests.round()
    assert isinstance(asking.exception(), LocalError)


async def test_d10_an_answer_without_end_is_none(pair: tuple[Replica, Replica]) -> None:
    asker, holder = pair
    holder.holds("con_a")
    endless = DestinationTested(0, None, ("x" * ANSWER_MAX,))
    asking = asyncio.create_task(outcome(asker, holder, answer=False))
    async with asyncio.timeout(30):
        while not asking.done():
            holder.answers("con_a", endless)
            await asyncio.sleep(0.01)
    assert isinstance(asking.exception(), LocalError)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_notifications_are_enough(url: str, store: Store, pair: tuple[Replica, Replica]) -> None:
    asker, holder = pair
    other: Store = holder.tests._store._store  # type: ignore[attr-defined]
    holder.holds("con_a")
    work = [one.follow() for one in (store, other)] + [one.tests.run() for one in (asker, holder)]
    tasks = [asyncio.create_task(job) for job in work]
    asking = asyncio.create_task(asker.tests.ask("con_a", "wiki.internal", 443))
    async with asyncio.timeout(30):
        while not holder.orders:
            await asyncio.sleep(0.01)
        holder.answers("con_a")
        assert (await asking) is not None
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
