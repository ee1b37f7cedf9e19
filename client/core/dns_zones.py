"""Which domains the host's resolver has to send to us, where it can split (field note a.7; RFC 1035, RFC 3596).

Names of resources, and reverse zones, so that a lookup of a synthetic address finds its name, and one of a resource's own
address is not asked of strangers. A zone may cover more than we serve; what is not ours goes on unchanged.
"""

from collections.abc import Iterable
from typing import Final

from protocol.acl.model import IPNetwork

ZONES_MAX: Final = 200
"""systemd-resolved takes 256 for a link."""


def reverse_zone(network: IPNetwork) -> str:
    """Returns the smallest reverse zone, cut at whole octets or nibbles, that covers ``network``."""
    step = 8 if network.version == 4 else 4
    kept = network.prefixlen // step
    labels = network.network_address.reverse_pointer.split(".")
    return ".".join(labels[len(labels) - 2 - kept :])


def zones(
    domains: Iterable[str],
    networks: Iterable[IPNetwork],
    *,
    searches: Iterable[str] = (),
    limit: int = ZONES_MAX,
) -> tuple[str, ...]:
    """Returns the domains to route, none below another one, at most ``limit``.

    Too many are replaced by their parents, the longest first. A network that is everything has no zone: its reverse names
    stay with the host's resolver.

    Args:
        searches: the host's search domains. They are routed to another link already, and who routes the same domain is
            asked as well; so a name below one is replaced by it only when nothing else is left to replace.
    """
    kept = frozenset(searches)
    found = _outermost({*domains, *(reverse_zone(network) for network in networks if network.prefixlen)})
    while len(found) > limit:
        wider = {domain for domain in found if _parent(domain) not in kept} or found
        deepest = max(domain.count(".") for domain in wider)
        if deepest < 1:
            if wider == found:
                return (".",)
            wider, deepest = found, max(domain.count(".") for domain in found)
        found = _outermost(
            {_parent(domain) if domain in wider and domain.count(".") == deepest else domain for domain in found}
        )
    return tuple(sorted(found))


def _outermost(domains: set[str]) -> set[str]:
    return {domain for domain in domains if not any(parent in domains for parent in _parents(domain))}


def _parents(domain: str) -> Iterable[str]:
    while "." in domain:
        domain = _parent(domain)
        yield domain


def _parent(domain: str) -> str:
    return domain.partition(".")[2]
