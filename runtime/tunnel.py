"""A tunnel: inner TLS 1.3 and the multiplexer over one leg (design C14, section 5; threats T-24, T-39, T-40).

Between leg and sockets nothing is queued without a bound: the mux holds what its windows and budgets permit, TLS is
emptied in every turn, and nothing is taken from the mux while the leg's transport is above its high-water mark. What
streams write during one turn of the loop leaves together.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final, Self

from protocol.errors import LocalProtocolError, OstiaryError, RemoteError
from protocol.ids import SpkiPin
from protocol.limits import TUNNEL_DEAD_AFTER_S, TUNNEL_KEEPALIVE_S
from protocol.mux import Session
from protocol.reasons import Reason
from protocol.tls import HandshakeDone, TlsClosed, TunnelTls
from runtime.clock import Clock
from runtime.leg_frames import Piece
from runtime.leg_roles import LegLike
from runtime.tunnel_stream import StreamReceiver, StreamTable, TunnelStream

_RECORDS: Final = 16
_RECORD_BYTES: Final = 16 * 1024
_RECORD_OVERHEAD: Final = 22
_MASKED_HEADER_BYTES: Final = 14
BATCH_BYTES: Final = _RECORDS * (_RECORD_BYTES - _RECORD_OVERHEAD) - _MASKED_HEADER_BYTES
"""What goes through the mux, TLS and the leg in one piece: each step copies it, so that it must stay in the core's cache
(96 KiB cost 15 to 25 % less than 256 KiB). It fills whole records of the inner TLS and, with the WebSocket's header, of the
outer one."""

SMALL_READ_BYTES: Final = 16 * 1024
"""A smaller read is no bulk: what it leads to leaves at once. A larger one may come in slices that leave together."""

__all__ = ["LegLike", "StreamReceiver", "Tunnel", "TunnelStream"]


class Tunnel:
    """One end of a tunnel; made by ``client`` or ``server``, then ``await handshake``.

    Attributes:
        lost: Why the tunnel ended; None while it lives.
        gone_away: The peer's reason for taking no more streams; None while it takes them.
        bytes_sent: Plaintext of the mux, for status.
        bytes_received: Likewise.
    """

    def __init__(
        self,
        leg: LegLike,
        tls: TunnelTls,
        clock: Clock,
        *,
        client: bool,
        on_stream: Callable[[TunnelStream], None] | None = None,
        on_lost: Callable[[Reason], None] | None = None,
        on_gone_away: Callable[[Reason], None] | None = None,
        keepalive_s: float = TUNNEL_KEEPALIVE_S,
        dead_after_s: float = TUNNEL_DEAD_AFTER_S,
    ) -> None:
        self.lost: Reason | None = None
        self.gone_away: Reason | None = None
        self.bytes_sent = 0
        self.bytes_received = 0
        self._on_lost = on_lost
        self._on_gone_away = on_gone_away
        self._leg = leg
        self._tls = tls
        self._clock = clock
        self._client = client
        self._keepalive_s = keepalive_s
        self._dead_after_s = dead_after_s
        self._loop = asyncio.get_running_loop()
        self._mux = Session(client=client, now=clock.monotonic())
        self._streams = StreamTable(
            self._mux, clock, client=client, on_stream=on_stream, on_gone_away=self._peer_went, wake=self._flush_soon
        )
        self._pin: SpkiPin | None = None
        self._failure: OstiaryError | None = None
        self.heard_at = clock.monotonic()
        """When the peer was last heard."""
        self._heard = asyncio.Event()
        self._unheard = True
        self._settled = asyncio.Event()
        """The handshake ended, this way or the other."""
        self._busy = False
        self._flush_due = False
        self._timer: asyncio.TimerHandle | None = None
        leg.set_receiver(self, on_pieces=self._pieces_received)

    @classmethod
    def client(
        cls,
        leg: LegLike,
        pins: Collection[SpkiPin] | TunnelTls,
        clock: Clock,
        *,
        on_lost: Callable[[Reason], None] | None = None,
        on_gone_away: Callable[[Reason], None] | None = None,
        keepalive_s: float = TUNNEL_KEEPALIVE_S,
        dead_after_s: float = TUNNEL_DEAD_AFTER_S,
    ) -> Self:
        """The client's end, over a paired leg: for the ``pins`` of the connector, or a session that they began and that is started."""
        return cls(
            leg,
            pins if isinstance(pins, TunnelTls) else TunnelTls.client(pins),
            clock,
            client=True,
            on_lost=on_lost,
            on_gone_away=on_gone_away,
            keepalive_s=keepalive_s,
            dead_after_s=dead_after_s,
        )

    @classmethod
    def server(
        cls,
        leg: LegLike,
        key_pem: bytes,
        certificate_pem: bytes,
        clock: Clock,
        *,
        on_stream: Callable[[TunnelStream], None] | None = None,
        on_lost: Callable[[Reason], None] | None = None,
        on_gone_away: Callable[[Reason], None] | None = None,
        keepalive_s: float = TUNNEL_KEEPALIVE_S,
        dead_after_s: float = TUNNEL_DEAD_AFTER_S,
    ) -> Self:
        """The connector's end, over a leg that may still be parked (see ``wait_for_peer``). ``on_stream`` gets each stream that
        the client opens and should set its receiver; it may be set later."""
        return cls(
            leg,
            TunnelTls.server(key_pem, certificate_pem),
            clock,
            client=False,
            on_stream=on_stream,
            on_lost=on_lost,
            on_gone_away=on_gone_away,
            keepalive_s=keepalive_s,
            dead_after_s=dead_after_s,
        )

    # Life

    async def wait_for_peer(self) -> None:
        """Waits until the first byte arrives: a parked leg was paired. The leg's own keepalive bounds the wait.

        Raises RemoteError when the leg is lost instead.
        """
        await self._heard.wait()
        if self.lost is not None:
            raise self._failure or RemoteError(self.lost, "the leg was lost while parked")

    async def handshake(self, deadline: float) -> None:
        """Completes the inner TLS within ``deadline`` seconds.

        Raises:
            RemoteError: PIN_MISMATCH, TLS_FAILED, TIMEOUT, or why the leg was lost. The tunnel is closed.
        """
        try:
            async with asyncio.timeout(deadline):
                if self._client and self.lost is None and self._pin is None:
                    self._tls.start()
                    self._flush()
                await self._settled.wait()
        except TimeoutError:
            self._fail(RemoteError(Reason.TIMEOUT, f"no inner handshake within {deadline:g} s"))
        except BaseException:
            self.close(Reason.CANCELLED)
            raise
        if self.lost is not None:
            raise self._failure or RemoteError(self.lost, "the leg was lost during the handshake")

    def exporter(self) -> bytes:
        """Returns the 32 bytes that proofs are bound to (C16, RFC 9266); after the handshake."""
        return self._tls.exporter()

    @property
    def peer_pin(self) -> SpkiPin:
        """Pin of the connector's certificate: at the client the one seen, at the connector its own."""
        if self._pin is None:
            raise LocalProtocolError("no pin before the handshake has ended")
        return self._pin

    @property
    def rtt(self) -> float | None:
        """Smoothed round-trip time in seconds, end to end; None before the first measurement."""
        return self._mux.rtt

    @property
    def stream_count(self) -> int:
        """How many streams live."""
        return len(self._streams)

    @property
    def can_open(self) -> bool:
        """Whether ``open_stream`` would succeed."""
        return self.lost is None and self._pin is not None and self._mux.can_open

    def set_on_stream(self, on_stream: Callable[[TunnelStream], None]) -> None:
        """Names who gets the peer's streams, also those that are waiting."""
        self._streams.set_on_stream(on_stream)

    def open_stream(self) -> TunnelStream:
        """Opens a stream; data may be written at once, before the peer has answered.

        Raises:
            RemoteError: The tunnel is lost.
            RefusedError: The peer has gone away.
            LocalError: LIMIT_EXCEEDED.
        """
        if self.lost is not None or self._pin is None:
            raise RemoteError(self.lost or Reason.TUNNEL_LOST, "the tunnel is not up")
        stream = self._streams.adopt(self._mux.open_stream(self._clock.monotonic()))
        self._flush_soon()
        return stream

    async def probe(self, deadline: float) -> float:
        """Pings and returns the seconds until the peer was heard. Raises RemoteError(PEER_SILENT) after ``deadline``.

        A caller that doubts a quiet tunnel (after a network change, or when an open stream is not answered) need not
        wait for the keepalive.
        """
        start, self._unheard = self._clock.monotonic(), True
        self._heard.clear()
        if self.lost is None:
            self._mux.ping(start)
            self._flush_soon()
            try:
                async with asyncio.timeout(deadline):
                    await self._heard.wait()
            except TimeoutError as exc:
                raise RemoteError(Reason.PEER_SILENT, f"no byte within {deadline:g} s") from exc
        if self.lost is not None:
            raise RemoteError(self.lost, "the tunnel was lost")
        return self._clock.monotonic() - start

    def go_away(self, reason: Reason) -> None:
        """Tells the peer to open no more streams; those that are open go on."""
        if self.lost is None:
            self._mux.go_away(reason)
            self._flush_soon()

    def close(self, reason: Reason = Reason.NORMAL) -> None:
        """Ends the tunnel; the peer and every stream's receiver learn ``reason``. ``on_lost`` is not called."""
        if self.lost is None:
            self._on_lost = None
            self._say_goodbye(reason)
            self._end(reason, for_streams=reason)

    # LegReceiver

    def data_received(self, data: Piece) -> None:
        """The leg brought bytes."""
        self._pieces_received((data,))

    def text_received(self, text: str) -> None:
        """Data legs carry no text."""
        self._fail(RemoteError(Reason.PROTOCOL_ERROR, "a text message on a data leg"))

    def leg_lost(self, reason: Reason) -> None:
        """The leg ended."""
        if self.lost is None:
            self._end(self._why(reason))

    def pause_writing(self) -> None:
        """The leg's transport is above its high-water mark: nothing is taken from the mux (``_flush`` looks)."""

    def resume_writing(self) -> None:
        """There is room again."""
        self._flush()

    # Bytes in

    def _pieces_received(self, pieces: Sequence[Piece]) -> None:
        if self.lost is not None:
            return
        now = self.heard_at = self._clock.monotonic()
        if self._unheard:
            self._unheard = False
            self._heard.set()
        self._busy = True
        try:
            for piece in pieces:
                self._tls.receive_data(piece)
                self._drain_tls(now)
            if (due := self._mux.deadline()) is not None and now >= due[0]:
                self._mux.tick(now)
        except RemoteError as exc:
            self._fail(exc)
            return
        finally:
            self._busy = False
        (self._flush if sum(map(len, pieces)) < SMALL_READ_BYTES else self._flush_soon)()

    def _drain_tls(self, now: float) -> None:
        while self.lost is None and (event := self._tls.next_event()) is not None:
            if isinstance(event, HandshakeDone):
                self._pin = event.pin
                self._arm(self._keepalive_s)
                self._settled.set()
                self._leg.write(self._tls.data_to_send())
                self._leg.end_tls()
            elif isinstance(event, TlsClosed):
                self._fail(RemoteError(self._why(event.reason), "the peer closed the tunnel"))
            else:
                self.bytes_received += len(event.data)
                self._mux.receive_data(memoryview(event.data), now)
                self._streams.drain()

    def _peer_went(self, reason: Reason) -> None:
        self.gone_away = reason
        if self._on_gone_away is not None:
            self._on_gone_away(reason)

    # Bytes out

    def _flush_soon(self) -> None:
        if not self._flush_due and not self._busy:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if self.lost is not None:
            return
        leg, tls, mux = self._leg, self._tls, self._mux
        try:
            if self._pin is not None:
                while mux.has_data_to_send and not leg.paused:
                    data = mux.data_to_send(BATCH_BYTES)
                    if not data:
                        break
                    self.bytes_sent += len(data)
                    tls.send(data)
                    leg.write(tls.data_to_send())
                self._streams.drain()
            if rest := tls.data_to_send():
                leg.write(rest)
        except RemoteError as exc:
            self._fail(exc)

    # Time

    def _arm(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        now = self._clock.monotonic()
        left = self.heard_at + self._dead_after_s - now
        if left <= 0:
            self._fail(RemoteError(Reason.PEER_SILENT, f"no byte for {self._dead_after_s:g} s"))
            return
        self._mux.ping(now)
        self._flush()
        self._arm(min(self._keepalive_s, left))

    # The end

    def _why(self, reason: Reason) -> Reason:
        """What the peer said before it went says more than how its bytes ended."""
        return self.gone_away or (Reason.TUNNEL_LOST if reason is Reason.NORMAL else reason)

    def _fail(self, error: OstiaryError) -> None:
        """Something is wrong with the peer, or it left: closes, and tells the owner."""
        if self.lost is None:
            self._failure = error
            self._say_goodbye(error.reason)
            self._end(error.reason)

    def _say_goodbye(self, reason: Reason) -> None:
        try:
            if self._pin is not None:
                self._mux.go_away(reason)
                # Control frames come first; more than one batch is not worth sending into a tunnel that ends.
                self._tls.send(self._mux.data_to_send())
                self._tls.close()
        except OstiaryError:
            # The session is what failed; its alert, if any, is still to be sent.
            pass
        if farewell := self._tls.data_to_send():
            self._leg.write(farewell)
        self._leg.close(reason)

    def _end(self, reason: Reason, *, for_streams: Reason = Reason.TUNNEL_LOST) -> None:
        self.lost = reason
        if self._timer is not None:
            self._timer.cancel()
        self._heard.set()
        self._settled.set()
        if reason is self.gone_away:
            # The peer named a reason, such as a revocation: that is what the application should hear.
            for_streams = reason
        self._streams.end(Reason.TUNNEL_LOST if for_streams is Reason.NORMAL else for_streams)
        if self._on_lost is not None:
            on_lost, self._on_lost = self._on_lost, None
            on_lost(reason)
