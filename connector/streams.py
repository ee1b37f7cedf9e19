"""Serving one stream of an admitted tunnel: decide, resolve, check, dial, answer, bridge (C18 to C21).

Nothing is done for a stream before the decision (T-39). The client may send data behind its header without waiting; the
stream keeps it until the resource has accepted. A refusal is answered with its reason and then reset with the same reason.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from connector.core.flows import Flow
from connector.datagrams import Association, echo_association, udp_association
from connector.dialer import PingSocket, dial_tcp, open_udp, watch_for_vanished_host
from connector.dns_forward import (
    QUERY_MAX_BYTES,
    failed,
    may_forward,
    no_data,
    outgoing,
    parse_query_untrusted,
    stripped,
)
from connector.enforcer import Enforcer, Origin
from connector.resolver import Resolved, Resolver
from connector.stream_head import Waiting
from protocol.acl.model import IPAddress
from protocol.acl.names import normalise_name
from protocol.errors import OstiaryError, RemoteError, RemoteProtocolError
from protocol.limits import DNS_NEGATIVE_TTL_S, DNS_TTL_S, RESOLVE_DEADLINE_S, UDP_IDLE_S
from protocol.reasons import Reason
from protocol.streams import StreamAnswer, StreamHeader, encode_answer
from runtime.bridge import SocketBridge
from runtime.tasks import TaskScope
from runtime.tunnel import TunnelStream

_log = structlog.get_logger(__name__)

WATCH_AFTER_S: Final = 5.0
"""Most connections are over before a vanished host could be noticed; they are spared the work."""
_ACCEPTED: Final = encode_answer(StreamAnswer())


class StreamServer:
    """Serves streams of all tunnels; one object per connector. ``udp_idle_s``: see ``connector.datagrams``."""

    def __init__(
        self, enforcer: Enforcer, resolver: Resolver, scope: TaskScope, *, udp_idle_s: float = UDP_IDLE_S
    ) -> None:
        self._enforcer = enforcer
        self._resolver = resolver
        self._scope = scope
        self._udp_idle_s = udp_idle_s

    def serve(self, stream: TunnelStream, header: StreamHeader, origin: Origin) -> None:
        """Takes an admitted tunnel's stream whose header is complete."""
        work = {"resolve": self._resolve, "dns": self._forward}.get(header.kind)
        if work is not None:
            self._serve_name(stream, header, origin, work)
        else:
            Opening(
                self._enforcer, self._resolver, self._scope, stream, header, origin, udp_idle_s=self._udp_idle_s
            ).start()

    # Names

    def _serve_name(
        self,
        stream: TunnelStream,
        header: StreamHeader,
        origin: Origin,
        work: Callable[[TunnelStream, str], Awaitable[None]],
    ) -> None:
        try:
            self._enforcer.permit_name(header, origin)
        except RemoteError as error:
            refuse(stream, error.reason)
            return
        name = normalise_name(header.host)
        self._scope.spawn(
            self._guard(stream, header, origin, work(stream, name)),
            name=header.kind,
            on_crash=lambda exc: _crashed(stream, exc),
        )

    async def _guard(self, stream: TunnelStream, header: StreamHeader, origin: Origin, work: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(RESOLVE_DEADLINE_S):
                await work
            return
        except TimeoutError:
            reason = Reason.TIMEOUT
        except OstiaryError as error:
            reason = error.reason
            if reason is Reason.EGRESS_FORBIDDEN:
                self._enforcer.refused(header, origin, reason)
        if header.kind == "dns":
            # It was answered when it began: a second answer would be read as a reply.
            stream.reset(reason)
        else:
            refuse(stream, reason)

    async def _resolve(self, stream: TunnelStream, name: str) -> None:
        """Says whether the name exists and in which families; never an address."""
        found = await self._resolver.resolve(name)
        families, forbidden = self._families(found)
        if forbidden and not families:
            raise RemoteError(Reason.EGRESS_FORBIDDEN, name)
        ttl = min(found.ttl, DNS_TTL_S if families else DNS_NEGATIVE_TTL_S)
        stream.write(encode_answer(StreamAnswer(None, found.rcode, ttl, families)))
        stream.write_eof()

    def _families(self, found: Resolved) -> tuple[tuple[str, ...], bool]:
        families: set[str] = set()
        forbidden = False
        for address in found.addresses:
            try:
                families.add(f"v{self._enforcer.check_egress(address, None).version}")
            except RemoteError:
                forbidden = True
        return tuple(sorted(families)), forbidden

    async def _forward(self, stream: TunnelStream, name: str) -> None:
        """Forwards one query and strips addresses from the reply."""
        stream.write(_ACCEPTED)
        query = parse_query_untrusted(await _read_query(stream), name)
        if may_forward(query):
            try:
                reply = stripped(query, await self._resolver.forward(outgoing(query, name)))
            except RemoteError:
                reply = failed(query)
        else:
            reply = no_data(query)
        stream.write(len(reply).to_bytes(2, "big") + reply)
        stream.write_eof()


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
            self._flow = self._enforcer.open(self._header, self._origin, self._abort)
        except RemoteError as error:
            refuse(self._stream, error.reason)
            return
        self._waiting = Waiting(self._stream, self._gone)
        if self._over:
            return
        self._task = self._scope.spawn(self._run(), name=self._header.kind, on_crash=self._crashed)

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


async def _read_query(stream: TunnelStream) -> bytes:
    """Returns the one query of a dns stream. Raises RemoteError."""
    reader = _QueryReader(stream)
    return await reader.query


class _QueryReader:
    """Receiver of a dns stream: two bytes of length, then a query."""

    def __init__(self, stream: TunnelStream) -> None:
        self.query: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._stream = stream
        self._buffer = b""
        stream.set_receiver(self)

    def data_received(self, data: bytes) -> None:
        self._stream.consumed(len(data))
        if self.query.done():
            return
        self._buffer += data
        if len(self._buffer) < 2:
            return
        length = int.from_bytes(self._buffer[:2], "big")
        if length > QUERY_MAX_BYTES:
            self.query.set_exception(RemoteProtocolError("DNS query too long"))
        elif len(self._buffer) >= 2 + length:
            self.query.set_result(self._buffer[2 : 2 + length])

    def eof_received(self) -> None:
        if not self.query.done():
            self.query.set_exception(RemoteProtocolError("the stream ended inside its query"))

    def stream_reset(self, reason: Reason) -> None:
        if not self.query.done():
            self.query.set_exception(RemoteError(reason, "the client gave up"))

    def pause_writing(self) -> None:
        """One reply always fits."""

    def resume_writing(self) -> None:
        """One reply always fits."""


def _crashed(stream: TunnelStream, error: Exception) -> None:
    _log.error("stream.crashed", exc_info=error)
    refuse(stream, Reason.INTERNAL)
