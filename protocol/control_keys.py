"""What the controller and its agents say about keys: the controller's signing keys, and a connector's own (C5, T-64)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from protocol.control import Message


@dataclass(frozen=True, slots=True)
class KeysChanged(Message):
    """The signing keys are these from now on, and no others (RFC 7517); what another key signed is void at once."""

    TYPE: ClassVar[str] = "keys"
    jwks: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class AnnounceKey(Message):
    """Connector: I am going to use another key. May be said again; the last key announced counts.

    ``statement`` (tokens.Rotation) is signed by the key in use and names the new one; ``proof`` (tokens.Assertion) is signed
    by the new one.
    """

    TYPE: ClassVar[str] = "announce_key"
    id: int
    statement: str
    proof: str


@dataclass(frozen=True, slots=True)
class KeyAnnounced(Message):
    """Whoever may connect is told both pins from now on; use the new key in ``wait_s`` seconds. Or ``reason`` (a code)."""

    TYPE: ClassVar[str] = "key_announced"
    id: int
    wait_s: float = 0.0
    reason: str | None = None
