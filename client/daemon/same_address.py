"""One address, several meanings: what else `explain` says about it, and what `status` warns of.

Of several remote networks the most specific resource decides; equal ones are decided by the resource's id, which is the same
answer every time and on every host, and each stays in reach by the name of its network. A resource beats the network that
this host stands in (T-53).
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import structlog

from client.core.addresses import AddressPlan
from client.core.network_names import NetworkNames
from protocol.acl.match import AclIndex
from protocol.acl.model import Entry, IPAddress, IPNetwork
from protocol.errors import LocalError
from protocol.ids import NetworkId
from protocol.reasons import Reason

_SHOWN_MAX: Final = 8
_OVERLAP, _POOL = "local-overlap", "pool"
_WIDE: Final = 8
"""A local network wider than this is a default route in pieces, not a place where this host stands."""

_log = structlog.get_logger(__name__)


class LocalNetworks:
    """The networks that this host stands in, and the warnings that follow from them.

    Args:
        in_use: asks the kernel.
        warnings: of ``status``; ours are put there and taken away.
    """

    def __init__(self, in_use: Callable[[], Awaitable[tuple[IPNetwork, ...]]], warnings: dict[str, LocalError]) -> None:
        self._in_use = in_use
        self._warnings = warnings
        self.current: tuple[IPNetwork, ...] = ()

    async def refresh(self, plan: AddressPlan, routes: Iterable[IPNetwork]) -> None:
        """Looks once more; ``routes`` are those of resources. Raises LocalError."""
        used = await self._in_use()
        self.current = tuple(each for each in used if each.prefixlen < each.max_prefixlen)
        self._set(_OVERLAP, local_overlap(routes, self.current))
        pools = [pool for pool in (plan.pool_v4, plan.pool_v6) if pool is not None]
        met = [(pool, each) for pool in pools for each in used if pool.version == each.version and pool.overlaps(each)]
        met = [(pool, each) for pool, each in met if each.prefixlen >= _WIDE]
        text = "; ".join(f"{pool} and {each}, which came later" for pool, each in met[:3])
        self._set(_POOL, LocalError(Reason.ADDRESS_COLLISION, text) if met else None)

    def _set(self, key: str, warning: LocalError | None) -> None:
        known = self._warnings.get(key)
        if warning is None:
            self._warnings.pop(key, None)
        elif known is None or known.detail != warning.detail:
            _log.warning("network.overlap", reason=warning.reason.code, detail=warning.detail)
            self._warnings[key] = warning


def meanings(
    host: str | IPAddress, chosen: Entry, index: AclIndex, names: NetworkNames, networks: Mapping[NetworkId, str]
) -> list[dict[str, Any]]:
    """Returns the other remote networks whose resources cover ``host`` just as well as ``chosen``, and how to reach each.

    Names need no other way: they are one resource's, or a tie that only an administrator can solve.
    """
    found = []
    for entry in index.match(host):
        resource = entry.resource
        if resource.network == chosen.resource.network or resource.address != chosen.resource.address:
            continue
        found.append(
            {
                "resource": resource.id,
                "resource_name": resource.name,
                "network": resource.network,
                "network_name": networks.get(resource.network, ""),
                "name": None if isinstance(host, str) else names.name_of(host, resource.network),
            }
        )
    return found[:_SHOWN_MAX]


def local_network(host: str | IPAddress, local: Iterable[IPNetwork]) -> IPNetwork | None:
    """Returns the narrowest network of this host's own that holds ``host`` as well."""
    if isinstance(host, str):
        return None
    holding = [each for each in local if each.version == host.version and each.prefixlen >= _WIDE and host in each]
    return max(holding, key=lambda each: each.prefixlen, default=None)


def local_overlap(routes: Iterable[IPNetwork], local: Iterable[IPNetwork]) -> LocalError | None:
    """Returns the warning that resources lie in the network where this host stands; None when none does."""
    mine = [each for each in local if each.prefixlen >= _WIDE]
    met = [
        f"{route} and {each}"
        for route in sorted(set(routes), key=str)
        for each in mine
        if route.version == each.version and route.overlaps(each)
    ]
    if not met:
        return None
    more = f", and {len(met) - 3} more" if len(met) > 3 else ""
    return LocalError(Reason.NETWORK_OVERLAP, "; ".join(met[:3]) + more)
