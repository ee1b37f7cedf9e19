"""What travels at the start of, and inside, each mux stream of a tunnel (design C16 to C21).

The client opens every stream. A stream begins with one *header frame* each way: a 4-byte big-endian length and that many
bytes of JSON. The client's is a StreamHeader; the connector's answer is a StreamAnswer. Then:

    proof    nothing follows; the stream stays open as the tunnel's control stream, and every renewal of the access token
             is one more Proof / StreamAnswer pair on it. The first stream of a tunnel must be a proof stream.
    tcp      the bytes of the connection, after an answer without a reason
    udp      datagrams: 2-byte big-endian length, then the bytes, both ways
    icmp     echo messages: 2-byte length, then 2-byte identifier, 2-byte sequence number, payload; requests up, replies down
    resolve  nothing follows: the answer holds ``rcode``, ``ttl`` and ``families`` (never an address: the client must not
             learn the resource's real address) and the stream ends
    dns      one DNS query up and one reply down, each with a 2-byte length (RFC 1035 section 4.2.2); then it ends

A stream that is refused is answered with ``reason`` and then reset with the same reason's number.
"""

import json
import re
from dataclasses import dataclass
from typing import Final, Literal, cast

from protocol.errors import RemoteProtocolError
from protocol.ids import is_id
from protocol.limits import OPEN_HEADER_MAX_BYTES, PROOF_MAX_BYTES

StreamKind = Literal["tcp", "udp", "icmp", "resolve", "dns"]
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*\Z")
_KINDS: Final = frozenset({"tcp", "udp", "icmp", "resolve", "dns"})
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode
_quote: Final = json.encoder.encode_basestring_ascii


@dataclass(frozen=True, slots=True)
class Proof:
    """C16: the access token, the proof's number on this tunnel (1, 2, ...), and the raw 64-byte ES256 signature."""

    token: str
    number: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class StreamHeader:
    """What the client wants. ``host`` is a name or an address literal; ``flow`` is the client's flow id for the record.

    A parsed one has well-formed ids in ``flow`` and ``resource``; ``host`` is still to be parsed
    (``acl.names.parse_host``).
    """

    kind: StreamKind
    host: str
    port: int | None
    flow: str
    resource: str


@dataclass(frozen=True, slots=True)
class StreamAnswer:
    """The connector's answer: ``reason`` is None on success, else a Reason code."""

    reason: str | None = None
    rcode: int | None = None
    """resolve only: the DNS response code (RFC 1035 section 4.1.1)."""
    ttl: int | None = None
    families: tuple[str, ...] = ()
    """resolve only: which of ``v4`` and ``v6`` the name has."""


def encode_frame(body: bytes) -> bytes:
    """Puts the 4-byte length in front of a header frame."""
    return len(body).to_bytes(4, "big") + body


def encode_proof(proof: Proof) -> bytes:
    """Returns the header frame that opens, or continues, the proof stream."""
    return encode_frame(
        _dump({"kind": "proof", "token": proof.token, "number": proof.number, "signature": proof.signature.hex()})
    )


def encode_header(header: StreamHeader) -> bytes:
    """Returns the header frame that opens a stream."""
    # Written out, because it is made for every connection: the general encoder takes five times as long.
    port = "null" if header.port is None else str(header.port)
    return encode_frame(
        f'{{"kind":{_quote(header.kind)},"host":{_quote(header.host)},"port":{port},'
        f'"flow":{_quote(header.flow)},"resource":{_quote(header.resource)}}}'.encode()
    )


def encode_answer(answer: StreamAnswer) -> bytes:
    """Returns the connector's header frame."""
    body: dict[str, object] = {"reason": answer.reason}
    if answer.rcode is not None:
        body.update(rcode=answer.rcode, ttl=answer.ttl, families=list(answer.families))
    return encode_frame(_dump(body))


class FrameReader:
    """Collects one header frame from bytes that arrive in any pieces (T-37: no decision on a prefix).

    Feed it until ``frame`` is not None; what came behind the frame is in ``rest``. The limit is checked before the body
    is buffered.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self.frame: bytes | None = None
        self.rest = b""

    def receive_data(self, data: bytes) -> None:
        """Takes the next bytes. Raises RemoteProtocolError when the announced length exceeds the limit."""
        if self.frame is not None:
            self.rest += data
            return
        self._buffer += data
        if len(self._buffer) < 4:
            return
        length = int.from_bytes(self._buffer[:4], "big")
        if length > self._limit:
            raise RemoteProtocolError(f"header frame of {length} bytes, limit {self._limit}")
        if len(self._buffer) >= 4 + length:
            self.frame = bytes(self._buffer[4 : 4 + length])
            self.rest = bytes(self._buffer[4 + length :])
            self._buffer.clear()


def header_reader() -> FrameReader:
    """A reader for the client's frames: proofs carry a whole access token."""
    return FrameReader(PROOF_MAX_BYTES + 4096)


def answer_reader() -> FrameReader:
    """A reader for the connector's answers."""
    return FrameReader(OPEN_HEADER_MAX_BYTES)


def parse_header_untrusted(frame: bytes) -> Proof | StreamHeader:
    """Parses the client's header frame. Raises RemoteProtocolError."""
    body = _load(frame)
    match body:
        case {"kind": "proof", "token": str(token), "number": int(number), "signature": str(signature)} if (
            not isinstance(number, bool) and 0 < number < 2**32 and token.isascii()
        ):
            if _HEX.match(signature) is None:
                raise RemoteProtocolError("proof signature is not lower-case hex")
            return Proof(token, number, bytes.fromhex(signature))
        case {"kind": str(kind), "host": str(host), "port": port, "flow": str(flow), "resource": str(resource)} if (
            kind in _KINDS
            and len(frame) <= OPEN_HEADER_MAX_BYTES
            and (port is None or _is_port(port))
            and is_id(flow, "flow")
            and is_id(resource, "resource")
        ):
            return StreamHeader(cast(StreamKind, kind), host, port, flow, resource)
    raise RemoteProtocolError("malformed stream header")


def parse_answer_untrusted(frame: bytes) -> StreamAnswer:
    """Parses the connector's header frame. Raises RemoteProtocolError."""
    match _load(frame):
        case {"reason": reason, "rcode": int(rcode), "ttl": int(ttl), "families": list(families)} if (
            (reason is None or isinstance(reason, str))
            and all(family in ("v4", "v6") for family in families)
            and not isinstance(rcode, bool)
            and 0 <= rcode < 4096
            and not isinstance(ttl, bool)
            and 0 <= ttl < 2**31
        ):
            return StreamAnswer(reason, rcode, ttl, tuple(families))
        case {"reason": reason, **rest} if (reason is None or isinstance(reason, str)) and "rcode" not in rest:
            return StreamAnswer(reason)
    raise RemoteProtocolError("malformed stream answer")


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535


def _dump(body: dict[str, object]) -> bytes:
    return _encode(body).encode()


def _load(frame: bytes) -> object:
    try:
        return json.loads(frame)
    except (ValueError, RecursionError) as exc:
        raise RemoteProtocolError("header frame is not JSON") from exc
