"""What a person means by what he asks for."""

import pytest
from policy_world import World

from controller.domain.request_target import CANDIDATES_MAX, candidates, meant, parse_target
from controller.domain.rules import RuleBrokenError
from protocol.acl.model import PortRange, Ports
from protocol.ids import ResourceId


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        (" DB.Corp. ", "db.corp"),
        ("10.0.0.5", "10.0.0.5"),
        ("::ffff:10.0.0.5", "10.0.0.5"),
        ("2001:DB8::1", "2001:db8::1"),
        ("Payroll database", "Payroll database"),
        ("res_AAAAAAAAAAAAAAAAAAAAAA", "res_AAAAAAAAAAAAAAAAAAAAAA"),
    ],
)
def test_what_was_typed_gets_one_form(typed: str, canonical: str) -> None:
    assert parse_target(typed) == canonical
    assert parse_target(canonical) == canonical


@pytest.mark.parametrize("typed", ["", "  ", "a\x00b", "line\nbreak", "x" * 300])
def test_nonsense_is_refused(typed: str) -> None:
    with pytest.raises(RuleBrokenError, match="target"):
        parse_target(typed)


def test_the_most_specific_resource_is_meant() -> None:
    world = World()
    network = world.network()
    wide = world.resource(network, "*.corp")
    narrow = world.resource(network, "*.db.corp")
    exact = world.resource(network, "a.db.corp")
    assert candidates(world.state, "a.db.corp") == (exact, narrow, wide)
    assert meant(world.state, "b.db.corp") == narrow
    assert meant(world.state, "corp") is None


def test_t34_neither_evilcorp_nor_corp_is_covered() -> None:
    world = World()
    world.resource(world.network(), "*.corp")
    assert candidates(world.state, "evilcorp") == ()
    assert candidates(world.state, "corp") == ()


def test_addresses_by_longest_prefix() -> None:
    world = World()
    network = world.network()
    wide, narrow = world.resource(network, "10.0.0.0/8"), world.resource(network, "10.0.0.0/30")
    one, six = world.resource(network, "10.0.0.1"), world.resource(network, "fd00::/8")
    assert candidates(world.state, "10.0.0.1") == (one, narrow, wide)
    assert meant(world.state, "10.9.9.9") == wide
    assert meant(world.state, "fd00::7") == six
    assert meant(world.state, "11.0.0.1") is None


def test_what_includes_the_port_comes_first() -> None:
    world = World()
    network = world.network()
    web = world.resource(network, "a.corp")
    ssh = world.resource(network, "*.corp", Ports(tcp=(PortRange(22, 22),)))
    assert candidates(world.state, "a.corp", 22) == (ssh, web)
    assert candidates(world.state, "a.corp", 443) == (web, ssh)


def test_by_name_and_by_id() -> None:
    world = World()
    resource = world.resource(world.network(), name="Payroll")
    assert meant(world.state, "payroll") == resource
    assert meant(world.state, resource) == resource
    assert meant(world.state, ResourceId("res_AAAAAAAAAAAAAAAAAAAAAA")) is None
    assert meant(world.state, "pay roll") is None


def test_one_address_in_several_networks_means_none_of_them() -> None:
    world = World()
    resources = {world.resource(world.network(), "10.0.0.5") for _ in range(CANDIDATES_MAX + 3)}
    assert meant(world.state, "10.0.0.5") is None
    found = candidates(world.state, "10.0.0.5")
    assert len(found) == CANDIDATES_MAX
    assert set(found) <= resources
