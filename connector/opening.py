"""One stream to a resource: decide, resolve, check, dial, answer, bridge (C18 to C21).

Nothing is done for a stream before the decision (T-39). The client may send data behind its header without waiting; the
stream keeps it until the resource has accepted. A refusal is answered with its reason and then reset with the same reason.
"""

import asyncio
import secrets
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import structlog

from connector.core.flows import Flow
from connector.datagrams import Association, echo_association, udp_association
from connector.dialer import (
    PingSocket,
    connect_at_once,
    connected,
    dial_tcp,
    keep_asking,
    open_udp,
    watch_for_vanished_host,
)
from connector.enforcer import Enforcer, Origin
from connector.resolver import Resolver
from connector.stream_head import Waiting
from protocol.acl.model import IPAddress
from protocol.errors import OstiaryError, RemoteError
from protocol.reasons import Reason
from protocol.streams import StreamAnswer, StreamHeader, encode_answer
from runtime.bridge import SocketBridge, join
from runtime.tasks import TaskScope
from runtime.tunnel import TunnelStream

_log = structlog.get_logger(__name__)

WATCH_AFTER_S: Final = 5.0
"""Most connections are over before a vanished host could be noticed; they are spared the work."""
_ACCEPTED: Final = encode_answer(StreamAnswer())


class Opening:
    """One tcp, udp or icmp stream from its decision to its bridge."""

    def __init__(
        self,
        enforcer: Enforcer,
        resolver: Resolver,
        scope: TaskScope,
        stream: TunnelStream,
        header: StreamHeader,
        origin: Origin,
        *,
        udp_idle_s: float,
    ) -> None:
        self._udp_idle_s = udp_idle_s
        self._enforcer = enforcer
        self._resolver = resolver
        self._scope = scope
        self._stream = stream
        self._header = header
        self._origin = origin
        self._flow: Flow | None = None
        self._waiting: Waiting | None = None
        self._task: asyncio.Task[None] | None = None
        self._bridge: SocketBridge | Association | None = None
        self._over = False

    def start(self) -> None:
        """Decides, and begins to dial."""
        try:
            self._flow = self._enforcer.open(self._header, self._origin, self._abort, self._traffic)
        except RemoteError as error:
            refuse(self._stream, error.reason)
            return
        try:
            if self._header.kind == "tcp" and self._dial_at_once(self._flow):
                return
        except OstiaryError as error:
            self._fail(error.reason)
            return
        except Exception as error:  # noqa: BLE001 - what would end a task must not end the tunnel
            self._crashed(error)
            return
        self._begin(self._run())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Goes on in a task, and keeps what the client sends meanwhile."""
        self._waiting = Waiting(self._stream, self._gone)
        if self._over:
            work.close()
            return
        self._task = self._scope.spawn(work, name=self._header.kind, on_crash=self._crashed)

    def _dial_at_once(self, flow: Flow) -> bool:
        """Dials without a task where there is one address, and it is known. False: that takes a task."""
        host, port = flow.request.host, flow.request.port
        assert port is not None
        addresses = [host] if not isinstance(host, str) else self._known(host)
        if len(addresses) != 1 or self._stream.gone:
            return False
        flow.address = address = self._enforcer.check_egress(addresses[0], port)
        sock, accepted = connect_at_once(address, port)
        if accepted:
            self._take(sock)
        else:
            self._begin(self._await_resource(sock, address, port))
        return True

    def _known(self, name: str) -> Sequence[IPAddress]:
        found = self._resolver.known(name)
        return () if found is None else found.addresses

    async def _await_resource(self, sock: socket.socket, address: IPAddress, port: int) -> None:
        try:
            await connected(sock, address, port)
            self._enforcer.check_egress(address, port)
        except OstiaryError as error:
            sock.close()
            self._fail(error.reason)
        else:
            self._take(sock)

    def _take(self, sock: socket.socket) -> None:
        """The resource accepted: the client is told before the socket is looked at any further."""
        bridge = self._bridge = SocketBridge(self._stream, side="connector", on_done=self._done)
        self._hand_over()
        self._scope.spawn(self._join(bridge, sock), name="bridge", on_crash=self._crashed)

    async def _join(self, bridge: SocketBridge, sock: socket.socket) -> None:
        half_closed = self._waiting is not None and self._waiting.eof
        keep_asking(sock)
        await join(bridge, sock)
        if half_closed:
            # The stream said it once, to the receiver of that time.
            bridge.stream_eof()

    async def _run(self) -> None:
        flow = self._flow
        assert flow is not None
        try:
            addresses = await self._addresses(flow)
            if self._header.kind == "tcp":
                await self._tcp(flow, addresses)
            else:
                self._datagrams(flow, addresses)
        except OstiaryError as error:
            self._fail(error.reason)

    async def _addresses(self, flow: Flow) -> list[IPAddress]:
        """Resolves once and keeps what the egress rules pass (T-33)."""
        host, port = flow.request.host, flow.request.port
        if not isinstance(host, str):
            return [self._enforcer.check_egress(host, port)]
        found = (await self._resolver.resolve(host)).usable(host)
        passed = []
        refusal: RemoteError | None = None
        for address in found.addresses:
            try:
                passed.append(self._enforcer.check_egress(address, port))
            except RemoteError as error:
                refusal = error
        if not passed:
            raise refusal or RemoteError(Reason.NAME_NOT_FOUND, host)
        return passed

    async def _tcp(self, flow: Flow, addresses: list[IPAddress]) -> None:
        port = flow.request.port
        assert port is not None
        flow.address = addresses[0]
        await dial_tcp(addresses, port, self._make_bridge)

    def _make_bridge(self, address: IPAddress) -> "ResourceBridge":
        assert self._flow is not None
        self._flow.address = address
        return ResourceBridge(self._stream, on_connected=self._connected, on_done=self._done)

    def _connected(self, bridge: "ResourceBridge") -> bool:
        """The resource accepted: answers, and hands the stream over. Tells whether the client's half ended already."""
        if self._over:
            # A change of policy was faster.
            bridge.abort(Reason.CANCELLED)
            return False
        flow = self._flow
        assert flow is not None
        assert flow.address is not None
        try:
            # A config that came meanwhile was held against the address that was tried first; another one may have won.
            self._enforcer.check_egress(flow.address, flow.request.port)
        except RemoteError as error:
            bridge.abort(error.reason)
            return False
        self._bridge = bridge
        self._hand_over()
        return self._waiting is not None and self._waiting.eof

    def _hand_over(self) -> None:
        if self._flow is not None:
            self._flow.accepted = True
        if self._waiting is not None:
            self._waiting.release()
        self._stream.write(_ACCEPTED)

    def _datagrams(self, flow: Flow, addresses: list[IPAddress]) -> None:
        address = flow.address = addresses[0]
        if self._header.kind == "udp":
            port = flow.request.port
            assert port is not None
            sock = open_udp(address, port)
            self._hand_over()
            self._bridge = udp_association(self._stream, sock, self._done, idle_s=self._udp_idle_s)
        else:
            ping = PingSocket(address, identifier=secrets.randbits(16))
            self._hand_over()
            self._bridge = echo_association(self._stream, ping, self._done)
        if self._waiting is not None and self._waiting.eof and not self._over:
            self._bridge.eof_received()

    def _traffic(self) -> tuple[int, int]:
        bridge = self._bridge
        return (0, 0) if bridge is None else (bridge.bytes_up, bridge.bytes_down)

    # Ends

    def _done(self, bytes_up: int, bytes_down: int, reason: Reason) -> None:
        """The bridge ended."""
        self._over = True
        if self._flow is not None:
            self._enforcer.close(self._flow.flow, reason, bytes_up=bytes_up, bytes_down=bytes_down)

    def _abort(self, reason: Reason) -> None:
        """A change of policy, time, or a shutdown ends this flow (C23)."""
        if self._bridge is not None:
            self._bridge.abort(reason)
            return
        self._fail(reason)
        if self._task is not None:
            self._task.cancel()

    def _gone(self, reason: Reason) -> None:
        """The client gave up, or the tunnel was lost, while the resource was dialled."""
        self._over = True
        if self._flow is not None:
            self._enforcer.close(self._flow.flow, reason)
        if self._task is not None:
            self._task.cancel()

    def _fail(self, reason: Reason) -> None:
        if self._over:
            return
        self._over = True
        refuse(self._stream, reason)
        if self._flow is not None:
            self._enforcer.close(self._flow.flow, reason)

    def _crashed(self, error: Exception) -> None:
        _log.error("stream.crashed", kind=self._header.kind, exc_info=error)
        self._abort(Reason.INTERNAL)


class ResourceBridge(SocketBridge):
    """A bridge whose socket is the resource's: the client gets its answer before the first byte of the resource."""

    def __init__(
        self,
        stream: TunnelStream,
        *,
        on_connected: "Callable[[ResourceBridge], bool]",
        on_done: Callable[[int, int, Reason], None],
    ) -> None:
        super().__init__(stream, side="connector", on_done=on_done)
        self._on_connected = on_connected

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The resource accepted."""
        asyncio.get_running_loop().call_later(WATCH_AFTER_S, watch_for_vanished_host, transport)
        half_closed = self._on_connected(self)
        super().connection_made(transport)
        if half_closed:
            # The stream said it once, to the receiver of that time.
            self.stream_eof()


def refuse(stream: TunnelStream, reason: Reason) -> None:
    """Answers with ``reason``, then resets with it; the answer gets one turn of the loop to leave."""
    if stream.ended:
        return
    stream.set_receiver(None)
    stream.write(encode_answer(StreamAnswer(reason.code)))
    asyncio.get_running_loop().call_soon(stream.reset, reason)
