"""The resolver on A:53, UDP and TCP (C8, C9, C18; T-54): carries out what ``client.core.dns`` decides.

Questions about resources' names are answered here or by the resource's connector; every other one goes to the host's own
nameservers and back with its bytes untouched.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from client.core.dns import Answer, AskConnector, DnsDecider, ForwardDns, ForwardUpstream, Ignore
from client.daemon.gateway import Gateway
from client.daemon.wanted import Wanted
from client.host.upstream import forward_query
from protocol.acl.model import Entry, IPAddress
from protocol.errors import LocalError, OstiaryError, RemoteError, RemoteProtocolError
from protocol.ids import ConnectorId
from protocol.limits import RESOLVE_DEADLINE_S
from protocol.reasons import Reason
from runtime.clock import Clock
from runtime.sockets import reason_of_os_error
from runtime.tasks import TaskScope
from runtime.tunnel import TunnelStream

DNS_PORT: Final = 53
QUERIES_MAX: Final = 512
"""Questions in progress; more are left to the asker's retransmit."""
TCP_CLIENTS_MAX: Final = 64
TCP_IDLE_S: Final = 10.0
_DECISIONS_MAX: Final = 4
_WAIT_S: Final = RESOLVE_DEADLINE_S + 2.0
_RECEIVE_BUFFER: Final = 1024 * 1024

Routes = Callable[[tuple[IPAddress, ...]], Awaitable[None]]

_log = structlog.get_logger(__name__)


class DnsServer:
    """The server.

    Args:
        address: A.
        decider: decides.
        gateway: opens streams to connectors.
        upstreams: the host's own nameservers, asked each time because they may change.
        routes: makes sure that addresses lead into the TUN device; awaited before an answer that holds them.
        spared: names of our own infrastructure, which never are resources.
        clock: monotonic time.
        scope: owns the questions in progress.
    """

    def __init__(
        self,
        address: IPAddress,
        decider: DnsDecider,
        gateway: Gateway,
        *,
        upstreams: Callable[[], tuple[str, ...]],
        routes: Routes,
        spared: Callable[[], frozenset[str]],
        clock: Clock,
        scope: TaskScope,
        port: int = DNS_PORT,
        mark: int,
    ) -> None:
        self._address = str(address)
        self._port = port
        self._decider = decider
        self._gateway = gateway
        self._upstreams = upstreams
        self._routes = routes
        self._spared = spared
        self._clock = clock
        self._scope = scope
        self._mark = mark
        self._busy = 0
        self._tcp_clients = 0
        self._asking: dict[str, asyncio.Task[OstiaryError | None]] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listens. Raises LocalError(PORT_IN_USE)."""
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Udp(self._received), local_addr=(self._address, self._port)
            )
            self._transport = transport
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            self._port = sock.getsockname()[1]
            self._server = await asyncio.start_server(self._connected, self._address, self._port, limit=65_540)
        except OSError as exc:
            self.stop()
            raise LocalError(Reason.PORT_IN_USE, f"DNS server on {self._address}:{self._port}: {exc}") from exc

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    def stop(self) -> None:
        """Closes the sockets."""
        if self._transport is not None:
            self._transport.close()
        if self._server is not None:
            self._server.close()

    async def answer(self, query: bytes, *, tcp: bool) -> bytes | None:
        """Returns the answer to one query; None for what deserves none."""
        if self._is_spared(query):
            return await self._forward(query, tcp=tcp)
        for _ in range(_DECISIONS_MAX):
            match self._decider.decide(query, self._clock.monotonic(), tcp=tcp):
                case Ignore():
                    return None
                case ForwardUpstream():
                    return await self._forward(query, tcp=tcp)
                case Answer(data, routes):
                    return await self._finish(query, data, routes, tcp=tcp)
                case ForwardDns(name, entry):
                    return await self._pass_on(query, name, entry, tcp=tcp)
                case AskConnector(name, entry):
                    error = await self._ask(name, entry)
                    if error is not None:
                        return self._decider.failure(query, error.reason, tcp=tcp)
        return self._decider.failure(query, Reason.UNAVAILABLE, tcp=tcp)

    def answered_by(self, query: bytes) -> str:
        """Says who answers this query: ``client``, ``connector``, or ``upstream`` (the host's own resolver)."""
        if self._is_spared(query):
            return "upstream"
        match self._decider.decide(query, self._clock.monotonic(), tcp=True):
            case ForwardUpstream():
                return "upstream"
            case AskConnector() | ForwardDns():
                return "connector"
        return "client"

    # Decisions

    async def _finish(self, query: bytes, data: bytes, routes: tuple[IPAddress, ...], *, tcp: bool) -> bytes:
        if routes:
            try:
                await self._routes(routes)
            except OstiaryError as error:
                _log.error("dns.no_route", reason=error.reason.code, detail=error.detail)
                return self._decider.failure(query, error.reason, tcp=tcp)
        return data

    async def _forward(self, query: bytes, *, tcp: bool) -> bytes:
        try:
            return await forward_query(query, self._upstreams(), tcp=tcp, mark=self._mark)
        except OstiaryError as error:
            return self._decider.failure(query, error.reason, tcp=tcp)
        except OSError as error:
            return self._decider.failure(query, reason_of_os_error(error), tcp=tcp)

    async def _ask(self, name: str, entry: Entry) -> OstiaryError | None:
        """Asks the connector once, however many questions wait for the name."""
        task = self._asking.get(name)
        if task is None:
            task = self._asking[name] = self._scope.spawn(self._resolve(name, entry), name="resolve")
        return await asyncio.shield(task)

    async def _resolve(self, name: str, entry: Entry) -> OstiaryError | None:
        try:
            async with asyncio.timeout(_WAIT_S):
                opened = await self._gateway.ask(Wanted("resolve", name, None, entry))
            answer = opened.answer
            opened.stream.reset(Reason.NORMAL)
            if answer.rcode is None:
                return RemoteProtocolError("a resolve answer without a response code")
            self._decider.learn(name, answer.rcode, answer.ttl or 0, answer.families, self._clock.monotonic())
        except TimeoutError:
            return RemoteError(Reason.TIMEOUT, "the connector's resolver")
        except OstiaryError as error:
            _log.info("dns.resolve_failed", reason=error.reason.code, detail=error.detail)
            return error
        else:
            return None
        finally:
            del self._asking[name]

    async def _pass_on(self, query: bytes, name: str, entry: Entry, *, tcp: bool) -> bytes:
        connector = self._connector(entry)
        if connector is not None:
            known = self._decider.remembered(query, connector, self._clock.monotonic(), tcp=tcp)
            if known is not None:
                return known
        try:
            async with asyncio.timeout(_WAIT_S):
                opened = await self._gateway.ask(Wanted("dns", name, None, entry))
                reply = await _Exchange(opened.stream).ask(query)
            connector, now = self._connector(entry), self._clock.monotonic()
            return self._decider.filtered(query, reply, tcp=tcp, connector=connector, now=now)
        except TimeoutError:
            return self._decider.failure(query, Reason.TIMEOUT, tcp=tcp)
        except OstiaryError as error:
            return self._decider.failure(query, error.reason, tcp=tcp)

    def _connector(self, entry: Entry) -> ConnectorId | None:
        """The connector that would be asked, while there is a tunnel to it: what others said does not count."""
        tunnels = self._gateway.tunnels
        tunnel = None if tunnels is None else tunnels.find(entry.resource.network)
        return None if tunnel is None else tunnel.path.connector

    def _is_spared(self, query: bytes) -> bool:
        spared = self._spared()
        if not spared or len(query) < 17:
            return False
        lowered = query[12:].lower()
        return any(lowered.startswith(_wire_name(name)) for name in spared)

    # Sockets

    def _received(self, data: bytes, peer: tuple[str, int]) -> None:
        if self._busy < QUERIES_MAX:
            self._busy += 1
            self._scope.spawn(self._serve_udp(data, peer), name="question", on_crash=_crashed)

    async def _serve_udp(self, query: bytes, peer: tuple[str, int]) -> None:
        try:
            reply = await self.answer(query, tcp=False)
            if reply is not None and self._transport is not None and not self._transport.is_closing():
                self._transport.sendto(reply, peer)
        finally:
            self._busy -= 1

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._tcp_clients >= TCP_CLIENTS_MAX or self._scope.closed:
            writer.transport.abort()
            return
        self._tcp_clients += 1
        self._scope.spawn(self._serve_tcp(reader, writer), name="dns-tcp", on_crash=_crashed)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(TimeoutError, ConnectionError, EOFError):
                while True:
                    async with asyncio.timeout(TCP_IDLE_S):
                        length = int.from_bytes(await reader.readexactly(2), "big")
                        query = await reader.readexactly(length)
                    reply = await self.answer(query, tcp=True)
                    if reply is None:
                        return
                    writer.write(len(reply).to_bytes(2, "big") + reply)
                    async with asyncio.timeout(TCP_IDLE_S):
                        await writer.drain()
        finally:
            self._tcp_clients -= 1
            writer.close()


class _Udp(asyncio.DatagramProtocol):
    """Hands datagrams on."""

    def __init__(self, received: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._on_datagram = received

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._on_datagram(data, addr)

    def error_received(self, exc: Exception) -> None:
        _log.debug("dns.socket_error", error=str(exc))


class _Exchange:
    """One question and its answer on a ``dns`` stream."""

    def __init__(self, stream: TunnelStream) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def ask(self, query: bytes) -> bytes:
        """Raises RemoteError when the stream ends before the answer is complete."""
        self._stream.set_receiver(self)
        self._stream.write(len(query).to_bytes(2, "big") + query)
        try:
            return await self._reply
        finally:
            self._stream.reset(Reason.NORMAL)

    def data_received(self, data: bytes) -> None:
        self._stream.consumed(len(data))
        self._buffer += data
        length = int.from_bytes(self._buffer[:2], "big")
        if len(self._buffer) >= 2 + length and len(self._buffer) > 2 and not self._reply.done():
            self._reply.set_result(bytes(self._buffer[2 : 2 + length]))

    def eof_received(self) -> None:
        self._fail(Reason.RESOLVER_FAILED)

    def stream_reset(self, reason: Reason) -> None:
        self._fail(reason)

    def pause_writing(self) -> None:
        """One query is small."""

    def resume_writing(self) -> None:
        """Nothing waits."""

    def _fail(self, reason: Reason) -> None:
        if not self._reply.done():
            self._reply.set_exception(RemoteError(reason, "no answer from the connector's resolver"))


def _wire_name(name: str) -> bytes:
    labels = name.lower().rstrip(".").encode("ascii", "replace").split(b".")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _crashed(error: Exception) -> None:
    _log.error("dns.crashed", exc_info=error)
