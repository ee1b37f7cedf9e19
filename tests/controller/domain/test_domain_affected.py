"""Whom an event touches: never less than those whose answer differs (property)."""

from hypothesis import given, settings
from hypothesis import strategies as st
from policy_commands import commands_in
from policy_world import PIN, START, World, fresh_key

from controller.domain import commands as c
from controller.domain.affected import Affected, affected_by, devices_of
from controller.domain.decide import decide
from controller.domain.evaluate import acl_for_device, config_acl, subject_of_device
from controller.domain.model import SubjectKind, SubjectRef
from controller.domain.rules import Refusal
from protocol.ids import Epoch


def touched_by(world: World, command: c.Command) -> Affected:
    before = world.state
    (event,) = world.do(command)
    return affected_by(before, world.state, event)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_nobody_whose_answer_changes_is_missed(data: st.DataObject) -> None:
    world = World()
    now = float(START)
    for command in data.draw(st.lists(commands_in(world), max_size=60)):
        decided = decide(world.state, command)
        for event in () if isinstance(decided, Refusal) else decided:
            before = world.state
            world.append(event)
            after = world.state
            affected = affected_by(before, after, event)
            for device in {*before.devices, *after.devices}:
                same = acl_for_device(before, device, now) == acl_for_device(after, device, now)
                standing = subject_of_device(before, device, now) == subject_of_device(after, device, now)
                assert (same and standing) or device in affected.devices
            for connector in {*before.connectors, *after.connectors}:
                if config_acl(before, connector) != config_acl(after, connector):
                    assert connector in affected.connectors


def test_a_member_touches_only_his_own_devices() -> None:
    world = World()
    one, two = world.user(), world.user()
    mine, other = world.laptop(one), world.laptop(two)
    group = world.group(two)
    world.grant(group, world.resource(world.network()))
    assert touched_by(world, c.AddGroupMember(group, one)) == Affected(devices=frozenset({mine}))
    assert devices_of(world.state, SubjectRef(SubjectKind.GROUP, group)) == {mine, other}
    assert touched_by(world, c.RemoveGroup(group)).devices == {mine, other}


def test_names_of_groups_and_connectors_touch_nobody() -> None:
    world = World()
    group = world.group(world.user())
    assert touched_by(world, c.RenameGroup(group, "x")) == Affected()
    world.network()
    assert touched_by(world, c.RecordSignInFailure(None, "x")) == Affected()


def test_a_network_touches_its_connectors_and_whoever_sees_its_name() -> None:
    world = World()
    network = world.network()
    connector = world.connector(network)
    world.connector(world.network())
    user = world.user()
    device = world.laptop(user)
    world.grant(user, world.resource(network))
    expected = Affected(devices=frozenset({device}), connectors=frozenset({connector}))
    assert touched_by(world, c.RenameNetwork(network, "renamed")) == expected
    assert touched_by(world, c.ChangeNetworkEgress(network, ("10.0.0.1",))).connectors == {connector}


def test_t36_a_connector_that_is_removed_touches_those_who_may_have_tunnels_to_it() -> None:
    world = World()
    network = world.network()
    connector, other = world.connector(network), world.connector(network)
    user = world.user()
    device = world.laptop(user)
    world.laptop(world.user())
    world.grant(user, world.resource(network))
    expected = Affected(devices=frozenset({device}), connectors=frozenset({connector}))
    assert touched_by(world, c.RemoveConnector(connector)) == expected
    assert other in world.state.connectors


def test_keys_relays_and_epochs() -> None:
    world = World()
    connector = world.connector(world.network())
    assert touched_by(world, c.AddSigningKey("kid", fresh_key())) == Affected(keys=True, relays=True)
    assert touched_by(world, c.ActivateSigningKey("kid")) == Affected(relays=True)
    distrusted = touched_by(world, c.DistrustSigningKey("kid"))
    assert distrusted == Affected(everybody=True, keys=True, relays=True)
    assert touched_by(world, c.RaiseEpoch(Epoch(2))) == Affected(everybody=True)
    relay = world.relay()
    assert touched_by(world, c.RemoveRelay(relay)) == Affected(connectors=frozenset({connector}), relays=True)
    assert touched_by(world, c.EnrolConnector(connector, fresh_key(), PIN)).connectors == {connector}
