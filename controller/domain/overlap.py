"""Whether two resources meet: is there anything that both of them let through?

Patterns never cross: of two that share a host, one covers the other. Networks are not looked at, because a request names a host
and not a network. What a name resolves to is not known here: a name never meets an address.
"""

from collections.abc import Iterable

from protocol.acl.diff import address_covers
from protocol.acl.model import AddressPattern, PortRange, Ports, Resource


def resources_overlap(one: Resource, other: Resource) -> bool:
    """Tells whether some host, transport and port is in both; a resource always meets itself."""
    return one.id == other.id or (ports_overlap(one.ports, other.ports) and overlaps(one.address, other.address))


def overlaps(one: AddressPattern, other: AddressPattern) -> bool:
    """Tells whether some host is covered by both patterns."""
    return address_covers(one, other) or address_covers(other, one)


def overlapping(address: AddressPattern, resources: Iterable[Resource]) -> list[Resource]:
    """Returns the resources that share a host with the address: the equal ones first, then wider ones, then those within it."""

    def order(item: Resource) -> tuple[int, str, str]:
        distance = 0 if item.address == address else 1 if address_covers(item.address, address) else 2
        return distance, str(item.address), item.id

    return sorted((item for item in resources if overlaps(item.address, address)), key=order)


def ports_overlap(one: Ports, other: Ports) -> bool:
    """Tells whether some port of some transport is in both; ICMP counts as one."""
    return (one.icmp and other.icmp) or _meet(one.tcp, other.tcp) or _meet(one.udp, other.udp)


def _meet(one: tuple[PortRange, ...], other: tuple[PortRange, ...]) -> bool:
    return any(left.first <= right.last and right.first <= left.last for left in one for right in other)
