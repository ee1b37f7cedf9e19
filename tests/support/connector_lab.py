"""A client and a connector joined in memory: real inner TLS, proofs, streams and sockets; no relay, no controller."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from connector_world import NETWORK, World, entry, flow_id, res
from fake_dns import FakeDns, fake_dns

from connector.enforcer import Enforcer
from connector.identity import make_certificate
from connector.peer import Trust, TunnelPeer
from connector.resolver import Resolver
from connector.streams import StreamServer
from protocol.acl.model import Acl
from protocol.control import ConnectionRecord
from protocol.ids import RelayId, SpkiPin
from protocol.limits import UDP_IDLE_S
from protocol.reasons import Reason
from protocol.streams import (
    Proof,
    StreamAnswer,
    StreamHeader,
    StreamKind,
    answer_reader,
    encode_header,
    encode_proof,
    parse_answer_untrusted,
)
from protocol.tokens.keys import generate_key, key_to_pem, pin_of
from runtime.clock import SystemClock
from runtime.leg_roles import LegReceiver
from runtime.tasks import TaskScope
from runtime.tunnel import Tunnel, TunnelStream

RELAY = RelayId("rel_AAAAAAAAAAAAAAAAAAAAAA")
LOOPBACK = ("127.0.0.0/8", "::1/128")
"""What tests let the connector connect to, although it never would by itself."""


class MemoryLeg:
    """One end of a leg without a network; what is written arrives at the other end in the next turn of the loop."""

    def __init__(self) -> None:
        self.paused = False
        self.closed: Reason | None = None
        self.other: MemoryLeg | None = None
        self._receiver: LegReceiver | None = None
        self._early: list[bytes] = []

    def set_receiver(
        self, receiver: LegReceiver, *, on_pieces: Callable[[Sequence[bytes]], None] | None = None
    ) -> None:
        self._receiver = receiver
        early, self._early = self._early, []
        for data in early:
            receiver.data_received(data)

    def write(self, data: bytes | memoryview | bytearray) -> None:
        if self.other is not None and self.closed is None:
            asyncio.get_running_loop().call_soon(self.other.arrive, bytes(data))

    def arrive(self, data: bytes) -> None:
        if self.closed is not None:
            return
        if self._receiver is None:
            self._early.append(data)
        else:
            self._receiver.data_received(data)

    def end_tls(self) -> None:
        """Has none."""

    def close(self, reason: Reason = Reason.NORMAL) -> None:
        if self.closed is None:
            self.closed = reason
            if self.other is not None:
                asyncio.get_running_loop().call_soon(self.other.lose)

    def lose(self) -> None:
        if self.closed is None:
            self.closed = Reason.TUNNEL_LOST
            if self._receiver is not None:
                self._receiver.leg_lost(Reason.TUNNEL_LOST)


def memory_legs() -> tuple[MemoryLeg, MemoryLeg]:
    """Returns two ends of one leg."""
    one, two = MemoryLeg(), MemoryLeg()
    one.other, two.other = two, one
    return one, two


class ClientStream:
    """The client's end of one stream: reads the answer, collects bytes, remembers its end."""

    def __init__(self, stream: TunnelStream) -> None:
        self.stream = stream
        self.answers: list[StreamAnswer] = []
        self.data = b""
        self.eof = False
        self.reset: Reason | None = None
        self.give_credit = True
        self._reader = answer_reader()
        self._expect_answers = 1
        self._news = asyncio.Event()
        stream.set_receiver(self)

    def expect_another_answer(self) -> None:
        """The proof stream: one more answer follows."""
        self._expect_answers += 1

    async def answer(self, nth: int = 1) -> StreamAnswer:
        """Returns the ``nth`` answer; a reset without one becomes an answer, as it does for a user."""
        await self.until(lambda: len(self.answers) >= nth or self.reset is not None)
        if len(self.answers) >= nth:
            return self.answers[nth - 1]
        assert self.reset is not None
        return StreamAnswer(self.reset.code)

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not done():
                self._news.clear()
                await self._news.wait()

    async def until_reset(self) -> Reason:
        await self.until(lambda: self.reset is not None)
        assert self.reset is not None
        return self.reset

    async def until_data(self, count: int) -> bytes:
        await self.until(lambda: len(self.data) >= count)
        return self.data

    def data_received(self, data: bytes) -> None:
        if self.give_credit:
            self.stream.consumed(len(data))
        if len(self.answers) < self._expect_answers:
            self._reader.receive_data(data)
            if self._reader.frame is not None:
                self.answers.append(parse_answer_untrusted(self._reader.frame))
                data, self._reader = self._reader.rest, answer_reader()
                self.data += data
        else:
            self.data += data
        self._news.set()

    def eof_received(self) -> None:
        self.eof = True
        self._news.set()

    def stream_reset(self, reason: Reason) -> None:
        self.reset = reason
        self._news.set()

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        pass


@dataclass
class Lab:
    """The connector's parts, its client, and the records that were written."""

    world: World
    clock: SystemClock
    enforcer: Enforcer
    peer: TunnelPeer
    tunnel: Tunnel
    trust: Trust
    pin: SpkiPin
    dns: FakeDns
    whitelist: Acl
    lost: list[Reason] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    number: int = 0

    @property
    def now(self) -> int:
        return int(self.clock.wall())

    def records(self) -> list[ConnectionRecord]:
        """Everything that was recorded so far, oldest first."""
        return list(self.enforcer.records.next_batch(10_000).records)

    async def until_recorded(self, count: int = 1) -> list[ConnectionRecord]:
        async with asyncio.timeout(60):
            while len(self.enforcer.records) < count:
                self.news.clear()
                await self.news.wait()
        return self.records()

    async def until_lost(self) -> Reason:
        async with asyncio.timeout(60):
            while not self.lost:
                self.news.clear()
                await self.news.wait()
        return self.lost[0]

    def make_proof(self, token: str | None = None, *, number: int = 1) -> Proof:
        text = token or self.world.access(self.whitelist, issued_at=self.now)
        return self.world.proof(text, number=number, exporter=self.tunnel.exporter(), pin=self.pin)

    async def prove(self) -> ClientStream:
        """Opens the proof stream and is admitted."""
        stream = self.open_raw(encode_proof(self.make_proof()))
        assert (await stream.answer()).reason is None
        return stream

    def open_raw(self, data: bytes) -> ClientStream:
        stream = ClientStream(self.tunnel.open_stream())
        stream.stream.write(data)
        return stream

    def open(
        self,
        host: str,
        port: int | None = None,
        *,
        kind: StreamKind = "tcp",
        flow: int | None = None,
        data: bytes = b"",
    ) -> ClientStream:
        """Opens a stream; ``data`` goes right behind the header."""
        self.number += 1
        header = StreamHeader(kind, host, port, flow_id(self.number if flow is None else flow), res(1))
        return self.open_raw(encode_header(header) + data)

    def enforce(self, whitelist: Acl, *, revision: int, **fields: object) -> None:
        """Makes the connector enforce a newer config."""
        claims = self.world.config_claims(
            whitelist,
            issued_at=self.now,
            revision=revision,
            **{"egress_allow": LOOPBACK, **fields},  # type: ignore[arg-type]
        )
        self.enforcer.accept_config(claims)


EVERYWHERE = Acl(
    (
        entry("127.0.0.0/8", number=1),
        entry("*.corp.example", number=2),
        entry("::1", number=3),
        entry("10.0.0.0/8", number=4),
        entry("169.254.0.0/16", number=5),
    )
)


@asynccontextmanager
async def connector_lab(
    whitelist: Acl = EVERYWHERE, *, admit: bool = True, udp_idle_s: float = UDP_IDLE_S
) -> AsyncIterator[Lab]:
    """A connector that enforces a config for ``whitelist``, and a client whose tunnel is up (and admitted)."""
    world, clock = World(), SystemClock()
    key = generate_key()
    pin = pin_of(key.public_key())
    world.pins = (pin,)
    trust = Trust(key_to_pem(key), make_certificate(key, clock.wall()), world.issuer, world.keys)
    enforcer = Enforcer(connector=world.connector, network=NETWORK, clock=clock)
    near, far = memory_legs()
    async with TaskScope("lab") as scope, fake_dns() as server:
        resolver = Resolver(
            clock, [("127.0.0.1", server.port)], resolv_conf=Path("/nonexistent"), hosts_file=Path("/nonexistent")
        )
        peer = TunnelPeer(
            number=1,
            leg=far,
            relay=RELAY,
            trust=trust,
            enforcer=enforcer,
            server=StreamServer(enforcer, resolver, scope, udp_idle_s=udp_idle_s),
            clock=clock,
        )
        scope.spawn(peer.serve(), name="peer")
        lost: list[Reason] = []
        news = asyncio.Event()

        def on_lost(reason: Reason) -> None:
            lost.append(reason)
            news.set()

        tunnel = Tunnel.client(near, [pin], clock, on_lost=on_lost)
        await tunnel.handshake(10)
        lab = Lab(world, clock, enforcer, peer, tunnel, trust, pin, server, whitelist, lost, news)
        enforcer.on_record = news.set
        lab.enforce(whitelist, revision=7)
        if admit:
            await lab.prove()
        yield lab
        tunnel.close()
        peer.close(Reason.SHUTTING_DOWN)


async def echo_server() -> asyncio.Server:
    """Answers every byte with itself, and an end with an end."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


def port_of(server: asyncio.Server) -> int:
    """Returns where a server listens."""
    return int(server.sockets[0].getsockname()[1])
