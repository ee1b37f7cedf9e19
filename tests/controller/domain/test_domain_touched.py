"""Whom a change concerns: who must say that it enforces it, and for how long somebody may go on without."""

from policy_world import START, World

from controller.domain import commands as c
from controller.domain.log import Change, Head
from controller.domain.touched import Touched, lease_of_agent, touched_by
from protocol.ids import Epoch


def touched(world: World, command: c.Command) -> Touched:
    before = world.state
    (event,) = world.do(command)
    return touched_by(Change(event, before, Head(world.state)))


def test_a_revoked_grant_concerns_the_device_and_the_connectors_that_cut_it_off() -> None:
    world = World()
    network, elsewhere = world.network(), world.network()
    connector, _ = world.connector(network), world.connector(elsewhere)
    user, other = world.user(), world.user()
    laptop, _ = world.laptop(user), world.laptop(other)
    grant = world.grant(user, world.resource(network))
    assert touched(world, c.RevokeGrant(grant)) == Touched(frozenset({laptop}), frozenset({connector}), frozenset())


def test_a_revoked_device_has_nothing_to_say_but_its_connectors_have() -> None:
    world = World()
    network = world.network()
    connector, user = world.connector(network), world.user()
    laptop = world.laptop(user)
    world.grant(user, world.resource(network))
    found = touched(world, c.RevokeDevice(laptop))
    assert (found.devices, found.connectors, found.ended) == (frozenset(), {connector}, {laptop})


def test_a_raised_epoch_concerns_everybody() -> None:
    world = World()
    connector, laptop = world.connector(world.network()), world.laptop(world.user())
    found = touched(world, c.RaiseEpoch(Epoch(world.state.epoch + 1)))
    assert (found.devices, found.connectors) == ({laptop}, {connector})


def test_the_longest_lease_counts() -> None:
    world = World()
    network = world.network()
    connector, user = world.connector(network), world.user()
    laptop, resource = world.laptop(user), world.resource(network)
    lease = world.state.resources[resource].lease_s
    assert lease_of_agent(world.state, connector, float(START)) == lease
    assert lease_of_agent(world.state, laptop, float(START)) == 0
    world.grant(user, resource)
    assert lease_of_agent(world.state, laptop, float(START)) == lease
    assert lease_of_agent(world.state, "con_unknown", float(START)) == 0
