"""Frames of the multiplexer: the yamux wire format (https://github.com/hashicorp/yamux/blob/master/spec.md).

Every frame starts with 12 bytes, big-endian: version (1, always 0), type (1), flags (2), stream id (4), length (4). Only
data frames have a body, of ``length`` bytes. Two uses of ``length`` are ours: in a window update with RST and in a
go-away it is the number of a Reason.
"""

import struct
from typing import Final

from protocol.errors import RemoteProtocolError

HEADER_BYTES: Final = 12
STREAM_ID_MAX: Final = 0xFFFFFFFF
CREDIT_MAX: Final = 0xFFFFFFFF

DATA: Final = 0
WINDOW_UPDATE: Final = 1
PING: Final = 2
GO_AWAY: Final = 3

SYN: Final = 1
ACK: Final = 2
FIN: Final = 4
RST: Final = 8

_HEADER: Final = struct.Struct("!BBHII")
_unpack_from = _HEADER.unpack_from
_pack = _HEADER.pack

_STREAM_FLAGS: Final = (0, SYN, ACK, FIN, RST, SYN | FIN, ACK | FIN, ACK | RST)
_LEGAL: Final = frozenset(
    {(kind, flags) for kind in (DATA, WINDOW_UPDATE) for flags in _STREAM_FLAGS}
    | {(PING, SYN), (PING, ACK), (GO_AWAY, 0)}
)


def encode_header(kind: int, flags: int, stream: int, length: int) -> bytes:
    """Returns the 12 bytes of a header; for all types but DATA that is the whole frame."""
    return _pack(0, kind, flags, stream, length)


def parse_header_untrusted(data: bytes | memoryview, offset: int = 0) -> tuple[int, int, int, int]:
    """Parses the 12 bytes at ``offset``: (type, flags, stream, length).

    Raises RemoteProtocolError for another version, an unknown type, flags that do not belong together, or a stream id
    where none belongs (or none where one does).
    """
    version, kind, flags, stream, length = _unpack_from(data, offset)
    if version:
        raise RemoteProtocolError(f"mux version {version}")
    if (kind, flags) not in _LEGAL:
        raise RemoteProtocolError(f"mux frame of type {kind} with flags {flags:#x}")
    if (stream == 0) != (kind >= PING):
        raise RemoteProtocolError(f"mux frame of type {kind} on stream {stream}")
    return kind, flags, stream, length
