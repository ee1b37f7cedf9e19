"""Grants as they are held: found from both ends, judged once per policy, and what a place decides."""

import pytest
from policy_world import START, World

from controller.domain import held as held_module
from controller.domain.conditions import Conditions, Facts, Outcome, evaluate
from controller.domain.held import (
    Exclusions,
    Held,
    asks_for_source,
    exclusions_of,
    facts_of,
    grants_between,
    grants_of,
    held_grants,
)
from controller.domain.model import SubjectKind, SubjectRef

NOW = float(START)
PLACE = Conditions(sources=("192.0.2.0/24",))
TRUSTED = Conditions(device_trusted=True)


def test_grants_are_the_same_from_both_ends() -> None:
    world = World()
    user = world.user()
    group, other = world.group(user), world.group()
    one, two = world.resource(world.network()), world.resource(world.network())
    mine = {world.grant(user, one), world.grant(group, one)}
    world.grant(group, two)
    world.grant(other, one)
    owner = SubjectRef(SubjectKind.USER, user)
    assert {grant.id for grant in grants_between(world.state, owner, one)} == mine
    assert {grant.id for grant in grants_of(world.state, owner) if grant.resource == one} == mine


def test_a_policy_is_judged_once_for_all_its_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    user = world.user()
    device, policy = world.laptop(user), world.policy(TRUSTED)
    network = world.network()
    for _ in range(5):
        world.grant(user, world.resource(network), policy=policy)
    judged = []

    def counted(conditions: Conditions, facts: Facts, now: float) -> Outcome:
        judged.append(conditions)
        return evaluate(conditions, facts, now)

    monkeypatch.setattr(held_module, "evaluate", counted)
    owner = SubjectRef(SubjectKind.USER, user)
    held = held_grants(world.state, device, grants_of(world.state, owner), NOW, None)
    assert (len(held), judged) == (5, [TRUSTED])
    assert not any(item.holds for item in held)


def test_a_grant_ends_with_whatever_comes_first() -> None:
    world = World()
    user, resource = world.user(), world.resource(world.network())
    made = world.grant(user, resource, expires=START + 60)
    grant = world.state.grants[made]
    assert Held(grant, Outcome((), START + 30), alive=True).until == START + 30
    assert Held(grant, Outcome((), START + 90), alive=True).until == START + 60
    assert Held(grant, Outcome(), alive=True).until == START + 60


def test_facts_come_from_device_and_session() -> None:
    world = World()
    device = world.device(world.user())
    assert facts_of(world.state, device, None) == Facts()
    world.session(device, authenticated_s=START - 5, mfa_s=START - 4)
    facts = facts_of(world.state, device, None)
    assert (facts.authenticated_s, facts.mfa_s, facts.trusted) == (START - 5, START - 4, False)


def test_only_who_is_asked_for_his_place_depends_on_it() -> None:
    world = World()
    user = world.user()
    owner, resource = SubjectRef(SubjectKind.USER, user), world.resource(world.network())
    world.grant(user, resource, policy=world.policy(TRUSTED))
    assert not asks_for_source(world.state, owner)
    world.grant(world.group(user), resource, policy=world.policy(PLACE))
    assert asks_for_source(world.state, owner)


def test_exclusions_count_until_they_end() -> None:
    world = World()
    user = world.user()
    owner, resource = SubjectRef(SubjectKind.USER, user), world.resource(world.network())
    assert resource not in Exclusions(world.state, owner, NOW)
    exclusion = world.exclusion(world.group(user), resource, expires=START + 1)
    assert [item.id for item in exclusions_of(world.state, owner)] == [exclusion]
    assert resource in Exclusions(world.state, owner, NOW)
    assert resource not in Exclusions(world.state, owner, START + 1)
