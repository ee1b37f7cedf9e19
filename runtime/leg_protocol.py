"""One leg: a WebSocket over TLS that carries a byte stream and, on control legs, small text messages.

The class is the asyncio protocol itself; both sides use it once the upgrade is through (``runtime.leg`` dials,
``runtime.leg_accept`` accepts). Bytes in are handed out as they arrive, message boundaries mean nothing
(protocol.rendezvous). Nothing is queued here: what is written goes to the transport, whose high-water mark pauses the
writer; who cannot take more bytes pauses reading, and TCP does the rest.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from typing import Final, cast

from protocol.limits import (
    LEG_DEAD_AFTER_S,
    LEG_MESSAGE_MAX_BYTES,
    LEG_PING_INTERVAL_S,
    TUNNEL_WRITE_HIGH_WATER,
)
from protocol.reasons import Reason
from runtime.leg_frames import (
    BINARY,
    PING,
    PONG,
    TEXT,
    CloseReceived,
    FrameError,
    FrameReader,
    Piece,
    PingReceived,
    TextReceived,
    encode_close,
    encode_frame,
    frame_header,
)
from runtime.leg_roles import LegReceiver
from runtime.leg_socket import shared_buffer, tune_socket
from runtime.leg_tls import BareProtocol, LegTransport

SLICE_BYTES: Final = 96 * 1024
"""What arrived is passed on in slices that stay in the core's cache while they are unmasked, decrypted and written."""


class Leg(BareProtocol):
    """An established leg. Made by ``dial_leg`` or ``LegAcceptor.accept``, never directly.

    Attributes:
        paused: The transport is above its high-water mark; writes are still taken but should wait.
        lost: Why the leg ended; None while it lives.
        tls_may_end: Both ends agreed to it (protocol.rendezvous).
        sends_bare: Our direction has neither TLS nor frames any more.
        receives_bare: Likewise the peer's.
    """

    def __init__(
        self,
        *,
        dialled: bool,
        high_water: int = TUNNEL_WRITE_HIGH_WATER,
        ping_interval_s: float = LEG_PING_INTERVAL_S,
        dead_after_s: float = LEG_DEAD_AFTER_S,
        on_closed: Callable[[], None] | None = None,
    ) -> None:
        self.paused = False
        self.lost: Reason | None = None
        self.tls_may_end = False
        self.sends_bare = False
        self.receives_bare = False
        self._dialled = dialled
        self._high_water = high_water
        self._ping_interval_s = ping_interval_s
        self._dead_after_s = dead_after_s
        self._on_closed = on_closed
        self._reader = FrameReader(masked=not dialled)
        self._receiver: LegReceiver | None = None
        self._on_pieces: Callable[[Sequence[Piece]], None] | None = None
        self._on_bare: Callable[[], None] | None = None
        self._borrower: Callable[[], None] | None = None
        self._early: list[bytes | str] = []
        """What came before there was a receiver; reading is paused as soon as there is something."""
        self._receiver_full = False
        self._reading_paused = False
        self._buffer = shared_buffer()
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def set_receiver(
        self,
        receiver: LegReceiver,
        *,
        on_pieces: Callable[[Sequence[Piece]], None] | None = None,
        on_bare: Callable[[], None] | None = None,
    ) -> None:
        """Names who gets what arrives; what came earlier follows in the next turn of the loop.

        Args:
            receiver: Gets every event.
            on_pieces: Gets all payload of one read at once in place of ``receiver.data_received`` per piece.
            on_bare: Called when the peer has ended its TLS.
        """
        self._receiver, self._on_pieces, self._on_bare = receiver, on_pieces, on_bare
        if self.paused:
            receiver.pause_writing()
        if self._early or self.lost is not None:
            self._loop.call_soon(self._deliver_early)

    def write(self, data: Piece) -> None:
        """Sends ``data``; one binary message up to LEG_MESSAGE_MAX_BYTES. Silent on a leg that has ended.

        A bare leg may keep a view until it is written: nobody else may change what it shows.
        """
        if self.sends_bare:
            self._put(data)
            return
        if len(data) <= LEG_MESSAGE_MAX_BYTES:
            self._send(BINARY, data)
            return
        view = memoryview(data)
        for start in range(0, len(view), LEG_MESSAGE_MAX_BYTES):
            self._send(BINARY, view[start : start + LEG_MESSAGE_MAX_BYTES])

    def write_pieces(self, pieces: Sequence[Piece]) -> None:
        """Sends several pieces as one message (several if they exceed LEG_MESSAGE_MAX_BYTES)."""
        size = sum(map(len, pieces))
        if self.sends_bare:
            self._put(b"".join(pieces))
        elif self._dialled or size > LEG_MESSAGE_MAX_BYTES:
            self.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        else:
            self._put(b"".join((frame_header(BINARY, size), *pieces)))

    def write_text(self, text: str) -> None:
        """Sends a text message (control legs only)."""
        self._send(TEXT, text.encode())

    def end_tls(self) -> None:
        """Ends the leg's own TLS and framing in our direction, if that was agreed: what it carries is encrypted end to end."""
        transport = self._transport
        if self.tls_may_end and not self.sends_bare and self.lost is None and isinstance(transport, LegTransport):
            transport.end_tls()
            self.sends_bare = True

    @property
    def empty(self) -> bool:
        """Nothing waits in this process to be written."""
        return self._transport is not None and self._transport.get_write_buffer_size() == 0

    def set_high_water(self, high_water: int | None = None) -> None:
        """Pauses the writer above ``high_water`` bytes; None: what the leg was made with."""
        high = self._high_water if high_water is None else high_water
        if self._transport is not None and not self._transport.is_closing():
            self._transport.set_write_buffer_limits(high=high, low=high // 4)

    def lend_socket(self, stop: Callable[[], None]) -> socket.socket | None:
        """Hands the connection to somebody who copies bytes better, who calls ``close`` in the end.

        None while the leg is not bare both ways, is being read, or has something to write.

        Args:
            stop: Called before the leg is closed from here.
        """
        if not self._reading_paused or self.lost is not None or not isinstance(self._transport, LegTransport):
            return None
        lent = self._transport.lend_socket()
        if lent is not None:
            self._borrower = stop
        return lent

    def pause_reading(self) -> None:
        """Stops reading; the peer feels it through TCP. The leg is not held to be dead while reading is paused."""
        self._receiver_full = True
        self._control_reading()

    def resume_reading(self) -> None:
        """Goes on reading."""
        self._receiver_full = False
        self._control_reading()

    def close(self, reason: Reason = Reason.NORMAL) -> None:
        """Sends what is buffered and a close frame with ``reason``, then closes. The receiver hears nothing more."""
        self._receiver = None
        if self.lost is None:
            self._shut(reason, reason)

    @property
    def local_address(self) -> str | None:
        """This host's address on the leg; None once the socket is gone."""
        name = None if self._transport is None else self._transport.get_extra_info("sockname")
        return str(name[0]) if isinstance(name, tuple) else None

    def abort(self) -> None:
        """Drops the connection at once; buffered bytes are lost. The receiver hears nothing more."""
        self._receiver = None
        if self.lost is None:
            self.lost = Reason.CANCELLED
        self._take_back()
        if self._transport is not None:
            self._transport.abort()

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes over an upgraded transport."""
        self._transport = cast(asyncio.Transport, transport)
        self.set_high_water()
        tune_socket(transport)
        self._timer = self._loop.call_later(self._ping_interval_s, self._on_timer)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lends the buffer that all legs of this thread share: it is read out before this protocol returns."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Takes what arrived."""
        if nbytes <= SLICE_BYTES:
            self.receive_data(self._buffer[:nbytes])
            return
        for start in range(0, nbytes, SLICE_BYTES):
            self.receive_data(self._buffer[start : min(nbytes, start + SLICE_BYTES)])

    def receive_data(self, data: Piece) -> None:
        """Takes bytes of the WebSocket; also called with what came in one packet with the upgrade."""
        if self.lost is not None:
            return
        self._heard_at = self._loop.time()
        if self.receives_bare:
            self._take((data,))
            return
        try:
            pieces = self._reader.receive_data(data)
            if pieces:
                self._take(pieces)
            while self._reader.events and (event := self._reader.next_event()) is not None:
                match event:
                    case TextReceived(text):
                        self._deliver_text(text)
                    case PingReceived(payload):
                        # Above the high-water mark a pong would only add to a queue that the peer does not read.
                        if not self.paused:
                            self._send(PONG, payload)
                    case CloseReceived(reason):
                        self._end(reason, answer=reason)
        except FrameError as exc:
            self._end(Reason.PROTOCOL_ERROR, answer=Reason.PROTOCOL_ERROR, code=exc.close_code)

    def tls_ended(self) -> bool:
        """The peer ended its TLS: the connection goes on if that was agreed."""
        if not self.tls_may_end or self.lost is not None:
            return False
        if self._reader.inside_frame:
            self._end(Reason.PROTOCOL_ERROR, answer=Reason.PROTOCOL_ERROR)
            return False
        self.receives_bare = True
        if self._on_bare is not None:
            self._on_bare()
        return True

    def deliver_first(self, first: bytes) -> None:
        """Takes bytes that came in the head of the request: they are delivered before any other."""
        self._deliver((first,))

    def eof_received(self) -> bool:
        """The peer closed without a close frame: the transport closes itself."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        if self._timer is not None:
            self._timer.cancel()
        self._end(Reason.TUNNEL_LOST)
        self._transport = None
        if self._on_closed is not None:
            self._on_closed()

    def pause_writing(self) -> None:
        """The transport's buffer is above the high-water mark."""
        self.paused = True
        if self._receiver is not None:
            self._receiver.pause_writing()

    def resume_writing(self) -> None:
        """The transport's buffer is below the low-water mark."""
        self.paused = False
        if self._receiver is not None:
            self._receiver.resume_writing()

    # Inside

    def _send(self, opcode: int, payload: Piece) -> None:
        if not self.sends_bare:
            self._put(encode_frame(opcode, payload, os.urandom(4) if self._dialled else b""))

    def _put(self, frame: Piece) -> None:
        transport = self._transport
        # uvloop raises on a write to a closed transport: one dead leg must not take its callers with it.
        if transport is not None and self.lost is None and not transport.is_closing():
            # One write for a whole frame: a record of its own for the header would cost more than joining does.
            transport.write(frame)

    def _control_reading(self) -> None:
        pause = self._receiver_full or bool(self._early)
        if pause == self._reading_paused:
            return
        self._reading_paused = pause
        self._heard_at = self._loop.time()
        if self._transport is None or self._transport.is_closing():
            return
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _take(self, pieces: Sequence[Piece]) -> None:
        if self._on_pieces is not None and self._receiver is not None and not self._early:
            self._on_pieces(pieces)
        else:
            self._deliver(pieces)

    def _take_back(self) -> None:
        if self._borrower is not None:
            stop, self._borrower = self._borrower, None
            stop()

    def _deliver(self, pieces: Sequence[Piece]) -> None:
        if self._receiver is None or self._early:
            self._early.extend(bytes(piece) for piece in pieces)
            self._control_reading()
        else:
            for piece in pieces:
                if self._receiver is not None:
                    self._receiver.data_received(piece)

    def _deliver_text(self, text: str) -> None:
        if self._receiver is None or self._early:
            self._early.append(text)
            self._control_reading()
        else:
            self._receiver.text_received(text)

    def _deliver_early(self) -> None:
        early, self._early = self._early, []
        self._control_reading()
        for item in early:
            if self._receiver is None:
                return
            if isinstance(item, str):
                self._receiver.text_received(item)
            elif self._on_pieces is not None:
                self._on_pieces([item])
            else:
                self._receiver.data_received(item)
        if self.lost is not None:
            self._tell_lost(self.lost)

    def _end(self, reason: Reason, *, answer: Reason | None = None, code: int | None = None) -> None:
        """The leg ended by the peer's doing or by the keepalive: closes, and tells the receiver."""
        if self.lost is None:
            self._shut(reason, answer, code)
            self._tell_lost(reason)

    def _tell_lost(self, reason: Reason) -> None:
        # Bytes that wait for a receiver come first; _deliver_early calls again.
        if self._receiver is not None and not self._early:
            receiver, self._receiver = self._receiver, None
            receiver.leg_lost(reason)

    def _shut(self, reason: Reason, answer: Reason | None, code: int | None = None) -> None:
        self.lost = reason
        self._take_back()
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if answer is not None and not self.sends_bare:
            transport.write(encode_close(answer, os.urandom(4) if self._dialled else b"", code))
        transport.close()

    def _on_timer(self) -> None:
        # Bytes of any kind count as life; a quiet leg is kept alive by the pings of both ends.
        if not self._reading_paused and self._loop.time() - self._heard_at >= self._dead_after_s:
            transport = self._transport
            self._end(Reason.PEER_SILENT)
            if transport is not None:
                transport.abort()
            return
        if not self.paused:
            self._send(PING, b"")
        self._timer = self._loop.call_later(self._ping_interval_s, self._on_timer)
