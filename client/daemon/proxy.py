"""The proxy mode: SOCKS5 (RFC 1928; its datagrams: ``proxy_udp``) and HTTP CONNECT on one loopback port, for hosts without root or TUN.

The same decisions as in TUN mode, by name or address. What is no resource is dialled directly, as if there were no proxy (``proxy_ways``).
"""

import asyncio
from collections.abc import Callable
from typing import Final, cast

import structlog

from client.core.classify import Denial, Target
from client.daemon.gateway import Gateway
from client.daemon.proxy_sockets import Half, Held
from client.daemon.proxy_udp import Room, UdpRelay, open_relay
from client.daemon.proxy_ways import Direct, SocketAddress, Ways
from client.daemon.proxy_wire import (
    GREETING_DEADLINE_S,
    HttpConnect,
    SocksAssociate,
    SocksConnect,
    http_reply,
    parse_http_untrusted,
    parse_socks_untrusted,
    socks_associated,
    socks_reply,
)
from protocol.acl.model import Transport
from protocol.errors import LocalError, OstiaryError, RemoteError, RemoteProtocolError
from protocol.ids import FlowId
from protocol.limits import UDP_IDLE_S
from protocol.reasons import Reason
from runtime.bridge import SocketBridge
from runtime.clock import Clock
from runtime.entropy import new_id
from runtime.sockets import connect_first, reason_of_os_error
from runtime.tasks import TaskScope

CLIENTS_MAX: Final = 4_096
RELAYS_MAX: Final = 1_024
"""UDP associations at once."""
DIRECT_DEADLINE_S: Final = 20.0
_GREETING_MAX: Final = 16 * 1024

_log = structlog.get_logger(__name__)


class Proxy:
    """The listener. Args: host, port: loopback; port 0 lets the kernel choose. ways: judges destinations; closed by ``stop``."""

    def __init__(
        self,
        host: str,
        port: int,
        ways: Ways,
        gateway: Gateway,
        clock: Clock,
        scope: TaskScope,
        *,
        udp_idle_s: float = UDP_IDLE_S,
    ) -> None:
        self._host = host
        self._port = port
        self._ways = ways
        self._gateway = gateway
        self._clock = clock
        self._scope = scope
        self._server: asyncio.Server | None = None
        self._clients = 0
        self._direct_ones: set[Half] = set()
        self._relays: set[UdpRelay] = set()
        self._room = Room()
        self._udp_idle_s = udp_idle_s

    @property
    def address(self) -> str:
        """Where it listens, for status."""
        return f"{self._host}:{self._port}"

    async def start(self) -> None:
        """Listens. Raises LocalError(PORT_IN_USE)."""
        try:
            self._server = await asyncio.get_running_loop().create_server(self._make, self._host, self._port)
        except OSError as exc:
            raise LocalError(Reason.PORT_IN_USE, f"proxy on {self._host}:{self._port}: {exc}") from exc
        self._port = self._server.sockets[0].getsockname()[1]

    async def move(self, host: str, port: int) -> None:
        """Listens there instead; who is connected stays. Raises LocalError(PORT_IN_USE): then it listens where it did."""
        before, was = self._server, (self._host, self._port)
        if (host, port) == was:
            return
        self._host, self._port = host, port
        try:
            await self.start()
        except LocalError:
            self._host, self._port = was
            raise
        if before is not None:
            before.close()

    def set_udp_idle(self, idle_s: float) -> None:
        """What UDP associations reach is forgotten after this many quiet seconds from here on."""
        self._udp_idle_s = idle_s
        for relay in self._relays:
            relay.set_idle(idle_s)

    def stop(self) -> None:
        """Listens no more, and ends what was dialled directly."""
        if self._server is not None:
            self._server.close()
        for half in tuple(self._direct_ones):
            if half.transport is not None:
                half.transport.abort()
        for relay in tuple(self._relays):
            relay.close()
        self._ways.close()

    def _make(self) -> "_Greeting":
        return _Greeting(self._begin)

    def _begin(self, greeting: "_Greeting") -> None:
        if self._clients >= CLIENTS_MAX or self._scope.closed:
            greeting.abort()
            return
        self._clients += 1
        self._scope.spawn(self._serve(greeting), name="proxy", on_crash=_crashed)

    async def _serve(self, greeting: "_Greeting") -> None:
        try:
            async with asyncio.timeout(GREETING_DEADLINE_S):
                asked = await _read_request(greeting)
        except (OstiaryError, TimeoutError, ConnectionError) as exc:
            _log.debug("proxy.greeting", error=str(exc))
            greeting.close()
        else:
            if isinstance(asked, SocksAssociate):
                await self._associate(greeting)
            else:
                await self._connect(greeting, asked)
        finally:
            self._clients -= 1

    async def _associate(self, greeting: "_Greeting") -> None:
        if len(self._relays) >= RELAYS_MAX:
            greeting.finish(socks_reply(Reason.LIMIT_EXCEEDED))
            return
        try:
            relay = await open_relay(
                self._host,
                lambda: UdpRelay(
                    greeting.peer,
                    self._ways,
                    self._room,
                    self._gateway,
                    self._clock,
                    self._scope,
                    idle_s=self._udp_idle_s,
                ),
            )
        except LocalError as error:
            greeting.finish(socks_reply(error.reason))
            return
        if greeting.lost:
            relay.close()
            return
        self._relays.add(relay)

        def over() -> None:
            self._relays.discard(relay)
            relay.close()

        greeting.hand_over(Held(over), socks_associated(*relay.address))

    async def _connect(self, greeting: "_Greeting", asked: SocksConnect | HttpConnect) -> None:
        answer = http_reply if isinstance(asked, HttpConnect) else socks_reply
        try:
            found = await self._ways.find(asked.host, Transport.TCP, asked.port)
            match found:
                case Target():
                    await self._tunnel(greeting, answer, found)
                case Denial():
                    self._gateway.denials.refused(found)
                    greeting.finish(answer(found.reason))
                case Direct(addresses):
                    await self._direct(greeting, answer, addresses)
        except OstiaryError as error:
            greeting.finish(answer(error.reason))

    async def _tunnel(self, greeting: "_Greeting", answer: "Answer", target: Target) -> None:
        number = FlowId(new_id("flow"))
        opened, tunnel = await self._gateway.open(target, number)

        def done(_up: int, _down: int, reason: Reason) -> None:
            self._gateway.end(number, target, reason)

        if greeting.lost:
            opened.stream.reset(Reason.CANCELLED)
            return
        bridge = SocketBridge(opened.stream, side="client", on_done=done)
        self._gateway.begin(number, target, tunnel, bridge.abort, bridge.traffic)
        greeting.hand_over(bridge, answer(None))

    async def _direct(self, greeting: "_Greeting", answer: "Answer", addresses: tuple[SocketAddress, ...]) -> None:
        try:
            async with asyncio.timeout(DIRECT_DEADLINE_S):
                sock = await connect_first(addresses)
        except OSError as exc:
            raise RemoteError(reason_of_os_error(exc), "dialled directly") from exc
        if greeting.lost:
            sock.close()
            return
        near, far = Half(), Half()
        near.peer, far.peer = far, near
        self._direct_ones.add(near)
        near.on_lost = lambda: self._direct_ones.discard(near)
        await asyncio.get_running_loop().create_connection(lambda: far, sock=sock)
        greeting.hand_over(near, answer(None))


Answer = Callable[[Reason | None], bytes]


async def _read_request(greeting: "_Greeting") -> SocksConnect | SocksAssociate | HttpConnect:
    """Reads SOCKS5's or HTTP's request. Raises RemoteProtocolError."""
    first = await greeting.peek(1)
    if first == b"\x05":
        return await _read_socks(greeting)
    while True:
        found = parse_http_untrusted(greeting.buffered)
        if found is not None:
            request, used = found
            await greeting.read(used)
            return request
        await greeting.more()


async def _read_socks(greeting: "_Greeting") -> SocksConnect | SocksAssociate:
    methods = await greeting.read(2)
    offered = await greeting.read(methods[1])
    if 0 not in offered:
        greeting.write(b"\x05\xff")
        raise RemoteProtocolError("SOCKS client without the method 'no authentication'")
    greeting.write(b"\x05\x00")
    while True:
        found = parse_socks_untrusted(greeting.buffered)
        if isinstance(found, bytes):
            greeting.write(found)
            raise RemoteProtocolError("SOCKS command or address type that is not served")
        if found is not None:
            request, used = found
            await greeting.read(used)
            return request
        await greeting.more()


class _Greeting(asyncio.Protocol):
    """A connection until it is known where it wants to go; then its transport gets another protocol."""

    def __init__(self, begin: Callable[["_Greeting"], None]) -> None:
        self._begin = begin
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._changed = asyncio.Event()
        self.lost = False

    @property
    def buffered(self) -> bytes:
        """What has arrived and was not read."""
        return bytes(self._buffer)

    @property
    def peer(self) -> str:
        """Address of the program."""
        return "" if self._transport is None else str(self._transport.get_extra_info("peername")[0])

    async def more(self) -> None:
        """Waits for more bytes. Raises RemoteProtocolError at the end or beyond the limit."""
        if self.lost or len(self._buffer) > _GREETING_MAX:
            raise RemoteProtocolError("the request is too long, or broken off")
        self._changed.clear()
        await self._changed.wait()
        if self.lost:
            raise RemoteProtocolError("closed during the greeting")

    async def peek(self, count: int) -> bytes:
        """Returns the first bytes and leaves them."""
        while len(self._buffer) < count:
            await self.more()
        return bytes(self._buffer[:count])

    async def read(self, count: int) -> bytes:
        """Returns the first bytes and takes them away."""
        data = await self.peek(count)
        del self._buffer[:count]
        return data

    def write(self, data: bytes) -> None:
        """Answers."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def finish(self, data: bytes) -> None:
        """Answers and closes."""
        self.write(data)
        self.close()

    def close(self) -> None:
        """Ends the connection in order."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Ends it at once."""
        if self._transport is not None:
            self._transport.abort()

    def hand_over(self, protocol: asyncio.Protocol, greeting: bytes) -> None:
        """Answers, and lets ``protocol`` have the connection with what has come already."""
        transport = self._transport
        assert transport is not None
        transport.write(greeting)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._buffer:
            protocol.data_received(bytes(self._buffer))
            self._buffer.clear()
        transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)
        self._begin(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._buffer += data
        if len(self._buffer) > _GREETING_MAX and self._transport is not None:
            self._transport.pause_reading()
        self._changed.set()

    def eof_received(self) -> bool:
        """Nobody half-closes before the answer."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.lost = True
        self._changed.set()


def _crashed(error: Exception) -> None:
    _log.error("proxy.crashed", exc_info=error)
