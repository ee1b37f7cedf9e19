"""One address with several meanings: told, decided the same way every time, and never silently."""

from ipaddress import ip_address, ip_network

from client.core.addresses import POOL_V6, POOLS_V4, AddressPlan
from client.core.network_names import NetworkNames
from client.daemon.same_address import LocalNetworks, local_network, local_overlap, meanings
from protocol.acl.match import AclIndex
from protocol.acl.model import ALL_PORTS, Acl, Entry, IPNetwork, Ports, Resource
from protocol.acl.names import parse_pattern
from protocol.errors import LocalError
from protocol.ids import GrantId, NetworkId, ResourceId
from protocol.reasons import Reason

OFFICE, PLANT = (NetworkId("net_" + letter * 22) for letter in "OP")
NETWORKS = {OFFICE: "office", PLANT: "plant"}


def entry(number: int, network: NetworkId, address: str) -> Entry:
    resource = Resource(
        ResourceId(f"res_{number:022d}"),
        f"thing {number}",
        network,
        parse_pattern(address),
        Ports(tcp=(ALL_PORTS,)),
        60,
    )
    return Entry(resource, (GrantId("gra_" + "G" * 22),))


def test_the_same_range_elsewhere_is_named_with_its_way() -> None:
    index = AclIndex(
        Acl((entry(1, OFFICE, "10.0.0.0/24"), entry(2, PLANT, "10.0.0.0/24"), entry(3, PLANT, "10.0.0.0/8")))
    )
    host = ip_address("10.0.0.5")
    chosen = index.match(host)[0]
    assert chosen.resource.network == OFFICE
    [other] = meanings(host, chosen, index, NetworkNames(NETWORKS), NETWORKS)
    assert (other["network_name"], other["resource_name"]) == ("plant", "thing 2")
    assert other["name"] == "10-0-0-5.plant.net.ostiary.internal"


def test_what_is_more_specific_is_no_tie() -> None:
    index = AclIndex(Acl((entry(1, OFFICE, "10.0.0.5"), entry(2, PLANT, "10.0.0.0/24"))))
    host = ip_address("10.0.0.5")
    assert meanings(host, index.match(host)[0], index, NetworkNames(NETWORKS), NETWORKS) == []


def test_a_name_in_two_networks_is_told_without_a_way() -> None:
    index = AclIndex(Acl((entry(1, OFFICE, "wiki.corp"), entry(2, PLANT, "wiki.corp"))))
    [other] = meanings("wiki.corp", index.match("wiki.corp")[0], index, NetworkNames(NETWORKS), NETWORKS)
    assert (other["network_name"], other["name"]) == ("plant", None)


def test_the_local_network_that_a_resource_hides() -> None:
    local = (ip_network("192.168.1.0/24"), ip_network("0.0.0.0/1"), ip_network("fe80::/64"))
    assert local_network(ip_address("192.168.1.7"), local) == local[0]
    assert local_network(ip_address("10.0.0.1"), local) is None
    assert local_network("printer.lan", local) is None


def test_t53_an_overlap_with_the_local_network_is_a_warning_that_names_both() -> None:
    local = (ip_network("192.168.1.0/24"), ip_network("0.0.0.0/1"))
    assert local_overlap([ip_network("10.0.0.0/24")], local) is None
    warning = local_overlap([ip_network("192.168.0.0/16"), ip_network("10.0.0.0/24")], local)
    assert warning is not None
    assert warning.reason is Reason.NETWORK_OVERLAP
    assert warning.detail == "192.168.0.0/16 and 192.168.1.0/24"


async def test_t53_warnings_come_and_go_with_the_network_that_this_host_is_in() -> None:
    used: list[IPNetwork] = [ip_network("192.168.1.0/24"), ip_network("192.168.1.7/32")]
    warnings: dict[str, LocalError] = {}

    async def in_use() -> tuple[IPNetwork, ...]:
        return tuple(used)

    local = LocalNetworks(in_use, warnings)
    plan = AddressPlan(POOLS_V4[0], POOL_V6)
    await local.refresh(plan, [ip_network("192.168.1.0/24")])
    assert [each.reason for each in warnings.values()] == [Reason.NETWORK_OVERLAP]
    assert local.current == (ip_network("192.168.1.0/24"),)
    used[:] = [ip_network("100.64.0.0/10")]
    await local.refresh(plan, [ip_network("192.168.1.0/24")])
    [collision] = warnings.values()
    assert collision.reason is Reason.ADDRESS_COLLISION
    assert "100.96.0.0/16 and 100.64.0.0/10" in collision.detail
    used.clear()
    await local.refresh(plan, [ip_network("192.168.1.0/24")])
    assert warnings == {}
