"""The past from the database: states, walks, citations and plans, on both databases."""

from dataclasses import replace

import pytest
import sqlalchemy as sa
from log_checks import state_at
from policy_world import START, WEB, fresh_id, fresh_name
from store_steps import give, new_network, raw_connection

from controller.domain import commands as c
from controller.domain.history import START as GENESIS
from controller.domain.log import Change
from controller.domain.model import Role, SubjectKind
from controller.store import Store, citations, plans
from controller.store.history import History
from controller.store.plans import KEPT_MAX, StoredPlan
from protocol.errors import LocalError
from protocol.ids import GrantId, GroupId, ResourceId, UserId
from protocol.reasons import Reason

COUNT = 1_200


async def _long_log(store: Store) -> None:
    async with store.write(actor="cli", request_id="req", now=START) as unit:
        for _ in range(COUNT // 2):
            await unit.execute(new_network(fresh_name()))
    async with store.write(actor="cli", request_id="req", now=START + 60) as unit:
        for _ in range(COUNT // 2):
            await unit.execute(new_network(fresh_name()))


async def _forgetful(store: Store, url: str) -> Store:
    """The same log in a process that has seen none of it happen: its feed holds no change."""
    await _long_log(store)
    reopened = await Store.open(url)
    reopened.feed._recent.clear()
    return reopened


async def test_the_state_of_any_position_is_its_fold(store: Store, url: str) -> None:
    other = await _forgetful(store, url)
    history = History(other)
    for position in (0, 1, 499, 500, 777, COUNT, COUNT + 5):
        head = await history.head_at(position)
        assert head.position == min(position, COUNT)
        assert len(head.state.networks) == head.position
        assert head == (GENESIS if position == 0 else replace(head, state=await state_at(other, position)))
    await other.close()


async def test_a_time_is_found_among_positions(store: Store, url: str) -> None:
    other = await _forgetful(store, url)
    for history in (History(other), History(store)):
        assert await history.position_at(START * 1000 - 1) == 0
        assert await history.position_at(START * 1000) == COUNT // 2
        assert await history.position_at((START + 59) * 1000) == COUNT // 2
        assert await history.position_at((START + 60) * 1000) == COUNT
        assert await history.position_at((START + 6000) * 1000) == COUNT
    await other.close()


async def test_a_walk_visits_each_change_once_and_in_order(store: Store, url: str) -> None:
    other = await _forgetful(store, url)
    for source in (other, store):
        history, seen = History(source), list[Change]()
        await history.walk(await history.head_at(100), 900, seen.append)
        assert [change.position for change in seen] == list(range(101, 901))
        assert all(change.before.position + 1 == change.position for change in seen)
    await other.close()


async def test_t70_a_past_that_was_edited_is_not_answered_from(store: Store, url: str) -> None:
    other = await _forgetful(store, url)
    async with raw_connection(url) as connection:
        if connection.dialect.name == "sqlite":
            for name in ("events_no_update", "events_no_delete"):
                await connection.execute(sa.text(f"DROP TRIGGER IF EXISTS {name}"))
        else:
            await connection.execute(sa.text("ALTER TABLE events DISABLE TRIGGER ALL"))
        await connection.execute(sa.text("UPDATE events SET actor = 'nobody' WHERE position = 300"))
    with pytest.raises(LocalError) as failed:
        await History(other).head_at(700)
    assert failed.value.reason is Reason.STATE_CORRUPT
    assert "300" in failed.value.detail
    await other.close()


async def test_the_makers_of_things_are_cited(store: Store) -> None:
    user, group, grant = UserId(fresh_id("user")), GroupId(fresh_id("group")), GrantId(fresh_id("grant"))
    resource, network = ResourceId(fresh_id("resource")), new_network(fresh_name())
    await give(
        store,
        network,
        c.CreateResource(resource, network.network, "wiki", "wiki.internal", WEB),
        c.CreateUser(user, Role.MEMBER),
        c.CreateGroup(group, "ops"),
        c.AddGroupMember(group, user),
        c.CreateGrant(grant, SubjectKind.GROUP, group, resource),
    )
    async with store.read() as connection:
        found = await citations.latest(connection, [grant, group, "gra_none"], ["grant.created"], upto=6)
        assert [(item.position, item.actor) for item in found.values()] == [(6, "cli")]
        assert await citations.latest(connection, [grant], ["grant.created"], upto=5) == {}
        members = await citations.memberships(connection, group, [user, UserId(fresh_id("user"))], upto=6)
        assert {name: item.position for name, item in members.items()} == {user: 5}
        assert (await citations.at_positions(connection, [5, 77]))[5].stream == group


def _plan(number: int, **more: object) -> StoredPlan:
    made = StoredPlan(f"{number:064x}", 1, "c2VlZA==", False, "{}", "{}", "{}", "usr_a", START + number, START + 10_000)
    return replace(made, **more)  # type: ignore[arg-type]


async def test_plans_are_kept_until_they_expire_and_bounded_in_number(store: Store) -> None:
    async with store.transact() as connection:
        await plans.put(connection, _plan(1))
        await plans.put(connection, _plan(2, expires=START + 5))
        assert await plans.get(connection, _plan(1).hash) == _plan(1)
        await plans.put(connection, _plan(10))
        assert [item.hash for item in await plans.newest(connection, START)] == [_plan(10).hash, _plan(1).hash]
        for number in range(20, 20 + KEPT_MAX):
            await plans.put(connection, _plan(number))
        kept = await plans.newest(connection, START)
        assert len(kept) == KEPT_MAX
        assert await plans.get(connection, _plan(1).hash) is None


async def test_d7_a_plan_that_was_applied_stays_applied(store: Store) -> None:
    async with store.transact() as connection:
        await plans.put(connection, _plan(1))
        await plans.mark_applied(connection, _plan(1).hash, by="usr_b", at=START + 3.0, revision=9)
        await plans.put(connection, _plan(1))
        found = await plans.get(connection, _plan(1).hash)
    assert found == _plan(1, applied_at=START + 3.0, applied_by="usr_b", applied_as=9)
