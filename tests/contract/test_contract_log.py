"""The log on both databases: dense, chained, append-only, replayable (T-7, T-9, T-16, T-70)."""

import asyncio
from contextlib import suppress

import pytest
import sqlalchemy as sa
from log_checks import audit, state_at, verify_chain
from policy_world import START, fresh_id
from sqlalchemy.exc import DBAPIError
from store_steps import give, new_network, raw_connection, tamper, unit_of

from controller.domain import commands as c
from controller.domain.events import NetworkCreated
from controller.domain.model import Role
from controller.store import EventFilter, Store, events
from protocol.errors import LocalError, RefusedError
from protocol.ids import NetworkId, UserId
from protocol.reasons import Reason


async def test_a_unit_sees_its_own_events_and_commits_them_together(store: Store) -> None:
    async with unit_of(store) as unit:
        await unit.execute(c.InitialiseController("ctl_x", "https://x"))
        command = new_network("prod")
        assert await unit.execute(command) == (NetworkCreated(command.network, "prod"),)
        assert command.network in unit.state.networks
        assert store.feed.head.position == 0
        assert unit.position == 2
    assert store.feed.head.position == 2
    assert store.feed.state == unit.state


async def test_a_unit_that_raises_leaves_nothing(store: Store) -> None:
    with suppress(ZeroDivisionError):
        async with unit_of(store) as unit:
            await unit.execute(new_network())
            raise ZeroDivisionError
    assert store.feed.head.position == 0
    await give(store, new_network())
    assert (await verify_chain(store)).faults == ()


async def test_a_refusal_carries_its_reason_and_the_unit_goes_on(store: Store) -> None:
    async with unit_of(store) as unit:
        with pytest.raises(RefusedError) as refused:
            await unit.execute(c.RemoveNetwork(NetworkId("net_x")))
        assert refused.value.reason is Reason.NOT_FOUND
        await unit.execute(new_network())
    assert store.feed.head.position == 1


async def test_t16_the_actors_role_is_checked_inside_the_write(store: Store) -> None:
    owner, admin = UserId(fresh_id("user")), UserId(fresh_id("user"))
    await give(store, c.CreateUser(owner, Role.OWNER), c.CreateUser(admin, Role.ADMIN))
    with pytest.raises(RefusedError) as refused:
        await give(store, c.ChangeUserRole(admin, Role.OWNER), actor=admin)
    assert refused.value.reason is Reason.FORBIDDEN
    await give(store, c.ChangeUserRole(admin, Role.MEMBER), actor=owner)
    with pytest.raises(RefusedError):
        await give(store, new_network(), actor=admin)


async def test_t16_of_parallel_conflicting_role_changes_one_wins(url: str, store: Store) -> None:
    first, second = UserId(fresh_id("user")), UserId(fresh_id("user"))
    await give(store, c.CreateUser(first, Role.OWNER), c.CreateUser(second, Role.OWNER))
    other = await Store.open(url)

    async def demote(through: Store, target: UserId) -> str:
        try:
            await give(through, c.ChangeUserRole(target, Role.MEMBER, expected_version=1))
        except RefusedError as error:
            return error.reason.code
        return "won"

    outcomes = await asyncio.gather(
        *(demote(through, target) for through in (store, other) for target in (first, second) for _ in range(6))
    )
    assert outcomes.count("won") == 1
    await store.catch_up()
    assert [user.role for user in store.feed.state.users.values()].count(Role.OWNER) == 1
    await other.close()


async def test_reopening_folds_to_an_equal_state(url: str, store: Store) -> None:
    await give(store, c.InitialiseController("ctl_x", "https://x"), *(new_network() for _ in range(20)))
    again = await Store.open(url)
    assert again.feed.state == store.feed.state
    assert again.feed.head == store.feed.head
    assert [change.position for change in again.feed.recent] == list(range(1, 22))
    assert await state_at(again, 5) == store.feed.recent[4].after.state
    assert await state_at(again, 999) == store.feed.state
    await again.close()


async def test_time_in_the_log_never_goes_back(store: Store) -> None:
    await give(store, new_network(), now=START + 100)
    await give(store, new_network(), now=START)
    assert [change.after.state.at_ms for change in store.feed.recent] == [(START + 100) * 1000] * 2


async def test_the_audit_log_is_paged_and_filtered(store: Store) -> None:
    user = UserId(fresh_id("user"))
    await give(store, c.CreateUser(user, Role.OWNER))
    networks = [new_network() for _ in range(5)]
    for number, network in enumerate(networks):
        await give(store, network, actor=user, now=START + number)
    async with store.read() as connection:
        newest = await events.page(connection, limit=2)
        older = await events.page(connection, before=newest[-1].position, limit=2)
        assert [event.position for event in (*newest, *older)] == [6, 5, 4, 3]
        assert newest[0].event == NetworkCreated(networks[-1].network, networks[-1].name)
        assert (newest[0].actor, newest[0].request_id, newest[0].version) == (user, "req", 1)

        async def positions(where: EventFilter) -> list[int]:
            return [event.position for event in await events.page(connection, where=where)]

        assert await positions(EventFilter(actor="cli")) == [1]
        assert await positions(EventFilter(stream=networks[0].network)) == [2]
        assert await positions(EventFilter(type_prefix="network.")) == [6, 5, 4, 3, 2]
        assert await positions(EventFilter(type_prefix="%")) == []
        window = EventFilter(since_ms=(START + 1) * 1000, until_ms=(START + 3) * 1000)
        assert await positions(window) == [4, 3]


@pytest.mark.parametrize("statement", ["UPDATE events SET actor = 'me' WHERE position = 1", "DELETE FROM events"])
async def test_t70_the_log_is_append_only(url: str, store: Store, statement: str) -> None:
    await give(store, new_network())
    with pytest.raises(DBAPIError, match="append-only"):
        async with raw_connection(url) as connection:
            await connection.execute(sa.text(statement))


@pytest.mark.parametrize(
    ("statement", "position", "detail"),
    [
        ("UPDATE events SET actor = 'somebody' WHERE position = 3", 3, "content"),
        ("UPDATE events SET data = replace(data, 'n3', 'n9') WHERE position = 3", 3, "content"),
        ("UPDATE events SET at_ms = at_ms + 1 WHERE position = 3", 3, "content"),
        ("UPDATE events SET hash = previous_hash WHERE position = 3", 3, "content"),
        ("UPDATE events SET previous_hash = hash WHERE position = 3", 3, "continue"),
        ("DELETE FROM events WHERE position = 3", 3, "missing"),
        ("DELETE FROM events WHERE position >= 4", 4, "this process has seen"),
    ],
)
async def test_t9_t70_a_tampered_row_is_named(
    url: str, store: Store, statement: str, position: int, detail: str
) -> None:
    for number in range(1, 6):
        await give(store, new_network(f"n{number}"))
    assert (await verify_chain(store)).faults == ()
    await tamper(url, statement)
    report = await verify_chain(store)
    assert report.faults[0].position == position
    assert detail in report.faults[0].detail
    if "this process" not in detail:
        assert (await audit(url)).faults[0].position == position
        with pytest.raises(LocalError) as failed:
            await Store.open(url)
        assert failed.value.reason is Reason.STATE_CORRUPT
        assert f"event {position}" in failed.value.detail


async def test_t7_a_process_never_goes_on_behind_a_gap(url: str, store: Store) -> None:
    await give(store, new_network())
    other = await Store.open(url)
    await give(other, new_network(), new_network())
    await tamper(url, "DELETE FROM events WHERE position = 2")
    with pytest.raises(LocalError, match="event 2"):
        await store.catch_up()
    with pytest.raises(LocalError, match="event 2"):
        await give(store, new_network())
    assert store.feed.head.position == 1
    await other.close()
