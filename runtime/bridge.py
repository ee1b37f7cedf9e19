"""Joining a TCP socket and a tunnel's stream (design C21; threat T-40).

Backpressure goes from socket to socket: while the stream has no budget the socket is not read; credit goes back to the
peer only while the socket's own buffer is below its high-water mark. Half-close and reset cross the bridge both ways; a
reset becomes a real RST.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final, Literal, cast

from protocol.reasons import Reason
from runtime.tunnel_stream import TunnelStream

BRIDGE_HIGH_WATER: Final = 128 * 1024
"""Bytes that the socket has not taken and for which no credit is given."""
_LINGER_RESET: Final = struct.pack("ii", 1, 0)

Side = Literal["client", "connector"]
Done = Callable[[int, int, Reason], None]


class SocketBridge(asyncio.Protocol):
    """The protocol of a TCP transport whose other end is ``stream``.

    Use it as the protocol of ``loop.create_connection``, or give it an existing transport:
    ``transport.set_protocol(bridge); bridge.connection_made(transport)``.

    Args:
        stream: Its receiver becomes the bridge when the transport is there; what came earlier is not lost.
        side: Where this bridge stands: tells up from down, and whose fault a reset is.
        on_done: Called once with bytes up (towards the resource), bytes down, and why it ended: NORMAL after both
            sides closed in order.
        high_water: See BRIDGE_HIGH_WATER.

    Attributes:
        from_socket: Bytes read from the socket.
        to_socket: Bytes written to the socket.
        done: Why it ended; None while it lives.
    """

    def __init__(
        self, stream: TunnelStream, *, side: Side, on_done: Done | None = None, high_water: int = BRIDGE_HIGH_WATER
    ) -> None:
        self.from_socket = 0
        self.to_socket = 0
        self.done: Reason | None = None
        self._stream = stream
        self._side = side
        self._on_done = on_done
        self._high_water = high_water
        self._transport: asyncio.Transport | None = None
        self._attached = False
        self._socket_full = False
        self._owed = 0
        """Credit that is held back until the socket has taken the bytes."""
        self._socket_eof = False
        self._stream_eof = False

    @property
    def bytes_up(self) -> int:
        """Bytes towards the resource."""
        return self.from_socket if self._side == "client" else self.to_socket

    @property
    def bytes_down(self) -> int:
        """Bytes towards the client's application."""
        return self.to_socket if self._side == "client" else self.from_socket

    def traffic(self) -> tuple[int, int]:
        """Returns bytes up and down so far, also behind the end."""
        return self.bytes_up, self.bytes_down

    def abort(self, reason: Reason) -> None:
        """Cuts both sides at once: the peer learns ``reason``, the socket gets a RST (C23)."""
        if self.done is None:
            self._stream.reset(reason)
            self._reset_socket()
            self._finish(reason)

    # asyncio.Protocol: the socket's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there: joins it with the stream."""
        self._transport = cast(asyncio.Transport, transport)
        # uvloop attaches the socket object to its transport two turns from here; a transport that was aborted before would
        # leave the object with a closed descriptor, to be closed once more when it may already be another connection's.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._settled)
        if self.done is not None:
            return
        self._transport.set_write_buffer_limits(high=self._high_water, low=self._high_water // 4)
        self._stream.set_receiver(_StreamSide(self))
        if self._stream.paused:
            # uvloop begins to read right behind this call and forgets a pause that came inside it (T-40).
            loop.call_soon(self._pause_again)

    def data_received(self, data: bytes) -> None:
        """Socket to stream."""
        self.from_socket += len(data)
        self._stream.write(data)

    def eof_received(self) -> bool:
        """The socket's peer half-closed; the other direction goes on."""
        if not self._socket_eof:
            self._socket_eof = True
            self._stream.write_eof()
        # False lets the transport close itself behind what is still to be written.
        return not self._stream_eof

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._transport = None
        if self.done is not None:
            return
        if exc is None and self._socket_eof and self._stream_eof:
            self._finish(Reason.NORMAL)
            return
        reason = self._reason_of(exc)
        self._stream.reset(reason)
        self._finish(reason)

    def pause_writing(self) -> None:
        """The socket takes no more: credit is held back."""
        self._socket_full = True

    def resume_writing(self) -> None:
        """The socket has taken what was buffered: credit goes back."""
        self._socket_full = False
        owed, self._owed = self._owed, 0
        self._stream.consumed(owed)

    # The stream's side

    def stream_data(self, data: bytes | memoryview) -> None:
        """Stream to socket."""
        transport = self._transport
        # uvloop raises on a write to a closed transport; its connection_lost is on the way.
        if transport is None or transport.is_closing():
            return
        size = len(data)
        self.to_socket += size
        transport.write(data)
        if self._socket_full:
            self._owed += size
        else:
            self._stream.consumed(size)

    def stream_eof(self) -> None:
        """The peer's half ended: half-closes the socket, or closes it when its own half has ended too."""
        self._stream_eof = True
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._socket_eof:
            transport.close()
        else:
            transport.write_eof()

    def stream_reset(self, reason: Reason) -> None:
        """The stream is gone: so is the socket."""
        if self.done is None:
            self._reset_socket()
            self._finish(reason)

    def pause_socket(self) -> None:
        """The stream has no budget: stop reading the socket."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_socket(self) -> None:
        """The stream has budget again."""
        # Reading on behind the end would find the end once more.
        if self._transport is not None and not self._socket_eof and not self._transport.is_closing():
            self._transport.resume_reading()

    # Inside

    def _reason_of(self, exc: Exception | None) -> Reason:
        if isinstance(exc, TimeoutError):
            return Reason.TIMEOUT
        return Reason.CANCELLED if self._side == "client" else Reason.CONNECTION_RESET

    def _pause_again(self) -> None:
        if self._stream.paused and self.done is None:
            self.pause_socket()

    def _settled(self) -> None:
        self._attached = True
        if self.done is not None:
            self._reset_socket()

    def _reset_socket(self) -> None:
        transport = self._transport
        if transport is None or not self._attached:
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and not transport.is_closing():
            # Closing with a linger time of 0 sends RST in place of FIN: the application sees a reset, not an end.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        transport.abort()

    def _finish(self, reason: Reason) -> None:
        self.done = reason
        if self._on_done is not None:
            on_done, self._on_done = self._on_done, None
            on_done(self.bytes_up, self.bytes_down, reason)


async def join(bridge: SocketBridge, sock: socket.socket) -> None:
    """Joins a connected, non-blocking socket with the bridge's stream; takes the socket over, whatever comes of it.

    Until then the kernel keeps what the socket receives, and the stream what its peer sends.
    """
    try:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: bridge, sock)
    except OSError:
        sock.close()
        bridge.abort(Reason.LIMIT_EXCEEDED)
    except asyncio.CancelledError:
        # The transport has closed the descriptor, whose number may be another connection's by now.
        sock.detach()
        bridge.abort(Reason.SHUTTING_DOWN)
        raise


class _StreamSide:
    """Receiver of the stream; both sides of a bridge have methods of the same names."""

    takes_views = True

    __slots__ = ("data_received", "eof_received", "pause_writing", "resume_writing", "stream_reset")

    def __init__(self, bridge: SocketBridge) -> None:
        self.data_received = bridge.stream_data
        self.eof_received = bridge.stream_eof
        self.stream_reset = bridge.stream_reset
        self.pause_writing = bridge.pause_socket
        self.resume_writing = bridge.resume_socket
