"""What people may have a connector dial: parts of its network's resources, and nothing else (T-32)."""

from ipaddress import ip_address

import pytest
from policy_world import WEB, World

from controller.domain.commands_connector_tests import OrderConnectorTest
from controller.domain.events import ConnectorTestOrdered
from protocol.acl.model import IPAddress
from protocol.ids import ConnectorId
from protocol.reasons import Reason


def test_a_part_of_a_resource_is_tested_and_the_log_says_so() -> None:
    world = World()
    network = world.network()
    connector, resource = world.connector(network), world.resource(network, "*.corp.internal", WEB)
    ordered = world.do(OrderConnectorTest(connector, "wiki.corp.internal", 443))
    assert ordered == (ConnectorTestOrdered(connector, resource, "wiki.corp.internal", 443),)


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("wiki.corp.internal", 22),
        ("other.internal", 443),
        (ip_address("127.0.0.1"), 443),
        (ip_address("169.254.169.254"), 443),
        ("elsewhere.internal", 443),
    ],
)
def test_t32_nothing_else_is_ever_dialled(host: str | IPAddress, port: int) -> None:
    world = World()
    network = world.network()
    connector = world.connector(network)
    world.resource(network, "wiki.corp.internal", WEB)
    world.resource(world.network(), "elsewhere.internal", WEB)
    before = world.state.position
    assert world.refused(OrderConnectorTest(connector, host, port))[0] is Reason.FORBIDDEN
    assert world.state.position == before


def test_a_connector_that_is_none_tests_nothing() -> None:
    missing = ConnectorId("con_AAAAAAAAAAAAAAAAAAAAAA")
    assert World().refused(OrderConnectorTest(missing, "a.internal", 1))[0] is Reason.NOT_FOUND
