"""Events to and from the JSON that is stored for ever (T-71).

The shape of an event is its fields by name. Reading is strict: an unknown type, a missing, surplus or mistyped field
means that the log is damaged or newer than this code. A field of an old version is brought to the current shape by its
upcaster in ``UPCASTERS`` before it is read.
"""

import dataclasses
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from controller.domain.condition_codec import (
    conditions_from_json,
    conditions_to_json,
    facts_from_json,
    facts_to_json,
)
from controller.domain.conditions import Conditions
from controller.domain.events import EVENT_TYPES, Event
from controller.domain.model import PublicKey, Role, SubjectKind
from protocol.acl.model import PortRange, Ports
from protocol.device_facts import DeviceFacts
from protocol.errors import LocalError
from protocol.reasons import Reason

Json = Any
Fields = dict[str, Json]
Upcaster = Callable[[Fields], tuple[str, Fields]]

UPCASTERS: Final[dict[str, Upcaster]] = {
    "session.started/1": lambda old: (
        "session.started/2",
        {**old, "authenticated_s": None, "mfa_s": None, "method": "password"},
    ),
    "grant.created/1": lambda old: ("grant.created/2", {**old, "policy": None}),
}
"""Old type -> function that returns the next type and its fields."""


def event_to_json(event: Event) -> Fields:
    """Returns the stored fields of ``event``."""
    return {name: _encode(getattr(event, name)) for name in _FIELDS[type(event)]}


def event_from_json(event_type: str, fields: Mapping[str, Json]) -> Event:
    """Returns the event that was stored.

    Raises:
        LocalError: SCHEMA_NEWER for a type that this code does not know, STATE_CORRUPT for fields that do not fit.
    """
    current = dict(fields)
    while event_type in UPCASTERS:
        event_type, current = UPCASTERS[event_type](current)
    cls = _BY_TYPE.get(event_type)
    if cls is None:
        raise LocalError(Reason.SCHEMA_NEWER, f"event type {event_type!r}")
    decoders = _FIELDS[cls]
    if current.keys() != decoders.keys():
        raise LocalError(Reason.STATE_CORRUPT, f"fields of {event_type}: {sorted(current)}")
    try:
        return cls(**{name: decode(current[name]) for name, decode in decoders.items()})
    except (TypeError, ValueError, KeyError) as exc:
        raise LocalError(Reason.STATE_CORRUPT, f"a field of {event_type}: {exc}") from exc


def _encode(value: object) -> Json:
    match value:
        case Role() | SubjectKind():
            return value.value
        case PublicKey():
            return value.to_jwk()
        case Conditions():
            return conditions_to_json(value)
        case DeviceFacts():
            return facts_to_json(value)
        case Ports(tcp, udp, icmp):
            return {"tcp": [[r.first, r.last] for r in tcp], "udp": [[r.first, r.last] for r in udp], "icmp": icmp}
        case tuple():
            return list(value)
    return value


def _decoder(hint: Any) -> Callable[[Json], object]:
    """Chooses, once per field, how its value is read."""
    if get_origin(hint) in (UnionType, Union):
        inner = _decoder(next(arm for arm in get_args(hint) if arm is not type(None)))
        return lambda value: None if value is None else inner(value)
    if get_origin(hint) is tuple:
        return _decode_texts
    base = getattr(hint, "__supertype__", hint)
    return _DECODERS[base]


def _decode_exactly(base: type) -> Callable[[Json], object]:
    def decode(value: Json) -> object:
        if type(value) is not base:
            raise TypeError(f"{value!r} is not {base.__name__}")
        return value

    return decode


def _decode_texts(value: Json) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError(f"{value!r} is not a list of texts")
    return tuple(value)


def _decode_ports(value: Json) -> Ports:
    if not isinstance(value["icmp"], bool) or len(value) != 3:
        raise TypeError("ports")
    return Ports(_decode_ranges(value["tcp"]), _decode_ranges(value["udp"]), value["icmp"])


def _decode_ranges(value: Json) -> tuple[PortRange, ...]:
    ranges = tuple(PortRange(first, last) for first, last in value)
    if any(type(item.first) is not int or type(item.last) is not int for item in ranges):
        raise TypeError("port range")
    return ranges


def _decode_key(value: Json) -> PublicKey:
    if (
        value["kty"] != "EC"
        or value["crv"] != "P-256"
        or not isinstance(value["x"], str)
        or not isinstance(value["y"], str)
    ):
        raise TypeError("jwk")
    return PublicKey.from_jwk(value)


_DECODERS: Final[dict[Any, Callable[[Json], object]]] = {
    str: _decode_exactly(str),
    int: _decode_exactly(int),
    Conditions: conditions_from_json,
    DeviceFacts: facts_from_json,
    Ports: _decode_ports,
    PublicKey: _decode_key,
    Role: Role,
    SubjectKind: SubjectKind,
}
_BY_TYPE: Final = {cls.TYPE: cls for cls in EVENT_TYPES}
_FIELDS: Final[dict[type[Event], dict[str, Callable[[Json], object]]]] = {
    cls: {field.name: _decoder(get_type_hints(cls)[field.name]) for field in dataclasses.fields(cls)}
    for cls in EVENT_TYPES
}
