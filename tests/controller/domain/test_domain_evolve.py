"""The fold: complete, deterministic, refusing gaps, equal after a round trip through JSON (properties)."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_commands import commands_in
from policy_world import World

from controller.domain.decide import decide
from controller.domain.event_codec import event_from_json, event_to_json
from controller.domain.events import EVENT_TYPES, NetworkCreated
from controller.domain.evolve import HANDLERS, evolve, fold
from controller.domain.rules import Refusal
from controller.domain.state import PolicyState
from protocol.errors import LocalError
from protocol.ids import NetworkId
from protocol.reasons import Reason


def test_every_event_has_its_fold() -> None:
    assert set(HANDLERS) == set(EVENT_TYPES)
    assert len({event.TYPE for event in EVENT_TYPES}) == len(EVENT_TYPES)


@pytest.mark.parametrize("position", [0, 1, 3])
def test_t7_a_gap_or_a_repetition_is_fatal(position: int) -> None:
    world = World()
    with pytest.raises(LocalError) as failed:
        evolve(world.state, NetworkCreated(NetworkId("net_x"), "x"), position, 0)
    assert failed.value.reason is Reason.STATE_CORRUPT


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_replaying_the_log_from_json_gives_an_equal_state(data: st.DataObject) -> None:
    world = World(initialised=False)
    for command in data.draw(st.lists(commands_in(world), max_size=60)):
        decided = decide(world.state, command)
        for event in () if isinstance(decided, Refusal) else decided:
            world.append(event)
    stored = [
        (change.position, change.event.TYPE, json.dumps(event_to_json(change.event)), change.after.state.at_ms)
        for change in world.changes
    ]
    replayed = fold(
        PolicyState(), ((position, event_from_json(kind, json.loads(text)), at) for position, kind, text, at in stored)
    )
    assert replayed == world.state


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_nothing_dangles(data: st.DataObject) -> None:
    world = World()
    for command in data.draw(st.lists(commands_in(world), max_size=80)):
        decided = decide(world.state, command)
        for event in () if isinstance(decided, Refusal) else decided:
            world.append(event)
    state = world.state
    subjects = {*state.users, *state.groups, *state.service_accounts}
    for grant in state.grants.values():
        assert grant.subject.id in subjects
        assert grant.resource in state.resources
        assert grant.id in state.grants_to[grant.subject]
        assert grant.id in state.grants_on[grant.resource]
        assert grant.policy is None or grant.id in state.grants_under[grant.policy]
    for policy, grants in state.grants_under.items():
        assert policy in state.policies
        assert all(state.grants[grant].policy == policy for grant in grants)
    for exclusion in state.exclusions.values():
        assert exclusion.subject.id in subjects
        assert exclusion.resource in state.resources
        assert exclusion.id in state.exclusions_of[exclusion.subject]
        assert exclusion.id in state.exclusions_on[exclusion.resource]
    for device in state.devices.values():
        assert device.owner.id in subjects
        assert state.device_by_key[device.key] == device.id
        assert device.id in state.devices_of[device.owner]
        assert device.id not in state.former_agents
    for session in state.sessions.values():
        assert session.device in state.devices
        assert state.session_of[session.device] == session.id
    for group, members in state.members.items():
        assert group in state.groups
        assert all(group in state.groups_of[user] for user in members)
    for resource in state.resources.values():
        assert resource.network in state.networks
        assert state.addresses[resource.network, str(resource.address)] == resource.id
    sizes = {sum(map(len, index.values())) for index in (state.grants_to, state.grants_on)}
    assert sizes == {len(state.grants)}
    sizes = {sum(map(len, index.values())) for index in (state.exclusions_of, state.exclusions_on)}
    assert sizes == {len(state.exclusions)}
    assert len(state.session_of) == len(state.sessions)
    named = len(state.networks) + len(state.connectors) + len(state.resources)
    assert len(state.names) == named + len(state.groups) + len(state.service_accounts) + len(state.policies)
