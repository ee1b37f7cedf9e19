"""What a new access list takes away and adds (design C22, C23).

The unit is what one resource lets through: hosts, ports and time. Renaming a resource, or another lease or grant for it,
changes an entry but neither gains nor loses anything.
"""

from dataclasses import dataclass

from protocol.acl.model import Acl, AddressPattern, CidrPattern, Entry, NamePattern, PortRange
from protocol.ids import ResourceId


@dataclass(frozen=True, slots=True)
class AclDiff:
    """The difference between two lists. Each tuple is sorted by resource id."""

    gained: tuple[Entry, ...]
    """New entries that permit something that their resource did not permit in the old list."""
    lost: tuple[ResourceId, ...]
    """Resources that permitted something in the old list that they do not permit in the new one: flows to judge anew."""
    changed: tuple[Entry, ...]
    """New entries of resources that were in the old list and differ in anything at all."""


def diff(old: Acl, new: Acl) -> AclDiff:
    """Compares two lists in which each resource stands at most once."""
    before = {entry.resource.id: entry for entry in old.entries}
    after = {entry.resource.id: entry for entry in new.entries}
    return AclDiff(
        gained=tuple(entry for key, entry in sorted(after.items()) if not _covers(before.get(key), entry)),
        lost=tuple(key for key, entry in sorted(before.items()) if not _covers(after.get(key), entry)),
        changed=tuple(entry for key, entry in sorted(after.items()) if key in before and before[key] != entry),
    )


def _covers(wide: Entry | None, narrow: Entry) -> bool:
    """Tells whether ``wide`` permits everything that ``narrow`` permits."""
    ports = narrow.resource.ports
    if not (ports.tcp or ports.udp or ports.icmp):
        return True
    if wide is None:
        return False
    return (
        wide.resource.network == narrow.resource.network
        and address_covers(wide.resource.address, narrow.resource.address)
        and _ranges_cover(wide.resource.ports.tcp, ports.tcp)
        and _ranges_cover(wide.resource.ports.udp, ports.udp)
        and (wide.resource.ports.icmp or not ports.icmp)
        and (wide.expires is None or (narrow.expires is not None and narrow.expires <= wide.expires))
    )


def address_covers(wide: AddressPattern, narrow: AddressPattern) -> bool:
    """Tells whether every host that ``narrow`` covers is covered by ``wide``."""
    if isinstance(wide, CidrPattern) and isinstance(narrow, CidrPattern):
        outer, inner = wide.network, narrow.network
        if outer.version != inner.version or outer.prefixlen > inner.prefixlen:
            return False
        return inner.network_address in outer
    if isinstance(wide, NamePattern) and isinstance(narrow, NamePattern):
        if not wide.wildcard:
            return wide == narrow
        suffix = wide.labels[1:]
        inner_labels = narrow.labels[1:] if narrow.wildcard else narrow.labels
        deeper = narrow.wildcard or len(inner_labels) > len(suffix)
        return deeper and inner_labels[-len(suffix) :] == suffix
    return False


def _ranges_cover(wide: tuple[PortRange, ...], narrow: tuple[PortRange, ...]) -> bool:
    """Tells whether every port of ``narrow`` lies in ``wide``; ranges may overlap and touch."""
    merged: list[PortRange] = []
    for ports in sorted(wide):
        if merged and ports.first <= merged[-1].last + 1:
            merged[-1] = PortRange(merged[-1].first, max(merged[-1].last, ports.last))
        else:
            merged.append(ports)
    return all(any(outer.first <= ports.first and ports.last <= outer.last for outer in merged) for ports in narrow)
