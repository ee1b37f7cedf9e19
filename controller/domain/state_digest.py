"""One short text for a whole policy state: two folds of the same log have the same one, whoever made them.

It is SHA-256 over a canonical writing of the state, maps in the order of their keys. A version of this software that adds a
field to the state changes it, so that digests are compared between equal versions only.
"""

import hashlib
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from immutables import Map

from controller.domain.state import PolicyState

COUNTED = (
    "networks",
    "connectors",
    "relays",
    "resources",
    "users",
    "groups",
    "service_accounts",
    "devices",
    "sessions",
    "grants",
    "signing_keys",
)
"""What ``counts_of`` counts."""


def digest_of(state: PolicyState) -> str:
    """Returns the digest, 64 hexadecimal digits."""
    total = hashlib.sha256()
    for field in sorted(fields(state), key=lambda item: item.name):
        total.update(f"{field.name}\0".encode())
        value = getattr(state, field.name)
        if isinstance(value, Mapping | Map):
            for line in sorted(_text([_plain(key), _plain(item)]) for key, item in value.items()):
                total.update(line.encode() + b"\n")
        else:
            total.update(_text(_plain(value)).encode())
        total.update(b"\0")
    return total.hexdigest()


def counts_of(state: PolicyState) -> dict[str, int]:
    """Returns how many there are of each kind."""
    return {name: len(getattr(state, name)) for name in COUNTED}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Returns ``value`` in JSON, with everything that has no order put in order."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping | Map):
        return sorted(([_plain(key), _plain(item)] for key, item in value.items()), key=_text)
    if isinstance(value, frozenset | set):
        return sorted((_plain(item) for item in value), key=_text)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if is_dataclass(value):
        return [type(value).__name__, *(_plain(getattr(value, field.name)) for field in fields(value))]
    if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network | ipaddress.IPv4Address | ipaddress.IPv6Address):
        return str(value)
    raise TypeError(f"the digest of a state has no form for {type(value).__name__}")
