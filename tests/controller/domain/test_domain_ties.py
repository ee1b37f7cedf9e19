"""Which resources an address alone cannot tell apart."""

from controller.domain.ties import ties
from protocol.acl.model import PortRange, Ports, Resource
from protocol.acl.names import parse_pattern
from protocol.ids import NetworkId, ResourceId

OFFICE, PLANT = (NetworkId("net_" + letter * 22) for letter in "OP")


def resource(number: int, network: NetworkId, address: str, port: int = 80) -> Resource:
    ports = Ports(tcp=(PortRange(port, port),))
    return Resource(ResourceId(f"res_{number:022d}"), f"thing {number}", network, parse_pattern(address), ports, 60)


def test_only_the_same_address_in_another_network_on_a_common_port_ties() -> None:
    mine = resource(5, OFFICE, "10.0.0.0/24")
    same, earlier = resource(7, PLANT, "10.0.0.0/24"), resource(2, PLANT, "10.0.0.0/24")
    others = [
        mine,
        same,
        resource(8, OFFICE, "10.0.0.0/24"),
        resource(9, PLANT, "10.0.0.0/25"),
        resource(10, PLANT, "10.0.0.0/16"),
        resource(11, PLANT, "10.0.0.0/24", port=22),
        earlier,
    ]
    assert ties(mine, others) == (earlier, same)
    assert ties(resource(5, OFFICE, "wiki.corp"), [resource(6, PLANT, "wiki.corp")]) != ()
