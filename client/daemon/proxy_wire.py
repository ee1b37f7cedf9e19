"""Bytes of the proxy mode: SOCKS5 requests and replies (RFC 1928), HTTP CONNECT (RFC 9110 section 9.3.6). Pure."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from protocol.errors import RemoteProtocolError
from protocol.reasons import Reason
from protocol.rendezvous import REASON_HEADER

GREETING_DEADLINE_S: Final = 15.0
HTTP_HEAD_MAX: Final = 16 * 1024
_CONNECT: Final = re.compile(rb"CONNECT (\[[0-9A-Fa-f:.]+\]|[!-9;-~]+):([0-9]{1,5}) HTTP/1\.[01]\Z")

_SOCKS_CODES: Final = {
    Reason.NETWORK_UNREACHABLE: 3,
    Reason.CONTROLLER_UNREACHABLE: 3,
    Reason.RELAY_UNREACHABLE: 3,
    Reason.CONNECTION_REFUSED: 5,
    Reason.CONNECTION_RESET: 5,
    Reason.CONNECT_TIMEOUT: 4,
    Reason.HOST_UNREACHABLE: 4,
    Reason.NAME_NOT_FOUND: 4,
    Reason.NO_CONNECTOR: 4,
    Reason.CONNECTOR_NOT_ATTACHED: 4,
    Reason.PAIRING_TIMEOUT: 4,
    Reason.TUNNEL_LOST: 4,
    Reason.TIMEOUT: 4,
    Reason.SIGN_IN_REQUIRED: 2,
    Reason.FORBIDDEN: 2,
}
"""RFC 1928 section 6; policy is 2 ("not allowed by ruleset"), what is not named is 1."""
_CONNECT_COMMAND: Final = 1
_ASSOCIATE_COMMAND: Final = 3
_NAME: Final = 3
_SIZES: Final = {1: 4, _NAME: 1, 4: 16}
"""Bytes of an address by its type; of a name only its length."""
_POLICY: Final = range(20, 70)
_TIMEOUTS: Final = frozenset({Reason.TIMEOUT, Reason.CONNECT_TIMEOUT, Reason.PAIRING_TIMEOUT, Reason.PEER_SILENT})


@dataclass(frozen=True, slots=True)
class SocksConnect:
    """A SOCKS5 CONNECT request; ``host`` is still to be parsed."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class SocksAssociate:
    """A SOCKS5 UDP ASSOCIATE request. The address in it is where the program will send from; we look at that ourselves."""


@dataclass(frozen=True, slots=True)
class SocksDatagram:
    """A datagram of a program; ``head`` is what stands before the payload, in a reply just as well."""

    host: str
    port: int
    head: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class HttpConnect:
    """An HTTP CONNECT request; ``host`` is still to be parsed."""

    host: str
    port: int


def parse_socks_untrusted(data: bytes) -> tuple[SocksConnect | SocksAssociate, int] | bytes | None:
    """Reads a request behind the method negotiation.

    Returns the request and how many bytes it took; or the refusal to send; or None while it is incomplete.

    Raises:
        RemoteProtocolError: it is not SOCKS5.
    """
    if len(data) < 5:
        return None
    if data[0] != 5:
        raise RemoteProtocolError("not SOCKS5")
    if data[1] not in (_CONNECT_COMMAND, _ASSOCIATE_COMMAND):
        return _socks(7)
    if data[3] not in _SIZES:
        return _socks(8)
    found = _address(data, 3)
    if found is None:
        return None
    host, port, end = found
    return (SocksConnect(host, port) if data[1] == _CONNECT_COMMAND else SocksAssociate()), end


def parse_socks_datagram_untrusted(data: bytes) -> SocksDatagram | None:
    """Reads a datagram of an association; None for one that is not served: malformed, a fragment, or to port 0."""
    if len(data) < 5 or data[:3] != b"\0\0\0":
        return None
    found = _address(data, 3)
    if found is None or found[1] == 0:
        return None
    host, port, end = found
    return SocksDatagram(host, port, data[:end], data[end:])


def _address(data: bytes, start: int) -> tuple[str, int, int] | None:
    """Reads type, address and port; returns host, port and where they end, or None when they are incomplete or unknown."""
    kind = data[start]
    size = _SIZES.get(kind)
    if size is None:
        return None
    if kind == _NAME:
        size += data[start + 1]
    end = start + 1 + size + 2
    if len(data) < end:
        return None
    raw = data[start + 1 : end - 2]
    host = raw[1:].decode("utf-8", "replace") if kind == _NAME else str(ipaddress.ip_address(raw))
    return host, int.from_bytes(data[end - 2 : end], "big"), end


def socks_associated(host: str, port: int) -> bytes:
    """Returns the reply to UDP ASSOCIATE: where, on this host, the program sends its datagrams."""
    address = ipaddress.ip_address(host)
    return bytes([5, 0, 0, 1 if address.version == 4 else 4]) + address.packed + port.to_bytes(2, "big")


def socks_reply(reason: Reason | None) -> bytes:
    """Returns the reply to a request; None is success."""
    if reason is None:
        return _socks(0)
    return _socks(_SOCKS_CODES.get(reason, 2 if reason.number in _POLICY else 1))


def parse_http_untrusted(data: bytes) -> tuple[HttpConnect, int] | None:
    """Reads the head of a CONNECT request; None while it is incomplete. Raises RemoteProtocolError for anything else."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > HTTP_HEAD_MAX or not b"CONNECT "[: len(data)] == data[:8]:
            raise RemoteProtocolError("neither SOCKS5 nor HTTP CONNECT")
        return None
    match = _CONNECT.match(data[:end].split(b"\r\n", 1)[0])
    if match is None:
        raise RemoteProtocolError("only CONNECT is served")
    host = match[1].decode("ascii").removeprefix("[").removesuffix("]")
    port = int(match[2])
    if not 1 <= port <= 65535:
        raise RemoteProtocolError(f"port {port}")
    return HttpConnect(host, port), end + 4


def http_reply(reason: Reason | None) -> bytes:
    """Returns the answer to CONNECT: 200, or 403 (policy), 504 (time), 502 (the rest) with the Reason's code."""
    if reason is None:
        return b"HTTP/1.1 200 Connection established\r\n\r\n"
    if reason.number in _POLICY or _SOCKS_CODES.get(reason) == 2:
        status = "403 Forbidden"
    elif reason in _TIMEOUTS:
        status = "504 Gateway Timeout"
    else:
        status = "502 Bad Gateway"
    body = f"{reason.sentence} {reason.next_step}".strip() + "\n"
    raw = body.encode()
    head = (
        f"HTTP/1.1 {status}\r\n{REASON_HEADER}: {reason.code}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(raw)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + raw


def _socks(code: int) -> bytes:
    """The bound address is not told: it would be an address of the connector's network (C18)."""
    return bytes([5, code, 0, 1, 0, 0, 0, 0, 0, 0])
