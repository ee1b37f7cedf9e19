"""A small universe of names, addresses and ports in which random access lists and requests meet often."""

import ipaddress
import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from protocol.acl.model import (
    Acl,
    AddressPattern,
    CidrPattern,
    Entry,
    IPAddress,
    NamePattern,
    PortRange,
    Ports,
    Request,
    Resource,
    Transport,
)
from protocol.ids import GrantId, NetworkId, ResourceId

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "acl.json").read_text())
LAST_PORT = 5
NETWORK = NetworkId("net_" + "N" * 22)

labels = st.sampled_from(["a", "b", "corp"])
name_labels = st.lists(labels, min_size=1, max_size=4).map(tuple)
name_patterns = st.builds(lambda wild, rest: NamePattern(("*", *rest) if wild else rest), st.booleans(), name_labels)


def _network(version: int, offset: int, length: int) -> CidrPattern:
    base = int(ipaddress.ip_address("10.0.0.0" if version == 4 else "2001:db8::")) + offset
    address = ipaddress.IPv4Address(base) if version == 4 else ipaddress.IPv6Address(base)
    return CidrPattern(ipaddress.ip_network((address, address.max_prefixlen - length), strict=False))


cidr_patterns = st.builds(_network, st.sampled_from([4, 6]), st.integers(0, 7), st.integers(0, 3))
patterns: st.SearchStrategy[AddressPattern] = st.one_of(name_patterns, cidr_patterns)
port_ranges = st.builds(
    lambda one, two: PortRange(min(one, two), max(one, two)), st.integers(1, LAST_PORT), st.integers(1, LAST_PORT)
)
range_lists = st.lists(port_ranges, max_size=2).map(tuple)
ports_values = st.builds(Ports, range_lists, range_lists, st.booleans())
grant_ids = st.integers(0, 9).map(lambda number: GrantId("gra_" + str(number) * 22))
network_ids = st.integers(0, 1).map(lambda number: NetworkId("net_" + str(number) * 22))


def make_entry(
    letter: str,
    pattern: AddressPattern,
    ports: Ports,
    *,
    network: NetworkId = NETWORK,
    lease_s: int = 3600,
    grants: tuple[GrantId, ...] = (),
    expires: int | None = None,
) -> Entry:
    """Returns an entry for the resource whose id is 22 times ``letter``."""
    resource = Resource(ResourceId("res_" + letter * 22), f"resource {letter}", network, pattern, ports, lease_s)
    return Entry(resource, grants, expires)


def entries(letter: str) -> st.SearchStrategy[Entry]:
    """Entries for one resource."""
    return st.builds(
        make_entry,
        st.just(letter),
        patterns,
        ports_values,
        network=network_ids,
        lease_s=st.sampled_from([30, 3600]),
        grants=st.lists(grant_ids, max_size=2).map(tuple),
        expires=st.sampled_from([None, 10, 20]),
    )


acls = st.lists(st.sampled_from("ABCDEF"), unique=True).flatmap(
    lambda letters: st.tuples(*map(entries, letters)).map(Acl)
)
hosts: st.SearchStrategy[str | IPAddress] = st.one_of(
    name_labels.map(".".join),
    st.integers(0, 9).map(lambda offset: ipaddress.ip_address("10.0.0.0") + offset),
    st.integers(0, 9).map(lambda offset: ipaddress.ip_address("2001:db8::") + offset),
)
requests = st.one_of(
    st.builds(Request, hosts, st.sampled_from([Transport.TCP, Transport.UDP]), st.integers(1, LAST_PORT)),
    st.builds(Request, hosts, st.just(Transport.ICMP), st.none()),
)
moments = st.sampled_from([0.0, 9.9, 10.0, 19.9, 20.0, 1e9])


def covers(pattern: AddressPattern, host: str | IPAddress) -> bool:
    """The reference: written for reading, one label or address at a time."""
    if isinstance(pattern, NamePattern):
        if not isinstance(host, str):
            return False
        labels_of_host = host.split(".")
        if pattern.labels[0] == "*":
            wanted = list(pattern.labels[1:])
            return any(labels_of_host[cut:] == wanted for cut in range(1, len(labels_of_host)))
        return labels_of_host == list(pattern.labels)
    return not isinstance(host, str) and host.version == pattern.network.version and host in pattern.network


def permits(entry: Entry, request: Request, now: float) -> bool:
    """The reference for one entry."""
    if not covers(entry.resource.address, request.host):
        return False
    if entry.expires is not None and entry.expires <= now:
        return False
    if request.transport is Transport.ICMP:
        return entry.resource.ports.icmp
    ranges = entry.resource.ports.tcp if request.transport is Transport.TCP else entry.resource.ports.udp
    return any(request.port in range(one.first, one.last + 1) for one in ranges)


def specificity(entry: Entry) -> tuple[int, int]:
    """The reference order among the patterns that cover one host: bigger is more specific."""
    pattern = entry.resource.address
    if isinstance(pattern, NamePattern):
        return (0 if pattern.wildcard else 1, len(pattern.labels))
    return (1, pattern.network.prefixlen)
