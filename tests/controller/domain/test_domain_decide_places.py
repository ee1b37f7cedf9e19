"""Rules of networks, connectors, relays and resources."""

import pytest
from policy_world import PIN, WEB, World, fresh_id, fresh_key

from controller.domain import commands as c
from controller.domain.events import ResourceChanged, ResourceCreated
from protocol.acl.model import PortRange, Ports
from protocol.ids import ConnectorId, NetworkId, RelayId, ResourceId, SpkiPin
from protocol.limits import LEASE_MAX_S, LEASE_MIN_S
from protocol.reasons import Reason


def new_resource(network: NetworkId, **parts: object) -> c.CreateResource:
    defaults: dict[str, object] = {"name": fresh_id("flow"), "address": "db.internal", "ports": WEB}
    return c.CreateResource(ResourceId(fresh_id("resource")), network, **{**defaults, **parts})  # type: ignore[arg-type]


def test_names_are_unique_among_the_living_without_regard_to_case_or_width() -> None:
    world = World()
    network = world.network("Straße")
    reason, detail = world.refused(c.CreateNetwork(NetworkId(fresh_id("network")), "  STRASSE "))
    assert reason is Reason.ALREADY_EXISTS
    assert network in detail
    assert world.refused(c.CreateNetwork(NetworkId(fresh_id("network")), "ｓｔｒａｓｓｅ"))[0] is Reason.ALREADY_EXISTS
    world.do(c.RemoveNetwork(network))
    world.network("strasse")


def test_a_thing_may_change_the_case_of_its_own_name() -> None:
    world = World()
    network = world.network("prod")
    world.do(c.RenameNetwork(network, "Prod"))
    assert world.state.networks[network].name == "Prod"
    assert world.do(c.RenameNetwork(network, "Prod")) == ()


def test_names_of_different_kinds_do_not_collide() -> None:
    world = World()
    network = world.network("prod")
    world.resource(network, name="prod")
    world.group(name="prod")


@pytest.mark.parametrize(
    "name", ["", "   ", "a" * 101, "a\x00b", "a\nb", "a\x1b[31m", "a\u202eb", "a\u200bb", "\ud800"]
)
def test_t41_names_that_could_forge_or_hide_are_refused(name: str) -> None:
    reason, _ = World().refused(c.CreateNetwork(NetworkId(fresh_id("network")), name))
    assert reason is Reason.INVALID_INPUT


def test_a_network_must_be_empty_to_be_removed() -> None:
    world = World()
    network = world.network()
    connector = world.connector(network)
    resource = world.resource(network)
    assert world.refused(c.RemoveNetwork(network))[0] is Reason.IN_USE
    world.do(c.RemoveConnector(connector))
    assert "1 resources" in world.refused(c.RemoveNetwork(network))[1]
    world.do(c.RemoveResource(resource))
    world.do(c.RemoveNetwork(network))
    assert network not in world.state.networks


@pytest.mark.parametrize(
    "command",
    [
        lambda missing: c.RenameNetwork(missing, "x"),
        lambda missing: c.ChangeNetworkEgress(missing, ()),
        lambda missing: c.RemoveNetwork(missing),
        lambda missing: c.CreateConnector(ConnectorId(fresh_id("connector")), missing, "x"),
        lambda missing: new_resource(missing),
        lambda missing: c.EnrolConnector(ConnectorId(missing), fresh_key(), PIN),
        lambda missing: c.RemoveConnector(ConnectorId(missing)),
        lambda missing: c.EnrolRelay(RelayId(missing), fresh_key()),
        lambda missing: c.RemoveRelay(RelayId(missing)),
        lambda missing: c.ChangeResource(ResourceId(missing)),
        lambda missing: c.RemoveResource(ResourceId(missing)),
    ],
)
def test_unknown_ids_are_not_found_by_name(command: object) -> None:
    missing = NetworkId("net_AAAAAAAAAAAAAAAAAAAAAA")
    reason, detail = World().refused(command(missing))  # type: ignore[operator]
    assert reason is Reason.NOT_FOUND
    assert missing in detail


def test_an_address_is_stored_in_its_canonical_form() -> None:
    world = World()
    (created,) = world.do(new_resource(world.network(), address="DB.Prod.INTERNAL."))
    assert isinstance(created, ResourceCreated)
    assert created.address == "db.prod.internal"


@pytest.mark.parametrize("address", ["", "10.0.0.1/8", "*", "a..b", "127.1", "x y"])
def test_a_wrong_address_is_refused(address: str) -> None:
    world = World()
    reason, detail = world.refused(new_resource(world.network(), address=address))
    assert reason is Reason.INVALID_INPUT
    assert detail.startswith("address")


def test_one_address_is_one_resource_per_network_but_may_nest_in_another() -> None:
    world = World()
    network, other = world.network(), world.network()
    first = world.resource(network, "10.1.0.0/16", name="office")
    reason, detail = world.refused(new_resource(network, address="10.1.0.0/16"))
    assert reason is Reason.ALREADY_EXISTS
    assert "office" in detail
    assert first in detail
    world.resource(other, "10.1.0.0/16")
    nested = world.resource(network, "10.1.2.3")
    assert world.refused(c.ChangeResource(nested, address="10.1.0.0/16"))[0] is Reason.ALREADY_EXISTS
    world.do(c.RemoveResource(first))
    world.do(c.ChangeResource(nested, address="10.1.0.0/16"))
    world.resource(network, "10.1.2.3")


def test_ports_are_sorted_and_merged() -> None:
    world = World()
    ports = Ports(
        tcp=(PortRange(90, 100), PortRange(80, 80), PortRange(81, 89)), udp=(PortRange(1, 5), PortRange(3, 9))
    )
    resource = world.resource(world.network(), ports=ports)
    stored = world.state.resources[resource].ports
    assert stored == Ports(tcp=(PortRange(80, 100),), udp=(PortRange(1, 9),))


@pytest.mark.parametrize("wrong", [PortRange(0, 1), PortRange(5, 4), PortRange(1, 65536)])
def test_wrong_ports_are_refused(wrong: PortRange) -> None:
    world = World()
    network = world.network()
    assert world.refused(new_resource(network, ports=Ports(tcp=(wrong,))))[0] is Reason.INVALID_INPUT
    assert world.refused(new_resource(network, ports=Ports(udp=(wrong,))))[0] is Reason.INVALID_INPUT


def test_too_many_port_ranges_are_refused() -> None:
    world = World()
    many = Ports(tcp=tuple(PortRange(port, port) for port in range(1, 200, 2)))
    assert world.refused(new_resource(world.network(), ports=many))[0] is Reason.INVALID_INPUT


@pytest.mark.parametrize("lease_s", [LEASE_MIN_S - 1, LEASE_MAX_S + 1, -1])
def test_a_lease_outside_its_limits_is_refused(lease_s: int) -> None:
    world = World()
    assert world.refused(new_resource(world.network(), lease_s=lease_s))[0] is Reason.INVALID_INPUT


def test_changing_a_resource_keeps_what_is_not_named() -> None:
    world = World()
    network, other = world.network(), world.network()
    resource = world.resource(network, "db.internal", name="db")
    (changed,) = world.do(c.ChangeResource(resource, lease_s=60))
    assert changed == ResourceChanged(resource, network, "db", "db.internal", WEB, 60)
    assert world.do(c.ChangeResource(resource, lease_s=60, name="db")) == ()
    world.do(c.ChangeResource(resource, network=other, name="DB", ports=Ports(icmp=True)))
    moved = world.state.resources[resource]
    assert (moved.network, moved.name, moved.ports) == (other, "DB", Ports(icmp=True))


def test_an_id_is_never_used_twice_and_must_be_of_its_kind() -> None:
    world = World()
    network = world.network()
    world.do(c.RemoveNetwork(network))
    assert world.refused(c.CreateNetwork(network, "again"))[0] is Reason.ALREADY_EXISTS
    assert world.refused(c.CreateNetwork(NetworkId(fresh_id("user")), "x"))[0] is Reason.INVALID_INPUT
    assert world.refused(c.CreateNetwork(NetworkId("controller"), "x"))[0] is Reason.INVALID_INPUT


def test_t32_egress_overrides_are_canonical_addresses_only() -> None:
    world = World()
    network = world.network()
    world.do(c.ChangeNetworkEgress(network, ("169.254.169.254", "10.0.0.0/8", "169.254.169.254")))
    assert world.state.networks[network].egress_allow == ("10.0.0.0/8", "169.254.169.254")
    assert world.do(c.ChangeNetworkEgress(network, ("10.0.0.0/8", "169.254.169.254"))) == ()
    for wrong in (("metadata.internal",), ("10.0.0.1/8",), tuple(f"10.0.0.{n}" for n in range(65))):
        assert world.refused(c.ChangeNetworkEgress(network, wrong))[0] is Reason.INVALID_INPUT


def test_a_connector_can_be_enrolled_again_with_another_key() -> None:
    world = World()
    connector = world.connector(world.network())
    key = fresh_key()
    world.do(c.EnrolConnector(connector, key, PIN))
    assert world.state.connectors[connector].key == key
    assert world.refused(c.EnrolConnector(connector, key, SpkiPin("sha1/x")))[0] is Reason.INVALID_INPUT


def test_a_relay_has_its_own_name_and_port() -> None:
    world = World()
    world.relay("Relay.Example", 443)
    assert {relay.fqdn for relay in world.state.relays.values()} == {"relay.example"}
    world.relay("relay.example", 444)
    taken = c.CreateRelay(RelayId(fresh_id("relay")), "third", "RELAY.example.", 443)
    assert world.refused(taken)[0] is Reason.ALREADY_EXISTS
    for fqdn, port in (("a b", 443), ("x.example", 0), ("x.example", 65536)):
        wrong = c.CreateRelay(RelayId(fresh_id("relay")), "fourth", fqdn, port)
        assert world.refused(wrong)[0] is Reason.INVALID_INPUT
