"""The TUN mode's traffic: carries out what ``client.core.intercept`` asks for (C8, C10, C20, C21).

A TCP flow is: held SYN -> stream at the connector -> SYN released -> our listener accepts -> bridge. An association is:
first datagram -> stream -> datagrams both ways.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import structlog

from client.core.addresses import AddressPlan
from client.core.association import Association
from client.core.association_table import AssociationTable
from client.core.commands import (
    AbandonFlow,
    AskAccess,
    CloseAssociation,
    Command,
    OpenAssociation,
    ReportDenial,
    SendDatagrams,
    WriteFrame,
)
from client.core.flows import TcpFlow
from client.core.intercept import Interceptor
from client.daemon.connector_tunnel import DOUBT_AFTER_S, ConnectorTunnel
from client.daemon.datagrams import DatagramStream
from client.daemon.gateway import Gateway
from client.daemon.opening import Opened
from client.daemon.wanted import Begun
from client.host.tun import TunDevice
from client.packet.vnet import GSO_UDP_L4
from protocol.acl.model import Transport
from protocol.errors import OstiaryError
from protocol.ids import FlowId
from protocol.reasons import Reason
from runtime.bridge import Done, SocketBridge, join
from runtime.clock import Clock
from runtime.entropy import new_id
from runtime.tasks import TaskScope
from runtime.tunnel import TunnelStream

ACCEPTS_PER_WAKE: Final = 64
ACCEPT_PAUSE_S: Final = 0.25
FIRST_READ_BYTES: Final = 16 * 1024
"""What an application said before its socket was accepted is sent on in the same turn; the rest is read later."""
V4_KEY_BYTES: Final = 12
"""Two addresses and two ports (client.packet.model.endpoints)."""
_LINGER_RESET: Final = struct.pack("ii", 1, 0)

_log = structlog.get_logger(__name__)


class Interception:
    """Joins the packet machine, the TUN device, the listeners and the gateway.

    Args:
        interceptor: the packet machine.
        device: the TUN device; started by ``start``.
        listeners: by IP version.
        plan: for N, from which accepted connections seem to come.
        gateway: opens streams.
        clock: monotonic time.
        scope: owns the tasks.
    """

    def __init__(
        self,
        interceptor: Interceptor,
        device: TunDevice,
        listeners: Mapping[int, socket.socket],
        plan: AddressPlan,
        gateway: Gateway,
        clock: Clock,
        scope: TaskScope,
    ) -> None:
        self.interceptor = interceptor
        self._device = device
        self._listeners = listeners
        self._peers = {4: str(plan.peer_v4), 6: str(plan.peer_v6)}
        self._gateway = gateway
        self._clock = clock
        self._scope = scope
        self._tcp = interceptor.tcp
        self._begun: dict[TcpFlow, Begun] = {}
        """Flows whose stream went out on a warm tunnel: no task waits for the answer, it calls back."""
        self._asking: dict[TcpFlow, asyncio.Task[None]] = {}
        self._ready: dict[TcpFlow, tuple[FlowId, TunnelStream]] = {}
        """Streams of flows whose SYN was released and whose socket was not accepted yet."""
        self._associations: dict[Association, DatagramStream | asyncio.Task[None]] = {}
        self._associated: dict[Association, FlowId] = {}
        self._to_send: dict[Association, None] = {}
        """Their datagrams go out when all packets that had come were handled."""
        interceptor.udp.super_packets = device.takes_udp_bursts

    def start(self) -> None:
        """Reads from here on."""
        for version, listener in self._listeners.items():
            self._listen(version, listener)
        self._device.start(self.interceptor.forward, self._handle, self._device_lost, self._send_datagrams)

    def stop(self) -> None:
        """Reads no more; ends what is open."""
        loop = asyncio.get_running_loop()
        for listener in self._listeners.values():
            if listener.fileno() >= 0:
                loop.remove_reader(listener.fileno())
                listener.close()
        begun, self._begun = self._begun, {}
        for each in begun.values():
            each.opening.abandon()
        for _, stream in self._ready.values():
            stream.reset(Reason.SHUTTING_DOWN)
        self._ready.clear()

    async def run_timers(self) -> None:
        """Ticks the packet machine; for ever."""
        while True:
            due = self.interceptor.deadline()
            now = self._clock.monotonic()
            await asyncio.sleep(1.0 if due is None else min(1.0, max(0.02, due[0] - now)))
            self._execute(self.interceptor.tick(self._clock.monotonic()))

    # Packets

    def _handle(self, frame: bytes) -> None:
        commands = self.interceptor.handle(frame, self._clock.monotonic())
        if commands:
            self._execute(commands)

    def _execute(self, commands: Iterable[Command]) -> None:
        for command in commands:
            match command:
                case WriteFrame(frame):
                    self._write(frame)
                case AskAccess(flow):
                    self._ask(flow)
                case AbandonFlow(flow, reason):
                    self._abandon(flow, reason)
                case OpenAssociation(association):
                    self._associations[association] = self._scope.spawn(
                        self._associate(association), name="association", on_crash=self._crashed
                    )
                case SendDatagrams(association, urgent):
                    self._to_send[association] = None
                    if urgent:
                        self._send_datagrams()
                case CloseAssociation(association, reason):
                    self._dissociate(association, reason)
                case ReportDenial(denial):
                    self._gateway.denials.refused(denial)

    def _write(self, frame: bytes) -> None:
        if not self._device.write(frame) and frame[1] == GSO_UDP_L4:
            self.interceptor.udp.super_packets = False

    # TCP

    def _ask(self, flow: TcpFlow) -> None:
        number = FlowId(new_id("flow"))
        begun = self._gateway.begin_open(flow.target, number)
        if begun is None:
            self._wait(flow, number, None)
            return
        self._begun[flow] = begun
        doubt = asyncio.get_running_loop().call_later(DOUBT_AFTER_S, self._wait, flow, number, begun)

        def answered() -> None:
            doubt.cancel()
            if self._begun.get(flow) is not begun or flow in self._asking:
                return  # abandoned, or a task waits for it already
            if begun.opening.accepted:
                self._accepted(flow, number, begun)
            else:
                self._wait(flow, number, begun)

        begun.opening.on_answer(answered)

    def _accepted(self, flow: TcpFlow, number: FlowId, begun: Begun) -> None:
        del self._begun[flow]
        try:
            opened = self._gateway.accept(flow.target, number, begun)
        except OstiaryError as error:
            self._execute(self._tcp.refuse(flow, error.reason, self._clock.monotonic()))
        else:
            self._release(flow, number, opened, begun.tunnel)

    def _wait(self, flow: TcpFlow, number: FlowId, begun: Begun | None) -> None:
        """What takes longer, or goes wrong, is a task's work. The stream is the task's from its first step on."""
        self._asking[flow] = self._scope.spawn(self._open(flow, number, begun), name="hold", on_crash=self._crashed)

    async def _open(self, flow: TcpFlow, number: FlowId, begun: Begun | None) -> None:
        self._begun.pop(flow, None)
        try:
            opened, tunnel = await self._gateway.open(flow.target, number, begun)
        except OstiaryError as error:
            self._execute(self._tcp.refuse(flow, error.reason, self._clock.monotonic()))
            return
        finally:
            self._asking.pop(flow, None)
        self._release(flow, number, opened, tunnel)

    def _release(self, flow: TcpFlow, number: FlowId, opened: Opened, tunnel: ConnectorTunnel) -> None:
        self._ready[flow] = (number, opened.stream)
        self._gateway.begin(number, flow.target, tunnel, lambda reason: self._cut(flow, reason))
        commands = self._tcp.release(flow, self._clock.monotonic())
        if not commands:  # the application gave up in the same moment
            self._abandon(flow, Reason.CANCELLED)
            return
        self._execute(commands)
        # The SYN-ACK is there already, and most often the application's answer to it and its first bytes, too: neither it nor
        # they need wait for the loop's next turn.
        self._device.drain()
        if flow in self._ready:
            version = 4 if len(flow.key) == V4_KEY_BYTES else 6
            self._accept_one(version, self._listeners[version])

    def _abandon(self, flow: TcpFlow, reason: Reason) -> None:
        begun = self._begun.pop(flow, None)
        if begun is not None:
            begun.opening.abandon()
        task = self._asking.pop(flow, None)
        if task is not None:
            task.cancel()
        number, stream = self._ready.pop(flow, (None, None))
        if number is not None and stream is not None:
            stream.reset(reason)
            self._gateway.end(number, flow.target, Reason.CANCELLED)

    def _cut(self, flow: TcpFlow, reason: Reason) -> None:
        """The policy ended a flow that was released and not accepted yet."""
        _, stream = self._ready.pop(flow, (None, None))
        if stream is not None:
            stream.reset(reason)
            self._execute(self._tcp.refuse(flow, reason, self._clock.monotonic()))

    def _listen(self, version: int, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            asyncio.get_running_loop().add_reader(listener.fileno(), self._accept, version, listener)

    def _accept(self, version: int, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_PER_WAKE):
            if not self._accept_one(version, listener):
                return

    def _accept_one(self, version: int, listener: socket.socket) -> bool:
        """Takes one connection from the kernel; False when there was none."""
        try:
            sock, peer = listener.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as exc:
            # Out of descriptors, most likely: look away for a moment, or the loop would do nothing else (F-28).
            _log.warning("listener.accept_failed", error=str(exc))
            loop = asyncio.get_running_loop()
            if listener.fileno() >= 0:
                loop.remove_reader(listener.fileno())
            loop.call_later(ACCEPT_PAUSE_S, self._listen, version, listener)
            return False
        flow = None
        if peer[0] == self._peers[version]:
            flow = self._tcp.accepted(peer[1], self._clock.monotonic())
        ready = None if flow is None else self._ready.pop(flow, None)
        if flow is None or ready is None:
            _reset(sock)
            if flow is not None:
                self._tcp.closed(flow, self._clock.monotonic())
            return True
        sock.setblocking(False)
        self._join(sock, flow, *ready)
        return True

    def _join(self, sock: socket.socket, flow: TcpFlow, number: FlowId, stream: TunnelStream) -> None:
        def done(_up: int, _down: int, reason: Reason) -> None:
            self._gateway.end(number, flow.target, reason)

        def closed() -> None:
            # The flow lingers from the moment its socket is closed, not from the end of the stream.
            self._tcp.closed(flow, self._clock.monotonic())

        bridge = _FlowBridge(stream, done, closed)
        self._gateway.flows.rebind(number, bridge.abort, bridge.traffic)
        try:
            early = sock.recv(FIRST_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            early = b""
        except OSError:
            # The application has reset it already; the socket says so only once.
            sock.close()
            bridge.abort(Reason.CANCELLED)
            closed()
            return
        if early:
            bridge.data_received(early)
        self._scope.spawn(self._bridge(sock, bridge), name="bridge", on_crash=self._crashed)

    async def _bridge(self, sock: socket.socket, bridge: "_FlowBridge") -> None:
        await join(bridge, sock)
        if bridge.done is not None:
            bridge.closed()

    # UDP and ICMP

    def _send_datagrams(self) -> None:
        while self._to_send:
            association, _ = self._to_send.popitem()
            stream = self._associations.get(association)
            if isinstance(stream, DatagramStream):
                stream.send()

    async def _associate(self, association: Association) -> None:
        table = self._table(association)
        number = FlowId(new_id("flow"))
        try:
            opened, tunnel = await self._gateway.open(association.target, number)
        except OstiaryError as error:
            self._associations.pop(association, None)
            self._execute(table.refuse(association, error.reason, self._clock.monotonic()))
            return
        if association not in self._associations:
            opened.stream.reset(Reason.CANCELLED)
            return

        def deliver(datagrams: Sequence[bytes]) -> None:
            self._execute(table.replies(association, datagrams, self._clock.monotonic()))

        def ended(reason: Reason) -> None:
            self._association_ended(association, reason)

        stream = DatagramStream(opened.stream, association.outgoing, deliver, ended)
        self._associations[association] = stream
        self._associated[association] = number

        def abort(reason: Reason) -> None:
            stream.close(reason)
            ended(reason)

        self._gateway.begin(number, association.target, tunnel, abort, stream.traffic)
        table.opened(association)
        stream.start()  # with all that waits

    def _association_ended(self, association: Association, reason: Reason) -> None:
        if self._associations.pop(association, None) is None:
            return
        self._end_association(association, reason)
        table, now = self._table(association), self._clock.monotonic()
        if reason is Reason.NORMAL:
            table.close(association, now)
        else:
            self._execute(table.refuse(association, reason, now))

    def _dissociate(self, association: Association, reason: Reason) -> None:
        stream = self._associations.pop(association, None)
        if isinstance(stream, DatagramStream):
            stream.close(reason)
        elif stream is not None:
            stream.cancel()
        self._end_association(association, reason)

    def _end_association(self, association: Association, reason: Reason) -> None:
        number = self._associated.pop(association, None)
        if number is not None:
            self._gateway.end(number, association.target, reason)

    def _table(self, association: Association) -> AssociationTable:
        return self.interceptor.udp if association.target.transport is Transport.UDP else self.interceptor.icmp

    # Trouble

    def _crashed(self, error: Exception) -> None:
        _log.error("flow.crashed", exc_info=error)

    def _device_lost(self, error: OSError) -> None:
        _log.error("tun.lost", error=str(error))
        self._scope.cancel()


class _FlowBridge(SocketBridge):
    """Tells also when the socket itself is closed."""

    def __init__(self, stream: TunnelStream, on_done: Done, on_closed: Callable[[], None]) -> None:
        super().__init__(stream, side="client", on_done=on_done)
        self.closed = on_closed

    def connection_lost(self, exc: Exception | None) -> None:
        """See SocketBridge."""
        super().connection_lost(exc)
        self.closed()


def _reset(sock: socket.socket) -> None:
    """Ends an accepted socket by RST."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
    finally:
        sock.close()
