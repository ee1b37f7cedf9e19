"""A whitelist that is shared is what the evaluator says at that moment, for every device and after every change (property)."""

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_commands import commands_in
from policy_world import START, World

from controller.domain import commands as c
from controller.domain.commands_policies import ChangePolicy
from controller.domain.conditions import Conditions, Source
from controller.domain.decide import decide
from controller.domain.evaluate import Subject, acl_for_device, subject_of_device
from controller.domain.rules import Refusal
from controller.domain.withheld import withheld_names
from controller.publish import shared_lists
from controller.publish.shared_lists import SharedLists, Whitelist
from protocol.ids import DeviceId
from protocol.tokens.issue import encode_whitelist

OFFICE = ip_address("192.0.2.1")


def whitelist_of(
    lists: SharedLists, world: World, device: DeviceId, now: float = START, source: Source = None
) -> Whitelist:
    subject = subject_of_device(world.state, device, now)
    assert isinstance(subject, Subject)
    return lists.of(world.state, subject, now, source)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_it_is_always_the_evaluators_answer(data: st.DataObject) -> None:
    world, lists = World(), SharedLists()
    # Forwards and backwards: clocks are set.
    times = st.sampled_from([START - 100, START, START + 50, START + 100, START + 10_000])
    for command in data.draw(st.lists(commands_in(world), max_size=60)):
        decided = decide(world.state, command)
        for event in () if isinstance(decided, Refusal) else decided:
            world.append(event)
        now, source = float(data.draw(times)), data.draw(st.sampled_from([None, OFFICE]))
        for device in world.state.devices:
            subject = subject_of_device(world.state, device, now)
            if not isinstance(subject, Subject):
                continue
            found = lists.of(world.state, subject, now, source)
            assert found.acl == acl_for_device(world.state, device, now, source=source)
            assert found.encoded == encode_whitelist(found.acl, found.networks)
            assert {entry.resource.network for entry in found.acl.entries} == found.networks.keys()
            assert not (found.plain and withheld_names(world.state, subject, now, source=source))


def test_members_of_a_group_share_one_list_until_something_changes() -> None:
    world, lists = World(), SharedLists()
    one, two = world.user(), world.user()
    mine, other = world.laptop(one), world.laptop(two)
    network = world.network()
    world.grant(world.group(one, two), world.resource(network))
    first = whitelist_of(lists, world, mine)
    assert whitelist_of(lists, world, other) is first
    world.grant(two, world.resource(network))
    assert len(whitelist_of(lists, world, other).acl.entries) == 2
    assert whitelist_of(lists, world, mine).acl == first.acl


def test_a_shared_list_ends_with_the_first_of_its_grants() -> None:
    world, lists = World(), SharedLists()
    user = world.user()
    device = world.laptop(user)
    world.grant(user, world.resource(world.network()), expires=START + 60)
    assert len(whitelist_of(lists, world, device, START + 59.9).acl.entries) == 1
    assert whitelist_of(lists, world, device, START + 60).acl.entries == ()
    # The clock was set back: what was true then is asked again.
    assert len(whitelist_of(lists, world, device, START + 10).acl.entries) == 1


def test_what_depends_on_the_device_is_not_shared() -> None:
    world, lists = World(), SharedLists()
    one, two = world.user(), world.user()
    mine, other = world.laptop(one), world.laptop(two)
    resource = world.resource(world.network())
    policy = world.policy(Conditions(sources=("192.0.2.0/24",)))
    grant = world.grant(world.group(one, two), resource, policy=policy)
    inside = whitelist_of(lists, world, mine, source=OFFICE)
    outside = whitelist_of(lists, world, other, source=ip_address("203.0.113.1"))
    assert (len(inside.acl.entries), len(outside.acl.entries)) == (1, 0)
    assert not inside.plain
    world.do(ChangePolicy(policy, conditions=Conditions(device_trusted=True)))
    assert whitelist_of(lists, world, mine, source=OFFICE).acl.entries == ()
    world.do(c.RevokeGrant(grant))
    world.grant(one, resource)
    assert whitelist_of(lists, world, mine).plain


def test_an_exclusion_takes_one_member_out_of_the_shared_list() -> None:
    world, lists = World(), SharedLists()
    one, two = world.user(), world.user()
    mine, other = world.laptop(one), world.laptop(two)
    resource = world.resource(world.network())
    world.grant(world.group(one, two), resource)
    assert len(whitelist_of(lists, world, mine).acl.entries) == 1
    world.exclusion(one, resource)
    assert whitelist_of(lists, world, mine).acl.entries == ()
    assert len(whitelist_of(lists, world, other).acl.entries) == 1


def test_no_more_lists_are_kept_than_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    world, lists = World(), SharedLists()
    network = world.network()
    for _ in range(5):
        user = world.user()
        world.laptop(user)
        world.grant(user, world.resource(network))
    monkeypatch.setattr(shared_lists, "KEPT_MAX", 2)
    for device in (*world.state.devices, *world.state.devices):
        assert len(whitelist_of(lists, world, device).acl.entries) == 1
        assert 1 <= len(lists) <= 2
