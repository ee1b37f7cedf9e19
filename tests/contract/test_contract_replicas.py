"""What replicas tell each other: who lives, who holds which agent, what is spent (D7; T-20's rule across replicas)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from policy_world import START
from store_steps import give, new_network, raw_connection

from controller.agents.presence import Presence
from controller.agents.shared_replays import SharedReplays
from controller.agents.sharing import FULL_EVERY, Sharing
from controller.publish import AgentKind
from controller.store import Store, replicas
from protocol.control import Heartbeat, Hello
from protocol.errors import RefusedError
from protocol.ids import RelayId
from protocol.reasons import Reason
from protocol.tokens.claims import Assertion
from runtime.clock import ManualClock

HELLO = Hello(1, "0.1.0", START * 1000, hostname="gate")


class Ended:
    """Stands for the hub: notes which agents it was told have moved."""

    def __init__(self) -> None:
        self.agents: list[str] = []
        self.places: dict[str, str] = {}

    def moved(self, agent: str) -> None:
        self.agents.append(agent)

    def seen_elsewhere(self, device: str, address: object) -> bool:
        self.places[device] = str(address)
        return True

    def left_elsewhere(self, device: str) -> None:
        del self.places[device]


class Replica:
    """One process's part of the exchange."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.clock = ManualClock()
        self.presence = Presence()
        self.ended = Ended()
        self.sharing = Sharing(store, self.presence, self.ended, self.clock, replica=name, hostname=name)  # type: ignore[arg-type]

    def arrives(self, agent: str, kind: AgentKind = AgentKind.CONNECTOR, address: str | None = None) -> None:
        self.clock.advance(1)
        self.presence.arrived(agent, kind, HELLO, self.clock.wall(), address=address)

    def sees(self) -> list[str]:
        return [line.agent for line in self.presence.agents()]


@pytest.fixture
async def pair(url: str, store: Store) -> AsyncIterator[tuple[Replica, Replica]]:
    other = await Store.open(url)
    yield Replica(store, "one"), Replica(other, "two")
    await other.close()


async def rounds(*turns: Replica) -> None:
    for replica in turns:
        await replica.sharing.round()


async def test_each_replica_knows_the_agents_of_all(pair: tuple[Replica, Replica]) -> None:
    one, two = pair
    one.arrives("con_a")
    two.arrives("dev_b", AgentKind.CLIENT)
    await rounds(one, two, one)
    assert one.sees() == two.sees() == ["con_a", "dev_b"]
    one.presence.heard("con_a", Heartbeat(START * 1000, relays=(RelayId("rel_x"),), flows=7), one.clock.wall())
    await rounds(one, two)
    line = two.presence.agent("con_a")
    assert line is not None
    assert (line.relays, line.flows, line.hostname) == (("rel_x",), 7, "gate")
    assert [item.agent for item in two.presence.agents(AgentKind.CLIENT)] == ["dev_b"]
    one.presence.left("con_a")
    await rounds(one, two)
    assert two.sees() == ["dev_b"]


async def test_t36_each_replica_knows_where_the_devices_of_all_are(url: str, pair: tuple[Replica, Replica]) -> None:
    one, two = pair
    one.arrives("dev_a", AgentKind.CLIENT, "198.51.100.7")
    one.arrives("con_a", AgentKind.CONNECTOR, "198.51.100.8")
    await rounds(one, two)
    assert two.ended.places == {"dev_a": "198.51.100.7"}
    assert one.ended.places == {}
    one.arrives("dev_a", AgentKind.CLIENT, "2001:db8::1")
    await rounds(one, two)
    assert two.ended.places == {"dev_a": "2001:db8::1"}
    async with raw_connection(url) as connection:
        await connection.execute(sa.text("UPDATE replicas SET seen = seen - 3600 WHERE id = 'one'"))
    await rounds(two)
    assert two.ended.places == {}


async def test_load_alone_is_told_now_and_then(pair: tuple[Replica, Replica]) -> None:
    one, two = pair
    one.arrives("con_a")
    await rounds(one)
    one.presence.heard("con_a", Heartbeat(START * 1000, flows=7), one.clock.wall())
    await rounds(one, two)
    line = two.presence.agent("con_a")
    assert line is not None
    assert line.flows == 0
    one.clock.advance(60)
    await rounds(one, two)
    line = two.presence.agent("con_a")
    assert line is not None
    assert line.flows == 7


async def test_t20_an_agent_that_moved_has_left_where_it_was(pair: tuple[Replica, Replica]) -> None:
    one, two = pair
    one.arrives("con_a")
    await rounds(one, two)
    two.arrives("con_a")
    await rounds(two, one)
    assert (one.ended.agents, two.ended.agents) == (["con_a"], [])
    # Its old connection says something more, or ends, and that takes nothing away from the new one.
    one.presence.heard("con_a", Heartbeat(START * 1000, relays=(RelayId("rel_old"),)), one.clock.wall())
    await rounds(one, two)
    one.presence.left("con_a")
    await rounds(one, two, one)
    assert one.sees() == two.sees() == ["con_a"]
    assert two.ended.agents == []
    line = one.presence.agent("con_a")
    assert line is not None
    assert line.relays == ()


async def test_an_agent_that_comes_back_stays(pair: tuple[Replica, Replica]) -> None:
    one, two = pair
    one.arrives("con_a")
    await rounds(one, two)
    two.arrives("con_a")
    await rounds(two)
    one.arrives("con_a")
    await rounds(one, two, one)
    assert one.ended.agents == []
    assert two.ended.agents == ["con_a"]


async def test_f7_a_silent_replica_takes_its_agents_along(
    url: str, pair: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = pair
    one.arrives("con_a")
    await rounds(one, two)
    assert two.sees() == ["con_a"]
    async with raw_connection(url) as connection:
        await connection.execute(sa.text("UPDATE replicas SET seen = seen - 3600 WHERE id = 'one'"))
    await rounds(two)
    assert two.sees() == []
    await rounds(one, two)
    assert two.sees() == ["con_a"]


async def test_a_replica_that_leaves_is_gone_at_once(pair: tuple[Replica, Replica]) -> None:
    one, two = pair
    one.arrives("con_a")
    await rounds(one, two)
    async with two.store.read() as connection:
        assert [item.id for item in await replicas.living(connection)] == ["one", "two"]
    await one.sharing.leave()
    await rounds(*[two] * FULL_EVERY)
    assert two.sees() == []
    async with two.store.read() as connection:
        assert [item.id for item in await replicas.living(connection)] == ["two"]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_d7_an_assertion_is_spent_everywhere(url: str, store: Store) -> None:
    other = await Store.open(url)
    spent = Assertion("dev_x", "ctl_x", "jti", START, START + 60)
    await SharedReplays(store).spend(spent, START + 90)
    with pytest.raises(RefusedError) as refused:
        await SharedReplays(other).spend(spent, START + 90)
    assert refused.value.reason is Reason.TOKEN_REVOKED
    async with store.transact() as connection:
        await replicas.purge(connection, START + 91)
    await SharedReplays(other).spend(spent, START + 90)
    await other.close()


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_d7_agents_that_come_together_are_told_apart(url: str, store: Store) -> None:
    other = await Store.open(url)
    here, there = SharedReplays(store), SharedReplays(other)
    many = [Assertion(f"dev_{number}", "ctl_x", "jti", START, START + 60) for number in range(300)]
    # Each at both replicas at once, in opposite order: each is good once.
    spends = [here.spend(one, START + 90) for one in many] + [there.spend(one, START + 90) for one in reversed(many)]
    async with asyncio.timeout(60):
        outcomes = await asyncio.gather(*spends, return_exceptions=True)
    refused = [outcome for outcome in outcomes if outcome is not None]
    assert len(refused) == len(many)
    assert all(isinstance(error, RefusedError) and error.reason is Reason.TOKEN_REVOKED for error in refused)
    first, second = outcomes[: len(many)], list(reversed(outcomes[len(many) :]))
    assert all((a is None) is not (b is None) for a, b in zip(first, second, strict=True))
    await other.close()


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_d7_what_no_database_holds_spoils_nobody_elses_coming(store: Store) -> None:
    shared = SharedReplays(store)
    bad = Assertion("dev_x", "ctl_x", "j\0", START, START + 60)
    good = Assertion("dev_y", "ctl_x", "jti", START, START + 60)
    outcomes = await asyncio.gather(
        shared.spend(bad, START + 90), shared.spend(good, START + 90), return_exceptions=True
    )
    assert isinstance(outcomes[0], RefusedError)
    assert outcomes[0].reason is Reason.TOKEN_MALFORMED
    assert outcomes[1] is None


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_c24_without_the_database_this_replicas_memory_must_do(url: str, store: Store) -> None:
    async with raw_connection(url) as connection:
        await connection.execute(sa.text("LOCK TABLE spent_assertions IN ACCESS EXCLUSIVE MODE"))
        # The table answers nobody for as long as this transaction is open.
        await SharedReplays(store).spend(Assertion("dev_x", "ctl_x", "jti", START, START + 60), START + 90)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_replica_reads_what_another_one_has_written(url: str, store: Store) -> None:
    other = await Store.open(url)
    assert not await other.freshen()
    await give(store, new_network())
    assert await other.freshen()
    assert other.feed.head == store.feed.head
    await other.close()
