"""Addresses that nobody means when he names a host: the machine itself, its link, the cloud's metadata (T-15, T-31 to T-33).

Connectors never dial them for a resource, and the controller never fetches from them. An IPv6 address that carries an IPv4
address (v4-mapped, v4-compatible, NAT64, 6to4, Teredo, ISATAP) can lead to the same host, so each of ``faces_of`` is judged.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Final

from protocol.acl.model import IPAddress

_FORBIDDEN_V4: Final = (
    ("0.0.0.0/8", "unspecified"),  # Linux connects 0.0.0.0 to itself
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local or cloud metadata"),
    ("168.63.129.16/32", "cloud metadata"),  # Azure
    ("100.100.100.200/32", "cloud metadata"),  # Alibaba
    ("192.0.0.192/32", "cloud metadata"),  # Oracle
    ("224.0.0.0/4", "multicast"),
    ("255.255.255.255/32", "broadcast"),
)
_FORBIDDEN_V6: Final = (
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("fe80::/10", "link-local"),
    ("fd00:ec2::254/128", "cloud metadata"),  # AWS
    ("fd20:ce::254/128", "cloud metadata"),  # Google
    ("fd00:42::42/128", "cloud metadata"),  # Scaleway
    ("ff00::/8", "multicast"),
)


def _ranges(table: Sequence[tuple[str, str]]) -> tuple[tuple[int, int, str], ...]:
    networks = ((ipaddress.ip_network(text), kind) for text, kind in table)
    return tuple((int(net.network_address), int(net.broadcast_address), kind) for net, kind in networks)


_RANGES_V4: Final = _ranges(_FORBIDDEN_V4)
_RANGES_V6: Final = _ranges(_FORBIDDEN_V6)
_LOW_32: Final = 2**32 - 1


def faces_of(address: IPAddress) -> Iterator[IPAddress]:
    """Yields the address itself and every IPv4 address that it may lead to."""
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        for number in _carried(int(address)):
            yield ipaddress.IPv4Address(number & _LOW_32)


def _carried(number: int) -> Iterator[int]:
    """Yields the IPv4 addresses (in the low 32 bits) that an IPv6 address carries."""
    top_16, top_32, top_48, top_96 = number >> 112, number >> 96, number >> 80, number >> 32
    # The branches stand apart because each has its own source.
    if top_96 == 0 and number > 1:  # noqa: SIM114 - v4-compatible, RFC 4291 section 2.5.5.1; :: and ::1 are themselves
        yield number
    elif top_96 == 0x64FF9B << 64:  # NAT64, RFC 6052
        yield number
    elif top_48 == 0x64FF9B0001:  # local NAT64, RFC 8215: any of RFC 6052's prefix lengths (its section 2.2)
        yield number
        yield ((number >> 64) & 0xFFFF) << 16 | (number >> 40) & 0xFFFF
        yield ((number >> 64) & 0xFF) << 24 | (number >> 32) & 0xFFFFFF
        yield number >> 24
    elif top_16 == 0x2002:  # 6to4, RFC 3056
        yield number >> 80
    elif top_32 == 0x2001_0000:  # Teredo, RFC 4380: server, and client with its bits turned over
        yield number >> 64
        yield ~number
    if (number >> 32) & 0xFCFF_FFFF == 0x0000_5EFE:  # ISATAP, RFC 5214 section 6.1
        yield number


def forbidden_kind(address: IPAddress) -> str | None:
    """Returns what makes this very address forbidden, in a word or two; None for an ordinary one."""
    number = int(address)
    ranges = _RANGES_V4 if isinstance(address, ipaddress.IPv4Address) else _RANGES_V6
    for first, last, kind in ranges:
        if first <= number <= last:
            return kind
    return None


def group_of(address: str) -> str:
    """Returns what counts as one address: an IPv4 address, or the /64 of an IPv6 one (one host may have all of it)."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False).network_address)
    return str(ip)
