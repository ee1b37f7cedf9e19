"""The TUN mode's shell without a TUN: frames are handed in and caught, the kernel's part is played on loopback.

A is 127.96.0.1 and N is 127.96.0.2, so that the kernel's own sockets can have these addresses without root.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from typing import Any, cast

import pytest
from client_policy import entry, index, tcp_ports
from packet_reference import Tcp, echo, udp

from client.core.addresses import plan_addresses
from client.core.classify import Classifier, Target
from client.core.intercept import Interceptor
from client.core.synthetic import SyntheticPool
from client.daemon.connector_tunnel import ConnectorTunnel
from client.daemon.denials import Denials
from client.daemon.flows import FlowRegistry
from client.daemon.gateway import Gateway
from client.daemon.intercept import Interception
from client.daemon.opening import Opened
from client.daemon.wanted import Begun
from client.host.tun import TunDevice
from client.packet.model import Echo, PacketDrop, TcpFlag, TcpSegment, UdpDatagram
from client.packet.parse import parse
from client.packet.vnet import GSO_UDP_L4, OFFSET
from protocol.errors import RefusedError
from protocol.ids import NO_REVISION, FlowId
from protocol.reasons import Reason
from protocol.streams import StreamAnswer
from runtime.clock import SystemClock
from runtime.tasks import TaskScope

PLAN = plan_addresses([], pools_v4=[IPv4Network("127.96.0.0/16")], pool_v6=None)
APP, SERVER = "127.96.0.1", "10.99.0.5"


class FakeStream:
    """The far end of a flow, played by the test."""

    def __init__(self) -> None:
        self.sent = b""
        self.writes = 0
        self.receiver: Any = None
        self.reset_with: Reason | None = None
        self.eof = False
        self.ended = False
        self.paused = False

    def set_receiver(self, receiver: Any) -> None:
        self.receiver = receiver

    def write(self, data: bytes) -> None:
        self.sent += data
        self.writes += 1

    def write_eof(self) -> None:
        self.eof = True

    def consumed(self, count: int) -> None: ...

    def reset(self, reason: Reason) -> None:
        if not self.ended:
            self.reset_with, self.ended = reason, True


class FakeDevice:
    """Keeps what is written; ``inject`` is what the kernel would send."""

    def __init__(self) -> None:
        self.name = "fake0"
        self.takes_udp_bursts = True
        self.takes = True
        self.written: deque[bytes] = deque()
        self.news = asyncio.Event()

    def start(
        self,
        forward: Callable[[bytearray, int], bool],
        handle: Callable[[bytes], None],
        lost: Callable[[OSError], None],
        drained: Callable[[], None],
    ) -> None:
        self._forward, self._handle, self._drained = forward, handle, drained

    def drain(self) -> None:
        """Nothing waits here."""

    def write(self, frame: bytes) -> bool:
        if self.takes or frame[1] != GSO_UDP_L4:
            self.written.append(frame)
            self.news.set()
            return True
        return False

    def inject(self, *frames: bytes) -> None:
        for frame in frames:
            buffer = bytearray(frame)
            if self._forward(buffer, len(buffer)):
                self.write(bytes(buffer))
            else:
                self._handle(bytes(frame))
        self._drained()

    async def next(self) -> Any:
        """Returns the next packet written, parsed; an ICMP error as its bytes."""
        async with asyncio.timeout(60):
            while not self.written:
                self.news.clear()
                await self.news.wait()
        packet = self.written.popleft()[OFFSET:]
        found = parse(packet)
        return packet if isinstance(found, PacketDrop) else found


TUNNEL = cast(
    ConnectorTunnel, type("T", (), {"path": type("P", (), {"connector": "con_1", "relay": "rel_1"}), "standing": None})
)


class FakeGateway(Gateway):
    """``verdicts`` are given one after the other: a stream, or the reason of a refusal."""

    def __init__(self) -> None:
        clock = SystemClock()
        denials = Denials(clock, entry=lambda _: None, revision=lambda: NO_REVISION)
        super().__init__(cast(Any, None), FlowRegistry(), denials, clock)
        self.verdicts: asyncio.Queue[FakeStream | Reason] = asyncio.Queue()
        self.asked: list[Target] = []
        self.cancelled = 0

    def begin_open(self, target: Target, flow: FlowId) -> Begun | None:
        return None

    async def open(self, target: Target, flow: FlowId, begun: Begun | None = None) -> tuple[Opened, ConnectorTunnel]:
        if begun is not None:
            raise RefusedError(cast(Any, begun.opening).refusal)
        self.asked.append(target)
        try:
            verdict = await self.verdicts.get()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(verdict, Reason):
            raise RefusedError(verdict)
        return Opened(cast(Any, verdict), StreamAnswer()), TUNNEL


class FakeOpening:
    """A stream on a warm tunnel; its answer is the gateway's next verdict."""

    def __init__(self, gateway: FakeGateway) -> None:
        self._gateway = gateway
        self._verdict: asyncio.Task[FakeStream | Reason] = asyncio.create_task(gateway.verdicts.get())

    @property
    def accepted(self) -> bool:
        return isinstance(self._verdict.result(), FakeStream)

    @property
    def refusal(self) -> Reason:
        verdict = self._verdict.result()
        assert isinstance(verdict, Reason)
        return verdict

    def on_answer(self, callback: Callable[[], None]) -> None:
        self._verdict.add_done_callback(lambda _: callback())

    def result(self) -> Opened:
        return Opened(cast(Any, self._verdict.result()), StreamAnswer())

    def abandon(self) -> None:
        self._gateway.cancelled += 1
        self._verdict.cancel()


class WarmGateway(FakeGateway):
    """Has a tunnel for everything: streams begin without a task that waits."""

    def begin_open(self, target: Target, flow: FlowId) -> Begun | None:
        self.asked.append(target)
        return Begun(cast(Any, FakeOpening(self)), TUNNEL)

    def accept(self, target: Target, flow: FlowId, begun: Begun) -> Opened:
        return begun.opening.result()


class World:
    def __init__(self, scope: TaskScope, gateway: FakeGateway) -> None:
        self.device = FakeDevice()
        self.gateway = gateway
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.listener.bind((str(PLAN.own_v4), 0))
        self.listener.listen(64)
        pool = SyntheticPool(PLAN)
        classifier = Classifier(pool)
        classifier.set_clock(SystemClock().monotonic(), SystemClock().wall())
        classifier.use(index(entry("10.99.0.0/24"), entry("10.98.0.1", number=2, ports=tcp_ports(22))))
        interceptor = Interceptor(classifier, PLAN, {4: self.listener.getsockname()[1]})
        self.interception = Interception(
            interceptor,
            cast(TunDevice, self.device),
            {4: self.listener},
            PLAN,
            self.gateway,
            SystemClock(),
            scope,
        )
        self.interception.start()

    async def asked(self, count: int = 1) -> None:
        async with asyncio.timeout(60):
            while len(self.gateway.asked) < count:
                await asyncio.sleep(0.005)

    async def connect(self, stream: FakeStream, port: int = 50_000) -> socket.socket:
        """Plays application and kernel up to the accepted connection."""
        loop = asyncio.get_running_loop()
        self.gateway.verdicts.put_nowait(stream)
        self.device.inject(Tcp(APP, SERVER, port, 443, flags=int(TcpFlag.SYN)).frame())
        syn = await self.device.next()
        assert isinstance(syn, TcpSegment)
        assert (syn.source, syn.destination) == (PLAN.peer_v4.packed, PLAN.own_v4.packed)
        sock = turned_socket(syn)
        await loop.sock_connect(sock, self.listener.getsockname())
        async with asyncio.timeout(60):
            while stream.receiver is None and stream.reset_with is None:
                await asyncio.sleep(0.005)
        return sock


def turned_socket(syn: TcpSegment) -> socket.socket:
    """The kernel's view of a connection that was turned around: it comes from N."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # of an earlier test
    sock.bind((str(PLAN.peer_v4), syn.source_port))
    return sock


async def expect_reset(sock: socket.socket, world: World) -> None:
    """Connects to the listener and is reset, while connecting or right after."""
    loop = asyncio.get_running_loop()

    async def connect_and_read() -> None:
        await loop.sock_connect(sock, world.listener.getsockname())
        await loop.sock_recv(sock, 1)

    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(connect_and_read(), 60)


@asynccontextmanager
async def intercepting(kind: type[FakeGateway] = FakeGateway) -> AsyncIterator[World]:
    async with TaskScope("test") as scope:
        world = World(scope, kind())
        try:
            yield world
        finally:
            world.gateway.flows.end_all(Reason.SHUTTING_DOWN)
            world.interception.stop()
            await asyncio.sleep(0)


cold_and_warm = pytest.mark.parametrize("kind", [FakeGateway, WarmGateway], ids=["cold", "warm"])


@cold_and_warm
async def test_c10_nothing_is_answered_before_the_connector_has(kind: type[FakeGateway]) -> None:
    async with intercepting(kind) as world:
        syn = Tcp(APP, SERVER, 50_000, 443, flags=int(TcpFlag.SYN)).frame()
        world.device.inject(syn)
        world.device.inject(syn)
        await world.asked()
        assert not world.device.written
        assert len(world.gateway.asked) == 1
        assert str(world.gateway.asked[0].host) == SERVER


@cold_and_warm
async def test_c20_bytes_flow_both_ways_after_the_release(kind: type[FakeGateway]) -> None:
    async with intercepting(kind) as world:
        loop = asyncio.get_running_loop()
        stream = FakeStream()
        sock = await world.connect(stream)
        await loop.sock_sendall(sock, b"request")
        async with asyncio.timeout(60):
            while stream.sent != b"request":
                await asyncio.sleep(0.005)
        stream.receiver.data_received(b"answer")
        assert await asyncio.wait_for(loop.sock_recv(sock, 100), 60) == b"answer"
        assert len(world.gateway.flows) == 1
        sock.close()


@cold_and_warm
@pytest.mark.parametrize("resets", [False, True])
async def test_c20_what_is_said_before_the_socket_is_accepted_goes_out_at_once(
    kind: type[FakeGateway], resets: bool
) -> None:
    async with intercepting(kind) as world:
        stream = FakeStream()
        sent: list[bytes] = []
        sockets: list[socket.socket] = []

        def kernel() -> None:
            syn = parse(world.device.written.popleft()[OFFSET:])
            assert isinstance(syn, TcpSegment)
            sock = turned_socket(syn)
            sock.setblocking(True)
            sock.connect(world.listener.getsockname())
            if resets:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
            else:
                sock.sendall(b"request")
                sockets.append(sock)
            asyncio.get_running_loop().call_soon(lambda: sent.append(stream.sent))

        world.device.drain = kernel  # type: ignore[method-assign]
        world.gateway.verdicts.put_nowait(stream)
        world.device.inject(Tcp(APP, SERVER, 50_000, 443, flags=int(TcpFlag.SYN)).frame())
        async with asyncio.timeout(60):
            while not sent:
                await asyncio.sleep(0.005)
        if resets:
            assert stream.reset_with is Reason.CANCELLED
            assert len(world.gateway.flows) == 0
            return
        assert sent == [b"request"]
        async with asyncio.timeout(60):
            while stream.receiver is None:
                await asyncio.sleep(0.005)
        stream.receiver.data_received(b"answer")
        sockets[0].settimeout(0)
        assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sockets[0], 100), 20) == b"answer"
        sockets[0].close()


@cold_and_warm
async def test_both_ends_in_order_leave_no_flow(kind: type[FakeGateway]) -> None:
    async with intercepting(kind) as world:
        loop = asyncio.get_running_loop()
        stream = FakeStream()
        sock = await world.connect(stream)
        sock.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(60):
            while not stream.eof:
                await asyncio.sleep(0.005)
        stream.receiver.eof_received()
        assert await asyncio.wait_for(loop.sock_recv(sock, 100), 60) == b""
        async with asyncio.timeout(60):
            while len(world.gateway.flows):
                await asyncio.sleep(0.005)
        assert world.interception.interceptor.tcp.open_count == 0
        sock.close()


@cold_and_warm
async def test_c23_an_open_flow_is_reset_by_policy(kind: type[FakeGateway]) -> None:
    async with intercepting(kind) as world:
        stream = FakeStream()
        sock = await world.connect(stream)
        world.gateway.flows.end_all(Reason.ACCESS_REVOKED)
        assert stream.reset_with is Reason.ACCESS_REVOKED
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 1), 60)
        sock.close()


@cold_and_warm
async def test_a_flow_cut_between_release_and_accept_is_reset_when_it_arrives(kind: type[FakeGateway]) -> None:
    async with intercepting(kind) as world:
        stream = FakeStream()
        world.gateway.verdicts.put_nowait(stream)
        world.device.inject(Tcp(APP, SERVER, 50_000, 443, flags=int(TcpFlag.SYN)).frame())
        syn = await world.device.next()
        world.gateway.flows.end_all(Reason.ACCESS_REVOKED)
        assert stream.reset_with is Reason.ACCESS_REVOKED
        with turned_socket(syn) as sock:
            await expect_reset(sock, world)


@cold_and_warm
async def test_c20_a_refusal_reaches_the_application_at_once(kind: type[FakeGateway]) -> None:
    async with intercepting(kind) as world:
        world.gateway.verdicts.put_nowait(Reason.CONNECTION_REFUSED)
        world.device.inject(Tcp(APP, SERVER, 50_000, 443, sequence=77, flags=int(TcpFlag.SYN)).frame())
        reset = await world.device.next()
        assert isinstance(reset, TcpSegment)
        assert reset.flags == int(TcpFlag.RST | TcpFlag.ACK)
        assert reset.acknowledgement == 78


async def test_a_port_outside_the_policy_never_reaches_the_gateway_and_is_remembered() -> None:
    async with intercepting() as world:
        world.device.inject(Tcp(APP, "10.98.0.1", 50_000, 443, flags=int(TcpFlag.SYN)).frame())
        await world.device.next()
        assert world.gateway.asked == []
        assert [item.reason for item in world.gateway.denials.recent(5)] == [Reason.PORT_NOT_ALLOWED]


@cold_and_warm
async def test_an_application_that_gives_up_stops_the_work_for_it(kind: type[FakeGateway]) -> None:
    async with intercepting(kind) as world:
        world.device.inject(Tcp(APP, SERVER, 50_000, 443, flags=int(TcpFlag.SYN)).frame())
        await world.asked()
        world.device.inject(Tcp(APP, SERVER, 50_000, 443, sequence=1, flags=int(TcpFlag.RST)).frame())
        async with asyncio.timeout(60):
            while not world.gateway.cancelled:
                await asyncio.sleep(0.005)


async def test_a_stranger_at_the_listener_is_reset() -> None:
    async with intercepting() as world:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
            await expect_reset(sock, world)


def framed(*datagrams: bytes) -> bytes:
    return b"".join(len(each).to_bytes(2, "big") + each for each in datagrams)


async def test_datagrams_go_out_in_order_and_come_back_to_their_port() -> None:
    async with intercepting() as world:
        stream = FakeStream()
        for payload in (b"one", b"two"):
            world.device.inject(bytes(OFFSET) + udp(APP, SERVER, 40_000, 53, payload))
        world.gateway.verdicts.put_nowait(stream)
        async with asyncio.timeout(60):
            while stream.sent != framed(b"one", b"two"):
                await asyncio.sleep(0.005)
        world.device.inject(bytes(OFFSET) + udp(APP, SERVER, 40_000, 53, b"three"))
        assert stream.sent == framed(b"one", b"two", b"three")
        stream.receiver.data_received(framed(b"reply"))
        packet = await world.device.next()
        assert isinstance(packet, UdpDatagram)
        assert (packet.source_port, packet.destination_port, packet.payload) == (53, 40_000, b"reply")
        assert len(world.gateway.flows) == 1


async def test_datagrams_that_came_together_are_sent_together_and_come_back_in_one_frame() -> None:
    async with intercepting() as world:
        stream = FakeStream()
        world.gateway.verdicts.put_nowait(stream)
        world.device.inject(bytes(OFFSET) + udp(APP, SERVER, 40_000, 53, b"zero"))
        async with asyncio.timeout(60):
            while stream.sent != framed(b"zero"):
                await asyncio.sleep(0.005)
        writes = stream.writes
        world.device.inject(*(bytes(OFFSET) + udp(APP, SERVER, 40_000, 53, each) for each in (b"one", b"two")))
        assert (stream.sent, stream.writes) == (framed(b"zero", b"one", b"two"), writes + 1)
        stream.receiver.data_received(framed(b"aaa", b"bbb", b"c"))
        assert [frame[1] for frame in world.device.written] == [GSO_UDP_L4]
        world.device.written.clear()
        world.device.takes = False
        stream.receiver.data_received(framed(b"lost", b"lost"))
        assert not world.device.written, "as on any link"
        stream.receiver.data_received(framed(b"ddd", b"eee"))
        assert [frame[-3:] for frame in world.device.written] == [b"ddd", b"eee"], "one by one from now on"


async def test_a_refused_association_is_told_by_icmp() -> None:
    async with intercepting() as world:
        world.gateway.verdicts.put_nowait(Reason.PORT_NOT_ALLOWED)
        world.device.inject(bytes(OFFSET) + udp(APP, SERVER, 40_000, 53, b"one"))
        error = await world.device.next()
        assert isinstance(error, bytes)
        assert (error[20], error[21]) == (3, 13)


async def test_an_association_that_the_policy_ends_is_told_too() -> None:
    async with intercepting() as world:
        stream = FakeStream()
        world.gateway.verdicts.put_nowait(stream)
        world.device.inject(bytes(OFFSET) + udp(APP, SERVER, 40_000, 53, b"one"))
        async with asyncio.timeout(60):
            while not len(world.gateway.flows):
                await asyncio.sleep(0.005)
        world.gateway.flows.end_all(Reason.ACCESS_REVOKED)
        assert stream.reset_with is Reason.ACCESS_REVOKED
        assert isinstance(await world.device.next(), bytes)
        assert len(world.gateway.flows) == 0


async def test_echo_requests_travel_with_identifier_and_sequence() -> None:
    async with intercepting() as world:
        stream = FakeStream()
        world.gateway.verdicts.put_nowait(stream)
        world.device.inject(bytes(OFFSET) + echo(APP, SERVER, 7, 3, b"ping!"))
        async with asyncio.timeout(60):
            while not stream.sent:
                await asyncio.sleep(0.005)
        assert stream.sent == framed(b"\x00\x07\x00\x03ping!")
        stream.receiver.data_received(framed(b"\x00\x07\x00\x03ping!"))
        reply = await world.device.next()
        assert isinstance(reply, Echo)
        assert (reply.reply, reply.identifier, reply.sequence) == (True, 7, 3)


async def test_a_stream_begun_on_a_warm_tunnel_is_given_up_when_the_mode_stops() -> None:
    async with intercepting(WarmGateway) as world:
        world.device.inject(Tcp(APP, SERVER, 50_000, 443, flags=int(TcpFlag.SYN)).frame())
        await world.asked()
        world.interception.stop()
        assert world.gateway.cancelled == 1


async def test_a_task_that_never_ran_leaves_no_stream_behind() -> None:
    async with intercepting(WarmGateway) as world:
        world.device.inject(Tcp(APP, SERVER, 50_000, 443, flags=int(TcpFlag.SYN)).frame())
        await world.asked()
        world.gateway.verdicts.put_nowait(Reason.TUNNEL_LOST)
        async with asyncio.timeout(60):
            while not any(task.get_name() == "test/hold" for task in asyncio.all_tasks()):
                await asyncio.sleep(0)
        # The refusal's task is made, and the application gives up before its first step.
        world.device.inject(Tcp(APP, SERVER, 50_000, 443, sequence=1, flags=int(TcpFlag.RST)).frame())
        assert world.gateway.cancelled == 1
