"""What ends with networks, connectors, relays and resources."""

from policy_world import World, fresh_key

from controller.domain import commands as c
from protocol.reasons import Reason


def test_a_removed_resource_takes_along_its_grants() -> None:
    world = World()
    network = world.network()
    resource = world.resource(network, "db.internal", name="db")
    world.grant(world.user(), resource)
    world.do(c.RemoveResource(resource))
    assert not world.state.grants
    assert not world.state.resources_in
    world.resource(network, "db.internal", name="db")


def test_a_moved_resource_is_in_its_new_network_only() -> None:
    world = World()
    old, new = world.network(), world.network()
    resource = world.resource(old, "db.internal")
    world.do(c.ChangeResource(resource, network=new, address="db2.internal"))
    assert set(world.state.resources_in) == {new}
    assert set(world.state.addresses) == {(new, "db2.internal")}


def test_a_removed_connector_can_still_be_told_why() -> None:
    world = World()
    key = fresh_key()
    enrolled, expected = world.connector(world.network(), key), world.connector(world.network(), enrolled=False)
    world.do(c.RemoveConnector(enrolled))
    world.do(c.RemoveConnector(expected))
    assert world.state.former_agents[enrolled].key == key
    assert world.state.former_agents[enrolled].reason is Reason.ACCESS_REVOKED
    assert expected not in world.state.former_agents
    assert not world.state.connectors_in


def test_renaming_and_removing_a_network_frees_its_name() -> None:
    world = World()
    network = world.network("a")
    world.do(c.RenameNetwork(network, "b"))
    world.network("a")
    world.do(c.RemoveNetwork(network))
    world.network("b")


def test_a_removed_relay_frees_its_endpoint() -> None:
    world = World()
    relay = world.relay("relay.example")
    world.do(c.RemoveRelay(relay))
    world.relay("relay.example")
