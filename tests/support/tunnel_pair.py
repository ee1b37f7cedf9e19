"""Two ends of a tunnel in one process, joined by legs that are memory."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from protocol.ids import SpkiPin
from protocol.reasons import Reason
from protocol.tokens.keys import generate_key, key_to_pem, pin_of, self_signed_certificate
from runtime.clock import Clock, SystemClock
from runtime.leg_frames import Piece
from runtime.leg_roles import LegReceiver
from runtime.tunnel import Tunnel, TunnelStream


class MemoryLeg:
    """One end of a leg. Bytes reach the other end in the next turn of the loop, unless they are held or changed."""

    def __init__(self) -> None:
        self.paused = False
        self.closed: Reason | None = None
        self.other: MemoryLeg | None = None
        self.change: Callable[[bytes], bytes] = lambda data: data
        """Applied to everything that this end sends."""
        self.held: list[bytes] | None = None
        """A list while nothing is to arrive at the other end."""
        self.sent = 0
        self.writes: list[int] = []
        self._receiver: LegReceiver | None = None
        self._on_pieces: Callable[[Sequence[Piece]], None] | None = None

    def set_receiver(
        self, receiver: LegReceiver, *, on_pieces: Callable[[Sequence[Piece]], None] | None = None
    ) -> None:
        self._receiver = receiver
        self._on_pieces = on_pieces

    def write(self, data: Piece) -> None:
        if self.closed is not None:
            return
        self.sent += len(data)
        self.writes.append(len(data))
        changed = self.change(bytes(data))
        if self.held is not None:
            self.held.append(changed)
        elif self.other is not None:
            asyncio.get_running_loop().call_soon(self.other.arrive, changed)

    def release(self) -> None:
        """Lets what was held arrive."""
        held, self.held = self.held or [], None
        for data in held:
            assert self.other is not None
            self.other.arrive(data)

    def arrive(self, data: bytes) -> None:
        """Bytes from the other end; handed on as views, cut in two, as a real leg may."""
        if self.closed is None and data:
            middle = len(data) // 2
            pieces = [piece for piece in (memoryview(data)[:middle], memoryview(data)[middle:]) if piece]
            if self._on_pieces is not None:
                self._on_pieces(pieces)
            elif self._receiver is not None:
                for piece in pieces:
                    self._receiver.data_received(piece)

    def pause(self, paused: bool) -> None:
        """The transport's high-water mark."""
        assert self._receiver is not None
        self.paused = paused
        if paused:
            self._receiver.pause_writing()
        else:
            self._receiver.resume_writing()

    def lose(self, reason: Reason) -> None:
        """The leg breaks at this end."""
        if self.closed is None:
            self.closed = reason
            if self._receiver is not None:
                self._receiver.leg_lost(reason)

    def end_tls(self) -> None:
        """Has none."""

    def close(self, reason: Reason = Reason.NORMAL) -> None:
        if self.closed is None:
            self.closed = reason
            self._receiver = None
            if self.other is not None:
                asyncio.get_running_loop().call_soon(self.other.lose, reason)


def memory_legs() -> tuple[MemoryLeg, MemoryLeg]:
    """Returns the two ends of a leg."""
    one, two = MemoryLeg(), MemoryLeg()
    one.other, two.other = two, one
    return one, two


@functools.cache
def connector_identity() -> tuple[bytes, bytes, SpkiPin]:
    """Returns key, self-signed certificate and pin of a connector; made once per process."""
    key = generate_key()
    now = datetime.now(UTC)
    certificate = self_signed_certificate(
        key,
        common_name="ostiary-connector",
        serial=1,
        not_before=now - timedelta(days=1),
        not_after=now + timedelta(days=1),
    )
    return key_to_pem(key), certificate, pin_of(key.public_key())


class TunnelPair:
    """A client's and a connector's end; ``opened`` gets the connector's streams."""

    def __init__(self, clock: Clock | None = None, *, pin: SpkiPin | None = None, **options: Any) -> None:
        clock = clock or SystemClock()
        key_pem, certificate_pem, own_pin = connector_identity()
        self.client_leg, self.server_leg = memory_legs()
        self.opened: asyncio.Queue[TunnelStream] = asyncio.Queue()
        self.lost: dict[str, Reason] = {}
        self.client = Tunnel.client(
            self.client_leg, [pin or own_pin], clock, on_lost=functools.partial(self._lost, "client"), **options
        )
        self.server = Tunnel.server(
            self.server_leg,
            key_pem,
            certificate_pem,
            clock,
            on_stream=self.opened.put_nowait,
            on_lost=functools.partial(self._lost, "server"),
            **options,
        )

    async def handshake(self) -> None:
        """Completes the inner TLS at both ends; raises the client's error first."""
        server = asyncio.ensure_future(self.server.handshake(5.0))
        try:
            await self.client.handshake(5.0)
        except BaseException:
            server.cancel()
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await server
            raise
        await server

    async def stream(self) -> tuple[TunnelStream, TunnelStream]:
        """Opens a stream at the client; returns both its ends."""
        mine = self.client.open_stream()
        async with asyncio.timeout(60):
            return mine, await self.opened.get()

    def close(self) -> None:
        self.client.close()
        self.server.close()

    def _lost(self, end: str, reason: Reason) -> None:
        self.lost[end] = reason


@contextlib.asynccontextmanager
async def tunnel_pair(clock: Clock | None = None, **options: Any) -> AsyncIterator[TunnelPair]:
    """Yields a TunnelPair whose handshake is done."""
    pair = TunnelPair(clock, **options)
    await pair.handshake()
    try:
        yield pair
    finally:
        pair.close()
        for _ in range(5):
            await asyncio.sleep(0)
