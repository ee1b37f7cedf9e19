"""``lost`` is exactly what is no longer permitted, found by asking everything in a small universe."""

import dataclasses
import ipaddress
from itertools import product

from acl_support import LAST_PORT, acls, make_entry, permits
from hypothesis import given, settings

from protocol.acl.diff import AclDiff, diff
from protocol.acl.model import Acl, Entry, IPAddress, PortRange, Ports, Request, Transport
from protocol.acl.names import parse_pattern
from protocol.ids import GrantId, NetworkId

# Deeper than any pattern of the universe, so that a wildcard covers something that no longer wildcard covers.
_NAMES = [".".join(labels) for depth in range(1, 6) for labels in product(("a", "b", "corp"), repeat=depth)]
_ADDRESSES: list[IPAddress] = [
    ipaddress.ip_address(base) + offset for base in ("10.0.0.0", "2001:db8::") for offset in range(8)
]
_REQUESTS = [
    *(Request("", transport, port) for transport in (Transport.TCP, Transport.UDP) for port in range(1, LAST_PORT + 1)),
    Request("", Transport.ICMP),
]


def _asked(entry: Entry) -> set[tuple[str, IPAddress | str, Transport, int | None, float]]:
    """Everything that this entry permits, at every moment that matters."""
    hosts = [host for host in (*_NAMES, *_ADDRESSES) if _covers(entry, host)]
    services = [
        (asked.transport, asked.port, now)
        for asked in _REQUESTS
        for now in (0.0, 10.0, 20.0)
        if hosts and permits(entry, dataclasses.replace(asked, host=hosts[0]), now)
    ]
    return {(entry.resource.network, host, *service) for host in hosts for service in services}


def _covers(entry: Entry, host: str | IPAddress) -> bool:
    anything = Ports(icmp=True)
    resource = dataclasses.replace(entry.resource, ports=anything)
    return permits(Entry(resource), Request(host, Transport.ICMP), 0)


@settings(max_examples=60, deadline=None)
@given(acls, acls)
def test_lost_is_exactly_what_is_no_longer_permitted(old: Acl, new: Acl) -> None:
    before = {entry.resource.id: _asked(entry) for entry in old.entries}
    after = {entry.resource.id: _asked(entry) for entry in new.entries}
    found = diff(old, new)
    assert found.lost == tuple(sorted(key for key in before if before[key] - after.get(key, set())))
    gained = {
        entry.resource.id: entry
        for entry in new.entries
        if after[entry.resource.id] - before.get(entry.resource.id, set())
    }
    assert found.gained == tuple(gained[key] for key in sorted(gained))


@given(acls)
def test_nothing_changes_against_itself(acl: Acl) -> None:
    assert diff(acl, Acl(tuple(reversed(acl.entries)))) == AclDiff((), (), ())


@given(acls, acls)
def test_changed_are_the_common_ones_that_differ(old: Acl, new: Acl) -> None:
    before = {entry.resource.id: entry for entry in old.entries}
    changed = {entry for entry in new.entries if before.get(entry.resource.id, entry) != entry}
    assert set(diff(old, new).changed) == changed


def test_new_name_grant_or_lease_takes_nothing_away() -> None:
    old = make_entry("A", parse_pattern("db.corp"), Ports(icmp=True))
    for new in (
        dataclasses.replace(old, grants=(GrantId("gra_" + "G" * 22),)),
        dataclasses.replace(old, resource=dataclasses.replace(old.resource, name="other")),
        dataclasses.replace(old, resource=dataclasses.replace(old.resource, lease_s=30)),
    ):
        assert diff(Acl((old,)), Acl((new,))) == AclDiff((), (), (new,))


def test_moved_to_another_network_is_lost_and_gained() -> None:
    old = make_entry("A", parse_pattern("db.corp"), Ports(icmp=True))
    new = dataclasses.replace(old, resource=dataclasses.replace(old.resource, network=NetworkId("net_" + "M" * 22)))
    assert diff(Acl((old,)), Acl((new,))) == AclDiff((new,), (old.resource.id,), (new,))


def test_touching_ranges_count_as_one() -> None:
    pattern = parse_pattern("db.corp")
    old = make_entry("A", pattern, Ports(tcp=(PortRange(1, 100),)))
    new = make_entry("A", pattern, Ports(tcp=(PortRange(51, 100), PortRange(1, 50))))
    assert diff(Acl((old,)), Acl((new,))) == AclDiff((), (), (new,))


def test_shorter_expiry_is_lost_and_longer_is_gained() -> None:
    pattern = parse_pattern("db.corp")
    short = make_entry("A", pattern, Ports(icmp=True), expires=10)
    long = make_entry("A", pattern, Ports(icmp=True))
    assert diff(Acl((long,)), Acl((short,))).lost == (short.resource.id,)
    assert diff(Acl((short,)), Acl((long,))).lost == ()
    assert diff(Acl((short,)), Acl((long,))).gained == (long,)
