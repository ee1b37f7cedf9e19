"""A plan's hash, its authority, and that nobody plans himself out."""

from plan_world import plan_of
from policy_world import World

from controller.domain.model import Role
from controller.domain.plan import plan_hash
from protocol.reasons import Reason

TEXT = "networks: [{name: office}]"


def test_the_hash_covers_the_revision_and_every_event() -> None:
    world = World()
    first = plan_of(world, TEXT)
    assert first.hash == plan_of(world, TEXT).hash
    assert first.hash != plan_of(world, TEXT, seed=b"other").hash
    assert first.hash != plan_of(world, "networks: [{name: office2}]").hash
    world.user()
    moved = plan_of(world, TEXT)
    assert moved.hash != first.hash
    assert moved.revision == first.revision + 1


def test_the_hash_of_the_same_events_does_not_depend_on_how_they_were_made() -> None:
    world = World()
    plan = plan_of(world, TEXT)
    assert plan_hash(plan.base, [change.event for change in plan.changes]) == plan.hash
    assert len(plan.hash) == 64


def test_t16_a_plan_gives_nobody_more_than_his_role() -> None:
    world = World()
    world.user(Role.OWNER)
    member, admin = world.user(), world.user(Role.ADMIN)
    (problem,) = plan_of(world, TEXT, actor=member).problems
    assert Reason.FORBIDDEN.sentence in problem.detail
    assert not plan_of(world, TEXT, actor=admin).problems
    (problem,) = plan_of(world, f"users: [{{user: {member}, role: owner}}]", actor=admin).problems
    assert Reason.FORBIDDEN.sentence in problem.detail


def test_the_last_owner_is_not_planned_out() -> None:
    world = World()
    owner = world.user(Role.OWNER)
    for text in (f"users: [{{user: {owner}, role: member}}]", f"users: [{{user: {owner}, disabled: true}}]"):
        (problem,) = plan_of(world, text).problems
        assert Reason.LAST_OWNER.sentence in problem.detail


def test_nobody_plans_himself_out() -> None:
    world = World()
    owner, other = world.user(Role.OWNER), world.user(Role.OWNER)
    text = f"users: [{{user: {owner}, role: member}}]"
    (problem,) = plan_of(world, text, actor=owner).problems
    assert "your own" in problem.detail
    assert not plan_of(world, text, actor=other).problems


def test_what_is_already_so_needs_no_authority() -> None:
    world = World()
    member = world.user()
    owner = world.user(Role.OWNER)
    assert not plan_of(world, f"users: [{{user: {owner}, role: owner}}]", actor=member).problems
