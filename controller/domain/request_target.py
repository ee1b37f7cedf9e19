"""What a person means by what he asks for: a resource's id, its name, or a host that some resource covers.

The asker is told nothing of the outcome: whether something exists is not his to learn (T-10). Hosts are looked up by the
patterns that could cover them, so that the cost does not grow with the number of resources.
"""

import ipaddress
from collections.abc import Iterator

from controller.domain.rules import RuleBrokenError, clean_name
from controller.domain.state import PolicyState, fold_name
from protocol.acl.model import IPAddress, PortRange, Resource
from protocol.acl.names import parse_host
from protocol.errors import LocalError
from protocol.ids import ResourceId, is_id
from protocol.reasons import Reason

CANDIDATES_MAX = 10


def parse_target(text: str) -> str:
    """Returns the canonical form of what a person typed: an id, a host, else a name.

    Raises:
        RuleBrokenError: INVALID_INPUT.
    """
    plain = text.strip()
    if is_id(plain, "resource"):
        return plain
    try:
        return str(parse_host(plain))
    except LocalError:
        pass
    try:
        return clean_name(plain)
    except RuleBrokenError as broken:
        raise RuleBrokenError(Reason.INVALID_INPUT, "target: a host or the name of a resource") from broken


def candidates(state: PolicyState, target: str, port: int | None = None) -> tuple[ResourceId, ...]:
    """Returns the resources that a canonical target can mean, the likeliest first; at most CANDIDATES_MAX.

    What includes the port comes first, then what is more specific.
    """
    if is_id(target, "resource"):
        return (ResourceId(target),) if ResourceId(target) in state.resources else ()
    named = state.names.get(("resource", fold_name(target)))
    if named is not None:
        return (ResourceId(named),)
    found: list[Resource] = []
    networks = sorted(state.networks)
    for pattern in _covering(target):
        for network in networks:
            resource = state.addresses.get((network, pattern))
            if resource is not None:
                found.append(state.resources[resource])
    found.sort(key=lambda resource: not _includes(resource, port))
    return tuple(resource.id for resource in found[:CANDIDATES_MAX])


def meant(state: PolicyState, target: str, port: int | None = None) -> ResourceId | None:
    """Returns the one resource that the target means; None when it is none, or the same address in several networks."""
    found = candidates(state, target, port)
    if not found:
        return None
    best = state.resources[found[0]]
    same = [other for other in found if state.resources[other].address == best.address]
    return best.id if len(same) == 1 else None


def _covering(target: str) -> Iterator[str]:
    """The canonical patterns that cover a host, most specific first."""
    try:
        host = parse_host(target)
    except LocalError:
        return
    if isinstance(host, str):
        yield host
        dot = host.find(".")
        while dot >= 0:
            yield f"*{host[dot:]}"
            dot = host.find(".", dot + 1)
        return
    yield from _networks(host)


def _networks(address: IPAddress) -> Iterator[str]:
    yield str(address)
    for length in range(address.max_prefixlen - 1, -1, -1):
        yield str(ipaddress.ip_network((address, length), strict=False))


def _includes(resource: Resource, port: int | None) -> bool:
    ranges: tuple[PortRange, ...] = (*resource.ports.tcp, *resource.ports.udp)
    return port is None or any(item.first <= port <= item.last for item in ranges)
