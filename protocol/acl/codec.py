"""The JSON form of access lists, as it stands inside signed tokens (SPEC.md, "Access lists").

Parsing is strict: an unknown member is refused, because a member that we do not understand may be one that restricts.
Addresses must be in canonical form, so that two readers cannot disagree about them.
"""

from collections.abc import Mapping
from typing import Final, TypeGuard, cast

from protocol.acl.model import Acl, AddressPattern, Entry, PortRange, Ports, Resource
from protocol.acl.names import is_display_name, parse_pattern
from protocol.errors import LocalError, RemoteProtocolError
from protocol.ids import GrantId, NetworkId, ResourceId, is_id
from protocol.limits import LEASE_MAX_S

ENTRIES_MAX: Final = 20_000
"""Far above the 5,000 resources that SNAPSHOT_MAX_BYTES is sized for."""
RANGES_MAX: Final = 256
"""Port ranges of one transport of one resource: bounds the work of one decision."""

_PORTS: Final = frozenset({"tcp", "udp", "icmp"})
_RESOURCE: Final = frozenset({"id", "name", "network", "address", "ports", "lease_s"})
_ENTRY: Final = frozenset({"resource", "grants", "expires"})


def acl_to_json(acl: Acl) -> list[dict[str, object]]:
    """Returns the list form of ``acl``, in the order of its entries."""
    return [entry_to_json(entry) for entry in acl.entries]


def entry_to_json(entry: Entry) -> dict[str, object]:
    """Returns ``{"resource": …, "grants": […], "expires": seconds or null}``."""
    return {
        "resource": resource_to_json(entry.resource),
        "grants": list(entry.grants),
        "expires": entry.expires,
    }


def resource_to_json(resource: Resource) -> dict[str, object]:
    """Returns the object form of ``resource``."""
    return {
        "id": resource.id,
        "name": resource.name,
        "network": resource.network,
        "address": str(resource.address),
        "ports": ports_to_json(resource.ports),
        "lease_s": resource.lease_s,
    }


def ports_to_json(ports: Ports) -> dict[str, object]:
    """Returns ``{"tcp": [[first, last], …], "udp": […], "icmp": bool}``."""
    return {
        "tcp": [[ports_range.first, ports_range.last] for ports_range in ports.tcp],
        "udp": [[ports_range.first, ports_range.last] for ports_range in ports.udp],
        "icmp": ports.icmp,
    }


def acl_from_json_untrusted(value: object) -> Acl:
    """Parses an access list. Raises RemoteProtocolError; also when one resource appears twice."""
    if not isinstance(value, list) or len(value) > ENTRIES_MAX:
        raise RemoteProtocolError(f"an access list must be an array of at most {ENTRIES_MAX} entries")
    entries = tuple(entry_from_json_untrusted(item) for item in value)
    if len({entry.resource.id for entry in entries}) != len(entries):
        raise RemoteProtocolError("a resource appears twice in an access list")
    return Acl(entries)


def entry_from_json_untrusted(value: object) -> Entry:
    """Parses one entry of an access list. Raises RemoteProtocolError."""
    body = _object(value, _ENTRY, "entry")
    grants, expires = body["grants"], body["expires"]
    if not isinstance(grants, list) or not all(isinstance(grant, str) and is_id(grant, "grant") for grant in grants):
        raise RemoteProtocolError("entry: grants must be an array of grant ids")
    if expires is not None and not (_is_int(expires) and expires >= 0):
        raise RemoteProtocolError("entry: expires must be null or Unix seconds")
    return Entry(resource_from_json_untrusted(body["resource"]), tuple(GrantId(grant) for grant in grants), expires)


def resource_from_json_untrusted(value: object) -> Resource:
    """Parses a resource. Raises RemoteProtocolError."""
    body = _object(value, _RESOURCE, "resource")
    name, lease_s = body["name"], body["lease_s"]
    if not isinstance(name, str) or not is_display_name(name):
        raise RemoteProtocolError("resource: malformed name")
    if not _is_int(lease_s) or not 0 < lease_s <= LEASE_MAX_S:
        raise RemoteProtocolError("resource: lease_s out of range")
    return Resource(
        id=ResourceId(_id(body["id"], "resource")),
        name=name,
        network=NetworkId(_id(body["network"], "network")),
        address=address_from_json_untrusted(body["address"]),
        ports=ports_from_json_untrusted(body["ports"]),
        lease_s=lease_s,
    )


def ports_from_json_untrusted(value: object) -> Ports:
    """Parses the ports of a resource. Raises RemoteProtocolError."""
    body = _object(value, _PORTS, "ports")
    icmp = body["icmp"]
    if not isinstance(icmp, bool):
        raise RemoteProtocolError("ports: icmp must be a boolean")
    return Ports(_ranges(body["tcp"]), _ranges(body["udp"]), icmp)


def address_from_json_untrusted(value: object) -> AddressPattern:
    """Parses an address pattern, which must be in the form that ``str(pattern)`` gives. Raises RemoteProtocolError."""
    if not isinstance(value, str):
        raise RemoteProtocolError("an address pattern must be a string")
    try:
        pattern = parse_pattern(value)
    except LocalError as exc:
        raise RemoteProtocolError(f"address pattern: {exc.detail}") from exc
    if str(pattern) != value:
        raise RemoteProtocolError(f"address pattern {value!r} is not in canonical form")
    return pattern


def _ranges(value: object) -> tuple[PortRange, ...]:
    if not isinstance(value, list) or len(value) > RANGES_MAX:
        raise RemoteProtocolError(f"ports: a transport needs an array of at most {RANGES_MAX} ranges")
    return tuple(_range(item) for item in value)


def _range(value: object) -> PortRange:
    match value:
        case [first, last] if _is_int(first) and _is_int(last) and 1 <= first <= last <= 65535:
            return PortRange(first, last)
    raise RemoteProtocolError("ports: a range must be [first, last] within 1 to 65535")


def _object(value: object, members: frozenset[str], what: str) -> Mapping[str, object]:
    if not isinstance(value, dict) or value.keys() != members:
        raise RemoteProtocolError(f"{what}: an object with exactly the members {', '.join(sorted(members))} is needed")
    return cast(Mapping[str, object], value)


def _id(value: object, kind: str) -> str:
    if not isinstance(value, str) or not is_id(value, kind):
        raise RemoteProtocolError(f"not a {kind} id")
    return value


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
