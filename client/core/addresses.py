"""Which addresses the client takes for itself: A, N, the self-test's and the pool of synthetic ones.

A is the device's own address (listener and DNS server), N its never assigned neighbour from which turned-around
connections seem to come, the probe is where the self-test connects to.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from protocol.acl.model import IPNetwork
from protocol.errors import LocalError
from protocol.reasons import Reason

POOLS_V4: Final = tuple(
    IPv4Network(text) for text in ("100.96.0.0/16", "100.112.0.0/16", "100.72.0.0/16", "198.18.0.0/16", "198.19.0.0/16")
)
"""Default pool and its alternatives: RFC 6598's shared space, which is neither public nor a company's own; and, where another
VPN or a provider has all of that, the space for benchmarks (RFC 2544), which no network routes."""
POOL_V6: Final = IPv6Network("fd6f:7374:6961::/64")

_FIRST_SYNTHETIC: Final = 16
_SMALLEST_POOL: Final = 24
"""Prefix length: 240 names."""
_WIDE: Final = 8
"""A route shorter than this is a default route in pieces (0/1 and 128/1 of a VPN), not a use of our pool."""


@dataclass(frozen=True, slots=True)
class AddressPlan:
    """The pools in use; ``pool_v6`` is None on a host without IPv6."""

    pool_v4: IPv4Network
    pool_v6: IPv6Network | None

    @property
    def own_v4(self) -> IPv4Address:
        """A: address of the device, of the listener and of the DNS server."""
        return self.pool_v4[1]

    @property
    def peer_v4(self) -> IPv4Address:
        """N."""
        return self.pool_v4[2]

    @property
    def probe_v4(self) -> IPv4Address:
        """Where the self-test connects to."""
        return self.pool_v4[3]

    @property
    def own_v6(self) -> IPv6Address | None:
        """A of IPv6."""
        return None if self.pool_v6 is None else self.pool_v6[1]

    @property
    def peer_v6(self) -> IPv6Address | None:
        """N of IPv6."""
        return None if self.pool_v6 is None else self.pool_v6[2]

    @property
    def probe_v6(self) -> IPv6Address | None:
        """Where the self-test connects to."""
        return None if self.pool_v6 is None else self.pool_v6[3]

    @property
    def capacity(self) -> int:
        """How many names can have a synthetic address."""
        return self.pool_v4.num_addresses - _FIRST_SYNTHETIC - 1

    def synthetic(self, index: int) -> tuple[IPv4Address, IPv6Address | None]:
        """Returns the pair of addresses number ``index`` (0 to ``capacity`` - 1)."""
        offset = _FIRST_SYNTHETIC + index
        return self.pool_v4[offset], None if self.pool_v6 is None else self.pool_v6[offset]

    def contains(self, address: IPv4Address | IPv6Address) -> bool:
        """Tells whether ``address`` lies in one of the pools."""
        if isinstance(address, IPv4Address):
            return address in self.pool_v4
        return self.pool_v6 is not None and address in self.pool_v6


def plan_addresses(
    in_use: Iterable[IPNetwork],
    *,
    pools_v4: Iterable[IPv4Network] = POOLS_V4,
    pool_v6: IPv6Network | None = POOL_V6,
    owners: Mapping[IPNetwork, str] | None = None,
) -> AddressPlan:
    """Returns a plan whose pools touch nothing that the host uses already.

    Args:
        in_use: the host's addresses and routes, and the CIDRs of resources.
        pools_v4: candidates, best first. One that an administrator chose comes alone.
        pool_v6: None leaves IPv6 out; so does a collision, because names can live without it.
        owners: the devices that the networks in use are on, to name them.

    Raises:
        LocalError: ADDRESS_COLLISION, naming what collides.
    """
    used = [network for network in in_use if network.prefixlen >= _WIDE]
    collisions = []
    for pool in pools_v4:
        if pool.prefixlen > _SMALLEST_POOL:
            raise LocalError(Reason.CONFIG_INVALID, f"the pool {pool} is too small: at least a /{_SMALLEST_POOL}")
        collision = _collision(pool, used)
        if collision is None:
            free_v6 = None if pool_v6 is None or _collision(pool_v6, used) is not None else pool_v6
            return AddressPlan(pool, free_v6)
        owner = (owners or {}).get(collision)
        collisions.append(f"{pool} collides with {collision}" + (f" on {owner}" if owner else ""))
    raise LocalError(Reason.ADDRESS_COLLISION, "; ".join(collisions))


def _collision(pool: IPNetwork, used: list[IPNetwork]) -> IPNetwork | None:
    return next((network for network in used if network.version == pool.version and network.overlaps(pool)), None)


def host_route(address: IPv4Address | IPv6Address) -> IPNetwork:
    """Returns the /32 or /128 of ``address``."""
    return ipaddress.ip_network(address)
