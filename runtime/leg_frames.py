"""WebSocket frames (RFC 6455 section 5) of one leg, without a message layer.

The handshake belongs to ``websockets``; its frame parser copies every payload twice and waits for whole messages, so that
the data path has this one: binary payload is handed out as it arrives, in pieces that are views of the input when
nothing had to be unmasked. Text messages are small control messages and are collected. No extension is ever negotiated,
so a reserved bit ends the connection (T-28).

Pure: bytes in, pieces and events out. A violation raises FrameError with the close code to send.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from protocol.errors import RemoteProtocolError
from protocol.limits import LEG_MESSAGE_MAX_BYTES
from protocol.reasons import Reason, reason_from_code, reason_from_number
from protocol.rendezvous import CONTROL_MAX_BYTES

try:
    from websockets.speedups import apply_mask
except ImportError:  # no C extension on this platform: right but slow
    from websockets.utils import apply_mask

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
_WHOLE_BINARY: Final = 0x80 | BINARY
_WHOLE_TEXT: Final = 0x80 | TEXT
_MASK_BIT: Final = 0x80
_LONGEST_HEADER: Final = 14

CLOSE_NORMAL: Final = 1000
CLOSE_GOING_AWAY: Final = 1001
CLOSE_PROTOCOL_ERROR: Final = 1002
CLOSE_BAD_DATA: Final = 1007
CLOSE_POLICY_VIOLATION: Final = 1008
CLOSE_TOO_BIG: Final = 1009
CLOSE_REASON_BASE: Final = 4000
"""Private-use close codes (RFC 6455 section 7.4.2): this plus the Reason's number."""

Piece = bytes | memoryview
"""A piece of payload. A memoryview is valid only until the next input: copy it to keep it."""


class FrameError(RemoteProtocolError):
    """The peer broke RFC 6455; ``close_code`` is what to answer."""

    def __init__(self, detail: str, close_code: int = CLOSE_PROTOCOL_ERROR) -> None:
        super().__init__(detail)
        self.close_code = close_code


@dataclass(frozen=True, slots=True)
class TextReceived:
    """A whole text message."""

    text: str


@dataclass(frozen=True, slots=True)
class PingReceived:
    """To be answered by a pong with the same payload."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class CloseReceived:
    """The peer says goodbye; nothing follows."""

    reason: Reason


FrameEvent = TextReceived | PingReceived | CloseReceived


class FrameReader:
    """Reads the frames of one direction. ``masked``: the peer is the one that dialled, so every frame must be masked.

    ``text_max``: bytes of one text message; a longer one is a FrameError.
    ``textless_max``: frames since the last text message that are none (pings, fragments, binary ones); one more is a FrameError,
    so that they cost no more than texts do. None: as many as come, as on a leg, whose keepalive may wait for its reader for hours.
    """

    __slots__ = (
        "_closed",
        "_control",
        "_final",
        "_header",
        "_left",
        "_mask",
        "_masked",
        "_message",
        "_need",
        "_opcode",
        "_text",
        "_text_max",
        "_textless",
        "_textless_max",
        "events",
    )

    def __init__(self, *, masked: bool, text_max: int = CONTROL_MAX_BYTES, textless_max: int | None = None) -> None:
        self._masked = masked
        self._text_max = text_max
        self._textless = 0
        self._textless_max = textless_max
        self._header = bytearray()
        self._need = 2
        self._left = 0
        self._mask = b""
        self._opcode = CONTINUATION
        self._final = True
        self._message = CONTINUATION
        """Opcode of the fragmented message in progress."""
        self._text = bytearray()
        """The text message in progress; binary payload is never kept."""
        self._control = bytearray()
        """The control frame in progress: it may come between two fragments of a message."""
        self.events: deque[FrameEvent] = deque()
        self._closed = False

    def receive_data(self, data: Piece) -> list[Piece]:
        """Takes the next bytes and returns the binary payload in them; then call next_event until None.

        Raises FrameError; the connection must be closed with its code.
        """
        view = data if type(data) is memoryview else memoryview(data)
        end = len(view)
        whole = self._only_frame(view, end)
        if whole is not None:
            return [whole]
        position = 0
        pieces: list[Piece] = []
        while position < end and not self._closed:
            if not self._left:
                position = self._begin_whole(view, position, end) or self._read_header(view, position, end)
                continue
            stop = min(end, position + self._left)
            piece: Piece = view[position:stop]
            taken = stop - position
            self._left -= taken
            position = stop
            if self._masked:
                piece = apply_mask(piece, self._mask)
                turn = taken & 3
                if turn and self._left:
                    self._mask = self._mask[turn:] + self._mask[:turn]
            if self._opcode == BINARY:
                pieces.append(piece)
            elif self._opcode == TEXT:
                self._text += piece
            else:
                self._control += piece
            if not self._left:
                self._end_frame()
        return pieces

    def only_text(self, data: bytes) -> str | None:
        """Fast path for control messages: ``data`` is one small masked text message and nothing else. None: receive_data it.

        Raises FrameError.
        """
        size = len(data)
        if size < _LONGEST_HEADER or self._left or self._header or self._message or self._closed:
            return None
        start, length = 6, data[1] - _MASK_BIT
        if length == 126:
            length, start = data[2] << 8 | data[3], 8
            if length < 126:
                return None
        whole = data[0] == _WHOLE_TEXT and 0 <= length != 127 and start + length == size
        if not (whole and self._masked and length <= self._text_max):
            return None
        self._textless = 0
        return _decoded(apply_mask(data[start:], data[start - 4 : start]))

    @property
    def inside_frame(self) -> bool:
        """Whether the input so far ends within a frame."""
        return bool(self._left or self._header)

    def next_event(self) -> FrameEvent | None:
        """Returns what else was in the input, oldest first."""
        return self.events.popleft() if self.events else None

    def _only_frame(self, view: memoryview, end: int) -> Piece | None:
        """Fastest path: the input is one small binary message and nothing else, as most are. None: read it as usual."""
        if end < _LONGEST_HEADER or self._left or self._header or self._message or self._closed:
            return None
        length = view[1] & 0x7F
        if view[0] != _WHOLE_BINARY or not length or length == 127 or (view[1] >= 0x80) != self._masked:
            return None
        start = 2
        if length == 126:
            length, start = view[2] << 8 | view[3], 4
            if length < 126:
                return None
        if not self._masked:
            return view[start:] if start + length == end else None
        if start + 4 + length != end:
            return None
        return apply_mask(view[start + 4 :], bytes(view[start : start + 4]))

    def _begin_whole(self, view: memoryview, position: int, end: int) -> int:
        """Fast path: the header of an unfragmented binary message, all there. Returns the position behind it, or 0."""
        if self._header or self._message or end - position < _LONGEST_HEADER or view[position] != _WHOLE_BINARY:
            return 0
        if self._textless_max is not None:
            return 0
        second = view[position + 1]
        short = second & 0x7F
        if (second >= 0x80) != self._masked or not short:
            return 0
        if short < 126:
            start, length = position + 2, short
        else:
            start = position + (10 if short == 127 else 4)
            length = int.from_bytes(view[position + 2 : start], "big")
            if not (65536 if short == 127 else 126) <= length <= LEG_MESSAGE_MAX_BYTES:
                return 0
        if self._masked:
            self._mask = bytes(view[start : start + 4])
            start += 4
        self._opcode = self._message = BINARY
        self._final = True
        self._left = length
        return start

    def _read_header(self, view: memoryview, position: int, end: int) -> int:
        header = self._header
        while position < end:
            stop = min(end, position + self._need - len(header))
            header += view[position:stop]
            position = stop
            if len(header) < self._need:
                break
            if self._need == 2:
                self._need = self._header_size(header)
                if self._need > 2:
                    continue
            self._begin_frame(header)
            header.clear()
            self._need = 2
            break
        return position

    def _header_size(self, header: bytearray) -> int:
        if header[0] & 0x70:
            raise FrameError("reserved bits set")
        if bool(header[1] & 0x80) != self._masked:
            raise FrameError("unmasked frame" if self._masked else "masked frame")
        short = header[1] & 0x7F
        size = 2 + (2 if short == 126 else 8 if short == 127 else 0) + (4 if self._masked else 0)
        opcode = header[0] & 0x0F
        if opcode in (CLOSE, PING, PONG):
            if short > 125 or not header[0] & 0x80:
                raise FrameError("control frame fragmented or too long")
        elif opcode not in (CONTINUATION, TEXT, BINARY):
            raise FrameError(f"reserved opcode {opcode}")
        elif (opcode == CONTINUATION) != (self._message != CONTINUATION):
            raise FrameError("continuation out of place")
        return size

    def _begin_frame(self, header: bytearray) -> None:
        opcode = header[0] & 0x0F
        self._final = bool(header[0] & 0x80)
        if self._textless_max is not None and header[0] != _WHOLE_TEXT:
            self._textless += 1
            if self._textless > self._textless_max:
                raise FrameError("too many frames without a text message", CLOSE_POLICY_VIOLATION)
        short = header[1] & 0x7F
        if short < 126:
            length, position = short, 2
        elif short == 126:
            length, position = int.from_bytes(header[2:4], "big"), 4
        else:
            length, position = int.from_bytes(header[2:10], "big"), 10
        if length < (126 if short == 126 else 65536 if short == 127 else 0) or length >> 63:
            raise FrameError("frame length not minimal")
        if self._masked:
            self._mask = bytes(header[position : position + 4])
        if opcode in (TEXT, BINARY):
            self._message = opcode
        self._opcode = self._message if opcode < CLOSE else opcode
        limit = LEG_MESSAGE_MAX_BYTES
        if self._opcode == TEXT:
            limit = self._text_max - (len(self._text) if opcode == CONTINUATION else 0)
        if length > limit:
            raise FrameError(f"frame of {length} bytes, limit {limit}", CLOSE_TOO_BIG)
        self._left = length
        if not length:
            self._end_frame()

    def _end_frame(self) -> None:
        opcode = self._opcode
        if opcode < CLOSE:
            if not self._final:
                return
            self._message = CONTINUATION
            if opcode == TEXT:
                self._textless = 0
                self.events.append(TextReceived(self._take_text()))
            return
        payload = bytes(self._control)
        self._control.clear()
        if opcode == PING:
            # RFC 6455 section 5.5.3: only the latest needs an answer, so a flood of pings costs one pong.
            if self.events and isinstance(self.events[-1], PingReceived):
                self.events.pop()
            self.events.append(PingReceived(payload))
        elif opcode == CLOSE:
            self._closed = True
            self.events.append(CloseReceived(_parse_close_untrusted(payload)))

    def _take_text(self) -> str:
        text = bytes(self._text)
        self._text.clear()
        return _decoded(text)


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as exc:
        raise FrameError("text message is not UTF-8", CLOSE_BAD_DATA) from exc


def frame_header(opcode: int, length: int, mask: bytes = b"") -> bytes:
    """Returns the header of one final frame; ``mask`` is empty on the side that was dialled."""
    bit = 0x80 if mask else 0
    first = 0x80 | opcode
    if length < 126:
        return bytes((first, bit | length)) + mask
    if length < 65536:
        return bytes((first, bit | 126)) + length.to_bytes(2, "big") + mask
    return bytes((first, bit | 127)) + length.to_bytes(8, "big") + mask


def encode_frame(opcode: int, payload: Piece, mask: bytes = b"") -> bytes:
    """Returns one final frame; ``mask``: four unpredictable bytes, or empty on the side that was dialled."""
    body = apply_mask(payload, mask) if mask else payload
    return b"".join((frame_header(opcode, len(payload), mask), body))


def encode_close(reason: Reason, mask: bytes = b"", code: int | None = None) -> bytes:
    """Returns a close frame that carries ``reason``; ``code`` overrides the close code (RFC 6455 section 7.4)."""
    if code is None:
        code = _CLOSE_CODES.get(reason, CLOSE_REASON_BASE + reason.number)
    return encode_frame(CLOSE, code.to_bytes(2, "big") + reason.code.encode(), mask)


_CLOSE_CODES: Final = {
    Reason.NORMAL: CLOSE_NORMAL,
    Reason.SHUTTING_DOWN: CLOSE_GOING_AWAY,
    Reason.PROTOCOL_ERROR: CLOSE_PROTOCOL_ERROR,
}
_CLOSE_REASONS: Final = {code: reason for reason, code in _CLOSE_CODES.items()}


def _parse_close_untrusted(payload: bytes) -> Reason:
    if not payload:
        return Reason.NORMAL
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or code < 1000 or code in (1004, 1005, 1006) or 1015 <= code < 3000 or code >= 5000:
        raise FrameError("invalid close frame")
    if code in _CLOSE_REASONS:
        return _CLOSE_REASONS[code]
    if code >= CLOSE_REASON_BASE:
        return reason_from_number(code - CLOSE_REASON_BASE)
    text = payload[2:].decode(errors="replace")
    return reason_from_code(text) if text else Reason.TUNNEL_LOST
