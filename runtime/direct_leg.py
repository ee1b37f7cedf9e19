"""A leg without a relay: the inner TLS runs straight over one TCP connection between client and connector (C12, C14).

The client dials (``dial_direct``); a connector accepts (``connector.direct``). There is no framing, no keepalive and no
farewell of the leg's own: the tunnel over it has all three. As with every leg, what is written goes to the transport, and
nothing is queued beyond it.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, cast

from protocol.direct import DirectAddress
from protocol.errors import RemoteError
from protocol.limits import TUNNEL_WRITE_HIGH_WATER
from protocol.reasons import Reason
from runtime.leg_frames import Piece
from runtime.leg_protocol import SLICE_BYTES
from runtime.leg_roles import LegReceiver
from runtime.leg_socket import SHUTDOWN_DEADLINE_S, shared_buffer, tune_socket
from runtime.sockets import SEGMENT_BYTES, connect_one, reason_of_os_error

_EARLY_MAX_BYTES: Final = 64 * 1024
"""What is kept for a receiver that is not there yet; then reading pauses."""


class DirectLeg(asyncio.BufferedProtocol):
    """One TCP connection as a leg (``runtime.leg_roles.LegLike``).

    Args:
        allowance: So many bytes are read before ``admit``; then reading waits for it. None: no limit.
        on_closed: Called when the socket is gone, whoever closed it.

    Attributes:
        paused: The transport is above its high-water mark.
        lost: Why the leg ended; None while it lives.
        connected: It has, or had, its transport: ``on_closed`` will be, or was, called.
    """

    def __init__(self, *, allowance: int | None = None, on_closed: Callable[[], None] | None = None) -> None:
        self.paused = False
        self.lost: Reason | None = None
        self.connected = False
        self._allowance = allowance
        self._on_closed = on_closed
        self._receiver: LegReceiver | None = None
        self._on_pieces: Callable[[Sequence[Piece]], None] | None = None
        self._early: list[bytes] = []
        self._early_bytes = 0
        self._reading_paused = False
        self._buffer = shared_buffer()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._last_chance: asyncio.TimerHandle | None = None

    def set_receiver(
        self, receiver: LegReceiver, *, on_pieces: Callable[[Sequence[Piece]], None] | None = None
    ) -> None:
        """Names who gets what arrives; what came earlier follows in the next turn of the loop."""
        self._receiver, self._on_pieces = receiver, on_pieces
        if self.paused:
            receiver.pause_writing()
        if self._early or self.lost is not None:
            self._loop.call_soon(self._deliver_early)

    def write(self, data: Piece) -> None:
        """Sends ``data``. Silent on a leg that has ended."""
        transport = self._transport
        # uvloop raises on a write to a closed transport.
        if transport is not None and self.lost is None and not transport.is_closing():
            transport.write(data)

    def end_tls(self) -> None:
        """There is none but the tunnel's."""

    def close(self, reason: Reason = Reason.NORMAL) -> None:
        """Sends what is buffered, for SHUTDOWN_DEADLINE_S at most, then closes. The receiver hears nothing more."""
        self._receiver = None
        self._shut(reason)

    def abort(self) -> None:
        """Drops the connection at once. The receiver hears nothing more."""
        self._receiver = None
        if self.lost is None:
            self.lost = Reason.CANCELLED
        if self._transport is not None:
            self._transport.abort()

    def admit(self) -> None:
        """Who is at the other end has proved itself: reads without limit from here on."""
        self._allowance = None
        self._control_reading()

    @property
    def local_address(self) -> str | None:
        """This host's address on the leg; None once the socket is gone."""
        name = None if self._transport is None else self._transport.get_extra_info("sockname")
        return str(name[0]) if isinstance(name, tuple) else None

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes over a connected transport."""
        self._transport = cast(asyncio.Transport, transport)
        self.connected = True
        self._transport.set_write_buffer_limits(high=TUNNEL_WRITE_HIGH_WATER, low=TUNNEL_WRITE_HIGH_WATER // 4)
        tune_socket(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lends the buffer that all legs of this thread share: it is read out before this protocol returns."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Takes what arrived."""
        if self._allowance is not None:
            self._allowance -= nbytes
        for start in range(0, nbytes, SLICE_BYTES):
            if self.lost is not None:
                return
            self._deliver(self._buffer[start : min(nbytes, start + SLICE_BYTES)])
        self._control_reading()

    def eof_received(self) -> bool:
        """The peer says nothing more: the transport closes itself."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        if self._last_chance is not None:
            self._last_chance.cancel()
        if self.lost is None:
            self._shut(Reason.TUNNEL_LOST)
            self._tell_lost()
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

    def _deliver(self, data: Piece) -> None:
        if self._receiver is None or self._early:
            self._early.append(bytes(data))
            self._early_bytes += len(data)
        elif self._on_pieces is not None:
            self._on_pieces([data])
        else:
            self._receiver.data_received(data)

    def _deliver_early(self) -> None:
        early, self._early, self._early_bytes = self._early, [], 0
        for data in early:
            if self._receiver is None:
                return
            self._deliver(data)
        self._control_reading()
        self._tell_lost()

    def _control_reading(self) -> None:
        spent = self._allowance is not None and self._allowance <= 0
        pause = spent or self._early_bytes >= _EARLY_MAX_BYTES
        if pause == self._reading_paused or self._transport is None or self._transport.is_closing():
            return
        self._reading_paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _tell_lost(self) -> None:
        # Bytes that wait for a receiver come first; _deliver_early calls again.
        if self.lost is not None and self._receiver is not None and not self._early:
            receiver, self._receiver = self._receiver, None
            receiver.leg_lost(self.lost)

    def _shut(self, reason: Reason) -> None:
        if self.lost is not None:
            return
        self.lost = reason
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.close()
            # A peer that does not read must not keep the socket.
            self._last_chance = self._loop.call_later(SHUTDOWN_DEADLINE_S, transport.abort)


async def dial_direct(where: DirectAddress, *, mark: int | None, deadline_s: float) -> DirectLeg:
    """Returns a leg to whoever answers at ``where``; only the inner TLS tells who that is.

    Never through an HTTP proxy, which has no business in a private network, and never through this client's own TUN: the
    routing rule lets sockets with ``mark`` pass (T-53).

    Args:
        where: What a connector advertised.
        mark: SO_MARK of the socket (needs CAP_NET_ADMIN); None without a TUN.
        deadline_s: For the TCP connection.

    Raises:
        RemoteError: What the kernel said, or CONNECT_TIMEOUT.
    """
    try:
        async with asyncio.timeout(deadline_s):
            address = (str(where.address), where.port)
            sock = await connect_one(address, mark=mark, segment=SEGMENT_BYTES)
            try:
                _, leg = await asyncio.get_running_loop().create_connection(DirectLeg, sock=sock)
            except BaseException:
                sock.close()
                raise
    except TimeoutError as exc:
        raise RemoteError(Reason.CONNECT_TIMEOUT, f"{where} did not answer within {deadline_s:g} s") from exc
    except OSError as exc:
        raise RemoteError(reason_of_os_error(exc), f"{where}: {exc.strerror or exc}") from exc
    return leg
