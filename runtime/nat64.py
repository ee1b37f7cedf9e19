"""IPv4 addresses on a network that has only IPv6 and a NAT64: which IPv6 address reaches them (RFC 7050, RFC 6052).

Names need nothing of this, DNS64 answers for them. An address literal, as the URL of a controller may hold it, has no name
that could be asked about (RFC 8305 section 7.1).
"""

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Final

WELL_KNOWN_NAME: Final = "ipv4only.arpa"
"""Has only IPv4 addresses; whoever answers with IPv6 ones has embedded these."""
_WELL_KNOWN: Final = (IPv4Address("192.0.0.170"), IPv4Address("192.0.0.171"))
_PLACES: Final = {
    96: (12, 13, 14, 15),
    64: (9, 10, 11, 12),
    56: (7, 9, 10, 11),
    48: (6, 7, 9, 10),
    40: (5, 6, 7, 9),
    32: (4, 5, 6, 7),
}
"""Prefix length -> which bytes hold the IPv4 address; byte 8 stays zero."""


def find_prefixes(answers: Iterable[IPv6Address]) -> tuple[IPv6Network, ...]:
    """Returns the prefixes of the NAT64s that made these addresses of WELL_KNOWN_NAME, in their order."""
    found: dict[IPv6Network, None] = {}
    for answer in answers:
        packed = answer.packed
        for length, places in _PLACES.items():
            if IPv4Address(bytes(packed[place] for place in places)) in _WELL_KNOWN:
                found.setdefault(ipaddress.IPv6Network((answer, length), strict=False))
                break
    return tuple(found)


def synthesise(address: IPv4Address, prefix: IPv6Network) -> IPv6Address:
    """Returns the IPv6 address that stands for ``address`` behind ``prefix``."""
    packed = bytearray(prefix.network_address.packed)
    for place, byte in zip(_PLACES[prefix.prefixlen], address.packed, strict=True):
        packed[place] = byte
    return IPv6Address(bytes(packed))
