"""Whom a DNS question is about, for names that are not those of hosts themselves (T-54).

    10.0.20.10.in-addr.arpa          the address 10.20.0.10 (RFC 1035 section 3.5, RFC 3596 section 2.5)
    _8443._https.wiki.corp.internal  the host wiki.corp.internal (RFC 8552; RFC 9460 section 2.3)

Client and connector ask the same function, so that such a question goes where the host's own go, and nowhere else.
"""

import ipaddress
from typing import Final

from protocol.acl.match import AclIndex
from protocol.acl.model import Entry, IPAddress

_V4: Final = ".in-addr.arpa"
_V6: Final = ".ip6.arpa"
_OCTETS: Final = frozenset(str(number) for number in range(256))
_NIBBLES: Final = frozenset("0123456789abcdef")


def service_owner(name: str) -> str:
    """Returns ``name`` (lower case) without the labels at its beginning that start with ``_``; the last label stays."""
    while name.startswith("_") and "." in name:
        name = name.partition(".")[2]
    return name


def reverse_address(name: str) -> IPAddress | None:
    """Returns the address that a reverse name (lower case) stands for; None for any other name and for parts of one."""
    if name.endswith(_V4):
        octets = name.removesuffix(_V4).split(".")
        if len(octets) == 4 and _OCTETS.issuperset(octets):
            return ipaddress.IPv4Address(".".join(reversed(octets)))
    elif name.endswith(_V6):
        nibbles = name.removesuffix(_V6).split(".")
        if len(nibbles) == 32 and _NIBBLES.issuperset(nibbles):
            return ipaddress.IPv6Address(int("".join(reversed(nibbles)), 16))
    return None


def match_question(index: AclIndex, name: str) -> tuple[Entry, ...]:
    """Returns the entries that a question about ``name`` (canonical) belongs to, most specific first.

    They are those of the host or address that it is about, else those of the name itself (``_ldap._tcp.corp.internal`` is
    one below ``*.corp.internal``).
    """
    address = reverse_address(name)
    if address is not None:
        return index.match_address(address) or index.match_name(name)
    owner = service_owner(name)
    found = index.match_name(owner)
    return found if found or owner == name else index.match_name(name)
