"""The transport of a leg: TLS over TCP whose TLS may end while the connection goes on (``runtime.outer_tls``).

A transport for the protocol above it and the protocol of the TCP transport below. While TLS stands, it is like the event
loop's own; after ``end_tls`` what is written goes out as it is, and after the peer's close_notify what arrives is handed up as
it is. A ``BareProtocol`` above is asked about the latter; for any other it is the end of the connection.

Nothing is queued here: the TCP transport's high-water mark pauses the writer, and paused reading stays with the kernel.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, cast

from runtime.leg_socket import SHUTDOWN_DEADLINE_S, shared_buffer
from runtime.outer_tls import OuterTls


class BareProtocol(asyncio.BufferedProtocol):
    """A protocol that can do without TLS."""

    def tls_ended(self) -> bool:
        """Returns whether the connection goes on without TLS."""
        raise NotImplementedError


class LegTransport(asyncio.Transport, asyncio.BufferedProtocol):
    """Made by ``start_client`` or ``start_server``; the protocol above is connected when the handshake is through.

    Attributes:
        tls: The session; its name tells whether both ends have the same one.
    """

    def __init__(self, tls: OuterTls, make_protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        super().__init__()
        self.tls = tls
        self._make_protocol = make_protocol
        self._above: asyncio.BaseProtocol | None = None
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[asyncio.BaseProtocol] = self._loop.create_future()
        self._below: asyncio.Transport | None = None
        self._ciphertext = shared_buffer("wire")
        self._plaintext = shared_buffer()
        self._released = False
        self._bare = False
        """The protocol above knows that what arrives is bare."""
        self._reading_paused = False
        self._delivering = False
        self._closing = False
        self._last_chance: asyncio.TimerHandle | None = None

    async def handshake(self, deadline_s: float) -> asyncio.BaseProtocol:
        """Waits for the session and returns the protocol above it. Raises ssl.SSLError, TimeoutError, OSError; it is closed then."""
        try:
            async with asyncio.timeout(deadline_s):
                return await self._ready
        except BaseException:
            self._ready.cancel()
            # What came up in this very turn was given bytes, perhaps, and so has to hear of the connection's end.
            self._closing = True
            if self._below is not None:
                # An alert may still be on its way.
                self._below.close()
                self._arm()
            raise

    # asyncio.Transport

    def write(self, data: Any) -> None:
        """Sends ``data``, encrypted unless ``end_tls`` was called. Silent on a transport that closes."""
        if self._closing or self._below is None:
            return
        if self.tls.sending_ended:
            self._below.write(data)
            return
        try:
            self.tls.send(data)
        except ssl.SSLError:
            self.abort()
            return
        self._below.write(self.tls.data_to_send())

    def end_tls(self) -> None:
        """Ends our direction's TLS: the peer learns it, and what is written from here on goes out as it is."""
        if self._closing or self._below is None or self.tls.sending_ended:
            return
        try:
            self.tls.end_sending()
        except ssl.SSLError:
            self.abort()
            return
        self._below.write(self.tls.data_to_send())
        self._release()
        if not self._delivering:
            # What was decrypted for that, or the peer's own end.
            self._loop.call_soon(self._deliver)

    def lend_socket(self) -> socket.socket | None:
        """Returns the connection for somebody else to read and write, until it is closed here; the caller closes what it got.

        None unless TLS has ended in both directions and nothing waits to be written. Reading must be paused.
        """
        below = self._below
        if (
            below is None
            or self._closing
            or not self._bare
            or not self.tls.sending_ended
            or below.get_write_buffer_size()
        ):
            return None
        sock = below.get_extra_info("socket")
        return socket.fromfd(sock.fileno(), sock.family, sock.type, sock.proto)

    def close(self) -> None:
        """Sends what is buffered and a close_notify, waits for the peer's end for SHUTDOWN_DEADLINE_S, then closes."""
        if self._closing:
            return
        below = self._below
        if below is None:
            self._closing = True
            return
        if not self.tls.sending_ended:
            try:
                self.tls.end_sending()
                below.write(self.tls.data_to_send())
            except ssl.SSLError:
                self.abort()
                return
        self._closing = True
        self._arm()
        if below.is_closing():
            return
        # Closing at once would reset the connection when the peer had sent something, and so take our last words from it.
        below.write_eof()
        below.resume_reading()

    def abort(self) -> None:
        """Drops the connection at once."""
        self._closing = True
        if self._below is not None:
            self._below.abort()

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._closing or self._below is None or self._below.is_closing()

    def pause_reading(self) -> None:
        """Hands nothing up."""
        self._reading_paused = True
        if self._below is not None and not self._closing:
            self._below.pause_reading()

    def resume_reading(self) -> None:
        """Goes on handing up."""
        if self._reading_paused:
            self._reading_paused = False
            self._loop.call_soon(self._resume)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Of the TCP transport."""
        if self._below is not None:
            self._below.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Of the TCP transport."""
        return 0 if self._below is None else self._below.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Of the TCP transport."""
        return default if self._below is None else self._below.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Names who is above from here on."""
        self._above = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is above."""
        assert self._above is not None
        return self._above

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP is up: the handshake begins."""
        self._below = cast(asyncio.Transport, transport)
        self._shake_hands()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lends a buffer that is read out before this protocol returns; bare bytes go straight to who is above."""
        if self._bare and not self._closing:
            return cast(asyncio.BufferedProtocol, self._above).get_buffer(sizehint)  # type: ignore[return-value]
        return self._ciphertext

    def buffer_updated(self, nbytes: int) -> None:
        """Takes what arrived."""
        if self._closing:
            return
        if self._bare:
            cast(asyncio.BufferedProtocol, self._above).buffer_updated(nbytes)
            return
        self.tls.receive_data(self._ciphertext[:nbytes])
        if self._ready.done():
            self._deliver()
        else:
            self._shake_hands()

    def eof_received(self) -> bool:
        """The peer closed: the TCP transport closes itself."""
        if not self._closing:
            self._tell_eof()
            # What is buffered goes out first, though not to a peer that takes nothing (T-25).
            self._arm()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if self._last_chance is not None:
            self._last_chance.cancel()
        self._below = None
        if not self._ready.done():
            self._ready.set_exception(
                exc or ConnectionResetError("the peer closed the connection during the handshake")
            )
        above, self._above = self._above, None
        if above is not None:
            above.connection_lost(exc)

    def pause_writing(self) -> None:
        """The TCP transport is above its high-water mark."""
        if self._above is not None:
            self._above.pause_writing()

    def resume_writing(self) -> None:
        """There is room again."""
        if self._above is not None:
            self._above.resume_writing()

    # Inside

    def _shake_hands(self) -> None:
        if self._ready.done():
            return
        try:
            done = self.tls.handshake()
        except (ssl.SSLError, ssl.CertificateError) as exc:
            self._ready.set_exception(exc)
            return
        finally:
            self._send_rest()
        if done:
            self._above = self._make_protocol()
            self._ready.set_result(self._above)
            self._above.connection_made(self)
            self._deliver()

    def _send_rest(self) -> None:
        if self._below is not None and (rest := self.tls.data_to_send()):
            self._below.write(rest)

    def _resume(self) -> None:
        self._deliver()
        # What was here already has to be handed up before anything else arrives.
        if not self._reading_paused and not self._closing and self._below is not None and not self._below.is_closing():
            self._below.resume_reading()

    def _deliver(self) -> None:
        """Hands up all plaintext that is there, unless reading is paused."""
        if self._delivering or self._bare or self._above is None:
            return
        self._delivering = True
        try:
            while not self._reading_paused and not self._closing and self._deliver_some():
                pass
            if self.tls.receiving_ended and not self._reading_paused and not self._closing:
                self._end_receiving()
        except ssl.SSLError:
            # Nobody who has the session's keys wrote that.
            self._send_rest()
            self.abort()
        finally:
            self._delivering = False

    def _deliver_some(self) -> int:
        above = self._above
        if isinstance(above, asyncio.BufferedProtocol):
            if count := self.tls.read_into(cast(memoryview, above.get_buffer(-1))):
                above.buffer_updated(count)
        elif count := self.tls.read_into(self._plaintext):
            cast(asyncio.Protocol, above).data_received(bytes(self._plaintext[:count]))
        return count

    def _end_receiving(self) -> None:
        above = self._above
        if not isinstance(above, BareProtocol) or not above.tls_ended():
            self._tell_eof()
            self.close()
            return
        self._bare = True
        rest = memoryview(self.tls.rest())
        while rest and not self._closing:
            # Not more than one read, so it is handed up even if that pauses reading.
            buffer = cast(memoryview, above.get_buffer(-1))
            count = min(len(buffer), len(rest))
            buffer[:count] = rest[:count]
            above.buffer_updated(count)
            rest = rest[count:]
        self._release()

    def _release(self) -> None:
        # A BIO keeps the size that it once needed, and there are thousands of idle legs.
        if self._bare and self.tls.sending_ended and not self._released:
            self._released = True
            self.tls.release()

    def _tell_eof(self) -> None:
        if isinstance(self._above, asyncio.Protocol | asyncio.BufferedProtocol):
            self._above.eof_received()

    def _arm(self) -> None:
        below = self._below
        if self._last_chance is None and below is not None:
            self._last_chance = self._loop.call_later(SHUTDOWN_DEADLINE_S, below.abort)


async def start_client(
    sock: socket.socket,
    make_protocol: Callable[[], asyncio.BaseProtocol],
    *,
    context: ssl.SSLContext,
    host: str,
    deadline_s: float,
) -> asyncio.BaseProtocol:
    """Returns the protocol of a leg over ``sock``, whose other end proved to be ``host``; ``sock`` belongs to the leg.

    Raises:
        ssl.SSLError: Of verification, or of anything else in the handshake.
        TimeoutError: It took longer than ``deadline_s``.
        OSError: The connection was lost.
    """
    _, transport = await asyncio.get_running_loop().create_connection(
        lambda: LegTransport(OuterTls.client(context, host), make_protocol), sock=sock
    )
    return await transport.handshake(deadline_s)


async def start_server(
    sock: socket.socket,
    make_protocol: Callable[[], asyncio.BaseProtocol],
    *,
    context: ssl.SSLContext,
    deadline_s: float,
) -> asyncio.BaseProtocol:
    """As ``start_client``, for an accepted connection."""
    _, transport = await asyncio.get_running_loop().connect_accepted_socket(
        lambda: LegTransport(OuterTls.server(context), make_protocol), sock=sock
    )
    return await transport.handshake(deadline_s)
