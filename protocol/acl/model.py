"""What may be reached: addresses, ports, resources and access entries.

These values are inside signed tokens; their JSON form (``to_json``/``from_json`` in ``protocol.acl.codec``) is part of
SPEC.md. All are frozen and hashable.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from protocol.ids import GrantId, NetworkId, ResourceId
from protocol.reasons import Reason

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class Transport(Enum):
    """What a flow speaks; the value is the wire form."""

    TCP = "tcp"
    UDP = "udp"
    ICMP = "icmp"


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A name: exact (``db.prod.internal``) or wildcard (``*.corp.internal``).

    ``labels`` are lower-case A-labels without the trailing dot. ``*`` as the whole leftmost label stands for one or more
    labels; it never matches the bare suffix itself (T-34).
    """

    labels: tuple[str, ...]

    @property
    def wildcard(self) -> bool:
        return self.labels[0] == "*"

    def __str__(self) -> str:
        return ".".join(self.labels)


@dataclass(frozen=True, slots=True)
class CidrPattern:
    """One address (a /32 or /128) or a network without host bits."""

    network: IPNetwork

    def __str__(self) -> str:
        if self.network.prefixlen == self.network.max_prefixlen:
            return str(self.network.network_address)
        return str(self.network)


AddressPattern = NamePattern | CidrPattern


@dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """Inclusive at both ends; ``1 <= first <= last <= 65535``."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


ALL_PORTS = PortRange(1, 65535)


@dataclass(frozen=True, slots=True)
class Ports:
    """Which ports of which transports. Empty means nothing: "all" is the explicit value ``ALL_PORTS``."""

    tcp: tuple[PortRange, ...] = ()
    udp: tuple[PortRange, ...] = ()
    icmp: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """Something in a remote network that can be reached."""

    id: ResourceId
    name: str
    network: NetworkId
    address: AddressPattern
    ports: Ports
    lease_s: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One resource that a subject may reach, with the grants that justify it.

    ``expires`` (Unix seconds) is the latest end of the grants; None means no end. ``grants`` is never empty in a client's
    list; in a connector's config it is empty, because a connector serves a destination for anyone who proves access.
    """

    resource: Resource
    grants: tuple[GrantId, ...] = ()
    expires: int | None = None


@dataclass(frozen=True, slots=True)
class Acl:
    """A whitelist. Order carries no meaning; an empty one allows nothing."""

    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One thing that somebody wants to reach. ``host`` is a name (A-labels, lower case) or an address.

    ``port`` is None for ICMP only.
    """

    host: str | IPAddress
    transport: Transport
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Permit:
    """Yes, because of ``entry`` (the most specific match)."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Deny:
    """No. ``resource`` is set when the subject may know that the resource exists."""

    reason: Reason
    resource: ResourceId | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


Decision = Permit | Deny
