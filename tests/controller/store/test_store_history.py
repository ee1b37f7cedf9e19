"""Sifting the log gives the same answers as walking through all of it."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plan_world import exclude, policy
from policy_commands import commands_in
from policy_world import START, World, fresh_id

from controller.domain import commands as c
from controller.domain.access_at import Stretch, spans
from controller.domain.commands_policies import ChangePolicy
from controller.domain.conditions import Conditions
from controller.domain.decide import decide
from controller.domain.event_codec import event_to_json
from controller.domain.log import Change, Head
from controller.domain.rules import Refusal
from controller.domain.state import PolicyState
from controller.store.chain import Row
from controller.store.history import _fold_sparsely
from protocol.ids import GrantId


def _rows(changes: list[Change]) -> list[Row]:
    return [
        Row(
            change.position,
            change.event.stream,
            1,
            change.event.TYPE,
            json.dumps(event_to_json(change.event)),
            "cli",
            change.after.state.at_ms,
            "req",
            "",
            change.after.log_head,
        )
        for change in changes
    ]


def _world(data: st.DataObject) -> World:
    world = World()
    staff = policy(world, "staff", Conditions(device_trusted=True))
    for command in data.draw(st.lists(commands_in(world), min_size=30, max_size=80)):
        world.now_ms += data.draw(st.sampled_from([0, 900, 7_000]))
        decided = decide(world.state, command)
        for event in () if isinstance(decided, Refusal) else decided:
            world.append(event)
        chosen = data.draw(st.integers(0, 30))
        grants = list(world.state.grants.values())
        if grants and chosen == 0:
            exclude(world, grants[0].subject.id, grants[0].resource)
        if grants and chosen == 1:
            subject = grants[-1].subject
            made = c.CreateGrant(GrantId(fresh_id("grant")), subject.kind, subject.id, grants[-1].resource, None, staff)
            world.do(made)
        if chosen == 2:
            world.do(ChangePolicy(staff, conditions=Conditions(sources=(f"10.0.{len(world.changes)}.0/24",))))
    return world


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_sifted_answers_are_those_of_the_whole_log(data: st.DataObject) -> None:
    world = _world(data)
    start = data.draw(st.integers(0, len(world.changes) - 1))
    first = world.changes[start - 1].after if start else Head(PolicyState())
    owners = {item.owner for change in world.changes for item in change.after.state.devices.values()}
    resources = {resource for change in world.changes for resource in change.after.state.resources}
    pairs = [(owner, resource) for owner in owners for resource in resources]
    whole, sifted = Stretch(first.state, pairs), Stretch(first.state, pairs)
    for change in world.changes[start:]:
        whole.visit(change)
    for pair in pairs:
        alone = Stretch(first.state, [pair])
        _fold_sparsely(first, _rows(world.changes[start:]), alone.ids, alone.visit)
        devices = {device for moment in whole.of(pair) for device in moment.state.devices_of.get(pair[0], ())}
        assert devices == {device for moment in alone.of(pair) for device in moment.state.devices_of.get(pair[0], ())}
        for device in devices:
            wanted = spans(whole.of(pair), device, pair[1], START + 600)
            assert spans(alone.of(pair), device, pair[1], START + 600) == wanted
    _fold_sparsely(first, _rows(world.changes[start:]), sifted.ids, sifted.visit)
    for pair in pairs:
        assert [moment.at_ms for moment in sifted.of(pair)] == [moment.at_ms for moment in whole.of(pair)]


def test_a_group_that_is_joined_later_is_known_from_its_beginning() -> None:
    world = World()
    user = world.user()
    device, resource = world.laptop(user), world.resource(world.network())
    start = len(world.changes)
    group = world.group()
    world.grant(group, resource)
    world.user()
    world.do(c.AddGroupMember(group, user))
    pair = (world.state.devices[device].owner, resource)
    stretch = Stretch(world.changes[start - 1].after.state, [pair])
    _fold_sparsely(world.changes[start - 1].after, _rows(world.changes[start:]), stretch.ids, stretch.visit)
    found = spans(stretch.of(pair), device, resource, START + 600)
    assert [span.answer.reaches for span in found] == [False, True]
    assert found[-1].start is not None
    assert found[-1].start.position == world.state.position
