"""Tests of destinations are no part of the policy."""

from policy_world import WEB, World

from controller.domain.commands_connector_tests import OrderConnectorTest


def test_the_policy_stays_as_it_is() -> None:
    world = World()
    network = world.network()
    connector = world.connector(network)
    world.resource(network, "wiki.internal", WEB)
    before = world.state
    world.do(OrderConnectorTest(connector, "wiki.internal", 443))
    assert (world.state.connectors, world.state.resources) == (before.connectors, before.resources)
    assert world.state.version_of(connector) == before.version_of(connector)
