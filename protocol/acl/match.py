"""Which entries of an access list cover an address: an index that is built once and asked for every packet's flow.

Most specific first: an address before a longer prefix before a shorter one; an exact name before wildcards; a wildcard
with more labels before one with fewer; equal ones by resource id. Labels are compared, never strings, so that ``*.corp``
covers neither ``corp`` nor ``evilcorp`` (T-34). A name that is not canonical is covered by nothing.
"""

import ipaddress
from collections.abc import Iterator
from typing import Final

from protocol.acl.model import Acl, Decision, Deny, Entry, IPAddress, NamePattern, Permit, PortRange, Request, Transport
from protocol.acl.names import is_canonical_name, unmapped
from protocol.ids import ResourceId
from protocol.reasons import Reason

NAMES_KEPT: Final = 1024
_Networks = list[tuple[int, dict[int, tuple[Entry, ...]]]]
"""For one IP version: (bits to shift out, network number -> entries), longest prefix first."""


class AclIndex:
    """An access list, indexed. Immutable once built; holds entries that have expired too, ``lookup`` judges them."""

    def __init__(self, acl: Acl) -> None:
        self.acl: Final = acl
        self._exact: dict[str, tuple[Entry, ...]] = {}
        self._suffixes: dict[str, tuple[Entry, ...]] = {}
        self._known: dict[str, tuple[Entry, ...]] = {}
        """What ``match_name`` found for names that were asked for: each connection asks several times for the same one."""
        networks: dict[int, dict[int, dict[int, tuple[Entry, ...]]]] = {4: {}, 6: {}}
        for entry in sorted(acl.entries, key=_resource_id):
            pattern = entry.resource.address
            if isinstance(pattern, NamePattern):
                table = self._suffixes if pattern.wildcard else self._exact
                key = str(pattern).removeprefix("*.")
                table[key] = (*table.get(key, ()), entry)
            else:
                network = pattern.network
                shift = network.max_prefixlen - network.prefixlen
                numbers = networks[network.version].setdefault(shift, {})
                number = int(network.network_address) >> shift
                numbers[number] = (*numbers.get(number, ()), entry)
        self._v4: _Networks = sorted(networks[4].items())
        self._v6: _Networks = sorted(networks[6].items())
        self._by_resource = {entry.resource.id: entry for entry in reversed(acl.entries)}

    def entry(self, resource: ResourceId) -> Entry | None:
        """Returns the entry of this resource, whatever its state."""
        return self._by_resource.get(resource)

    def match(self, host: str | IPAddress) -> tuple[Entry, ...]:
        """Returns the entries that cover ``host``, most specific first."""
        return self.match_name(host) if isinstance(host, str) else self.match_address(host)

    def match_name(self, name: str) -> tuple[Entry, ...]:
        """Returns the entries that cover this canonical name, most specific first."""
        known = self._known.get(name)
        if known is not None:
            return known
        if not is_canonical_name(name):
            return ()
        found = self._exact.get(name, ())
        dot = name.find(".")
        while dot >= 0:
            found += self._suffixes.get(name[dot + 1 :], ())
            dot = name.find(".", dot + 1)
        if len(self._known) >= NAMES_KEPT:
            self._known.clear()
        self._known[name] = found
        return found

    def match_address(self, address: IPAddress) -> tuple[Entry, ...]:
        """Returns the entries that cover this address, most specific first; a v4-mapped one counts as IPv4 (T-31)."""
        address = unmapped(address)
        number = int(address)
        found: tuple[Entry, ...] = ()
        for shift, numbers in self._v4 if isinstance(address, ipaddress.IPv4Address) else self._v6:
            found += numbers.get(number >> shift, ())
        return found

    def permitting(self, request: Request, now: float) -> Iterator[Entry]:
        """Yields every entry that permits ``request``, most specific first."""
        return (entry for entry in self.match(request.host) if refusal(entry, request, now) is None)

    def lookup(self, request: Request, now: float) -> Decision:
        """Decides; see ``protocol.acl.decide.decide``."""
        first: Deny | None = None
        for entry in self.match(request.host):
            reason = refusal(entry, request, now)
            if reason is None:
                return Permit(entry)
            first = first or Deny(reason, entry.resource.id)
        return first or Deny(Reason.NOT_A_RESOURCE)


def refusal(entry: Entry, request: Request, now: float) -> Reason | None:
    """Tells why ``entry``, whose address covers the request's host, does not permit it; None when it does (T-35)."""
    ports = entry.resource.ports
    if request.transport is Transport.ICMP:
        if not ports.icmp:
            return Reason.PROTOCOL_NOT_ALLOWED
        if request.port is not None:
            return Reason.PORT_NOT_ALLOWED
    else:
        ranges = ports.tcp if request.transport is Transport.TCP else ports.udp
        if not ranges:
            return Reason.PROTOCOL_NOT_ALLOWED
        if not _within(request.port, ranges):
            return Reason.PORT_NOT_ALLOWED
    if entry.expires is not None and now >= entry.expires:
        return Reason.GRANT_EXPIRED
    return None


def _within(port: int | None, ranges: tuple[PortRange, ...]) -> bool:
    if port is not None:
        for ports in ranges:
            if ports.first <= port <= ports.last:
                return True
    return False


def _resource_id(entry: Entry) -> str:
    return entry.resource.id
