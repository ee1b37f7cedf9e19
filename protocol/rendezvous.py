"""How client, relay and connector meet (design C4, C12, C13; threats T-20, T-21, T-25, T-27).

All three requests are WebSocket upgrades (RFC 6455) over TLS 1.3 without extensions, with the ticket in
``Authorization: Bearer <ticket>``; never in the URL. The relay answers 101, or an HTTP error whose header
``Ostiary-Reason`` holds a Reason code and whose body is RFC 9457 problem JSON. Bytes after the request head and before
the 101 are an error (T-27).

    connector -> GET /relay/v1/attach    stays open as the connector's control leg; text frames as below
    connector -> GET /relay/v1/leg       parked: answered 101 at once, silent until a client is paired with it
    client    -> GET /relay/v1/connect   answered 101 when paired with a parked leg, so the client knows that it is

A client may put its first bytes into the request's head, ``Ostiary-First: <base64url>`` of at most FIRST_MAX_BYTES: the relay
keeps them until it pairs, lets nobody have them before, and says ``Ostiary-First: taken`` in its 101. They save the round
trip between the upgrade and the inner ClientHello. A relay that does not say so has not looked at them.

Client and connector name the TLS session in ``Ostiary-Outer-TLS`` (SPEC.md 7.7). If it is the relay's own session, the
relay may say ``Ostiary-Outer-TLS: ends`` in its 101: then each end may, once the inner tunnel stands, end its direction's TLS
with a close_notify and go on without TLS and without frames. The relay does in one leg what the peer did in the other.

After pairing, binary frames on the two legs carry one byte stream; message boundaries mean nothing. The first bytes on a
parked leg are the client's TLS ClientHello: that is how the connector learns that it was paired. When no leg is parked
the relay asks for one on the control leg and keeps the client waiting for at most PAIRING_DEADLINE_S. An end of either
leg ends the other one.

Control leg, relay to connector, JSON text frames: ``{"type": "legs_wanted", "count": n}`` and
``{"type": "goodbye", "reason": code}``. The connector sends nothing on it but pongs.

One hash has one attachment: the newest ticket-proven one wins, the older control leg is closed with
``duplicate_agent`` (its paired legs go on).
"""

import json
from dataclasses import dataclass
from typing import Final

from protocol.errors import RemoteProtocolError
from protocol.limits import FIRST_MAX_BYTES
from protocol.reasons import Reason, reason_from_code
from protocol.tokens.strict import b64url_decode_untrusted, b64url_encode

ATTACH_PATH: Final = "/relay/v1/attach"
LEG_PATH: Final = "/relay/v1/leg"
CONNECT_PATH: Final = "/relay/v1/connect"
CONTROL_PATH: Final = "/relay/v1/control"
"""The controller dials this one (ticket role ``controller``) to hand the relay its verification keys: see KeysPushed."""
HEALTH_PATH: Final = "/healthz"
REASON_HEADER: Final = "Ostiary-Reason"
FIRST_HEADER: Final = "Ostiary-First"
FIRST_TAKEN: Final = "taken"
OUTER_TLS_HEADER: Final = "Ostiary-Outer-TLS"
OUTER_TLS_ENDS: Final = "ends"
MAY_END_TLS: Final = frozenset({LEG_PATH, CONNECT_PATH})
"""Only what carries a tunnel does without a TLS of its own."""
CONTROL_MAX_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class LegsWanted:
    """Relay to connector: dial this many more legs."""

    count: int


@dataclass(frozen=True, slots=True)
class RelayGoodbye:
    """Relay to connector: the relay closes, or replaces, this attachment."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class KeysPushed:
    """Controller to relay: a keyset token (a JWS over a JWKS, signed by a key that the relay already trusts)."""

    token: str


@dataclass(frozen=True, slots=True)
class RelayReport:
    """Relay to controller, every HEARTBEAT_INTERVAL_S on the control connection: counters, nothing about anybody."""

    software: str
    clock_ms: int
    attachments: tuple[str, ...]
    """Connector hashes."""
    parked: int
    pairs: int
    bytes_copied: int


def encode_first(first: bytes) -> str:
    """Returns the value of FIRST_HEADER for a client's first bytes."""
    return b64url_encode(first)


def parse_first_untrusted(value: str) -> bytes:
    """Returns the bytes in a FIRST_HEADER. Raises RemoteProtocolError, with LIMIT_EXCEEDED for more than FIRST_MAX_BYTES."""
    if len(value) > (FIRST_MAX_BYTES * 4 + 2) // 3:
        raise RemoteProtocolError(f"more than {FIRST_MAX_BYTES} first bytes", Reason.LIMIT_EXCEEDED)
    try:
        first = b64url_decode_untrusted(value)
    except RemoteProtocolError as exc:
        raise RemoteProtocolError("first bytes are not base64url") from exc
    if not first:
        raise RemoteProtocolError("first bytes that are none")
    return first


RelayMessage = LegsWanted | RelayGoodbye | KeysPushed | RelayReport


def encode_relay_message(message: RelayMessage) -> str:
    """Returns the JSON text frame of ``message``."""
    match message:
        case LegsWanted(count):
            body: dict[str, object] = {"type": "legs_wanted", "count": count}
        case RelayGoodbye(reason):
            body = {"type": "goodbye", "reason": reason.code}
        case KeysPushed(token):
            body = {"type": "keys", "token": token}
        case RelayReport():
            body = {
                "type": "report",
                "software": message.software,
                "clock_ms": message.clock_ms,
                "attachments": list(message.attachments),
                "parked": message.parked,
                "pairs": message.pairs,
                "bytes_copied": message.bytes_copied,
            }
    return json.dumps(body, separators=(",", ":"))


def parse_relay_message_untrusted(text: str) -> RelayMessage | None:
    """Returns the message in a text frame; None for an unknown type. Raises RemoteProtocolError."""
    if len(text) > CONTROL_MAX_BYTES:
        raise RemoteProtocolError("relay message too long")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise RemoteProtocolError("relay message is not JSON") from exc
    if not isinstance(body, dict):
        raise RemoteProtocolError("relay message is not an object")
    match body:
        case {"type": "legs_wanted", "count": int(count)} if not isinstance(count, bool) and 0 < count <= 1024:
            return LegsWanted(count)
        case {"type": "goodbye", "reason": str(code)}:
            return RelayGoodbye(reason_from_code(code))
        case {"type": "keys", "token": str(token)}:
            return KeysPushed(token)
        case {
            "type": "report",
            "software": str(software),
            "clock_ms": int(clock_ms),
            "attachments": list(attachments),
            "parked": int(parked),
            "pairs": int(pairs),
            "bytes_copied": int(bytes_copied),
        } if all(isinstance(name, str) for name in attachments) and not any(
            isinstance(number, bool) or number < 0 for number in (clock_ms, parked, pairs, bytes_copied)
        ):
            return RelayReport(software, clock_ms, tuple(attachments), parked, pairs, bytes_copied)
        case {"type": "legs_wanted" | "goodbye" | "keys" | "report"}:
            raise RemoteProtocolError(f"malformed relay message {body['type']!r}")
    return None
