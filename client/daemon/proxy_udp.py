"""SOCKS5 UDP ASSOCIATE (RFC 1928 section 7): datagrams of programs that use the proxy mode (C21).

One association lives as long as the TCP connection that asked for it. Each destination is judged as in TUN mode; what is no
resource is sent directly. There is no way to tell a refusal: the datagrams are dropped, and `ostiary status` says why.
"""

import asyncio
import socket
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import structlog

from client.core.classify import Denial, Target
from client.daemon.datagrams import DatagramStream
from client.daemon.gateway import Gateway
from client.daemon.proxy_ways import Direct, SocketAddress, Ways
from client.daemon.proxy_wire import SocksDatagram, parse_socks_datagram_untrusted
from protocol.acl.model import Transport
from protocol.errors import LocalError, OstiaryError, RemoteError
from protocol.ids import FlowId
from protocol.limits import ASSOCIATIONS_MAX, DATAGRAM_QUEUE, QUIET_S, UDP_IDLE_S
from protocol.reasons import Reason
from runtime.clock import Clock
from runtime.entropy import new_id
from runtime.sockets import reason_of_os_error
from runtime.tasks import TaskScope

DESTINATIONS_MAX: Final = 256
"""Of one association; the one that was quiet for longest gives way."""
REFUSAL_MEMORY_S: Final = 1.0
_LOOKED_AT: Final = 32

_log = structlog.get_logger(__name__)


class Room:
    """The destinations of all associations together: at most ASSOCIATIONS_MAX; for one more, one that is quiet gives way."""

    def __init__(self) -> None:
        self._taken: OrderedDict[_Destination, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._taken)

    def make(self, now: float) -> bool:
        """Makes room for one; False when none of those that are looked at is quiet."""
        if len(self._taken) < ASSOCIATIONS_MAX:
            return True
        for _ in range(min(_LOOKED_AT, len(self._taken))):
            oldest = next(iter(self._taken))
            if now - oldest.last_used >= QUIET_S or not oldest.usable(now):
                oldest.give_way()
                return True
            self._taken.move_to_end(oldest)
        return False

    def take(self, destination: "_Destination") -> None:
        """It is there from here on."""
        self._taken[destination] = None

    def leave(self, destination: "_Destination") -> None:
        """It is gone."""
        self._taken.pop(destination, None)


class UdpRelay(asyncio.DatagramProtocol):
    """The UDP socket of one association; ``close`` it when its TCP connection ends.

    Args:
        owner: address from which datagrams are taken: that of the TCP connection.
        ways: judges destinations.
        room: shared by all associations.
        gateway: opens streams.
        clock: monotonic and wall time.
        scope: owns the openings.
        idle_s: a destination is forgotten after this many seconds without a datagram.
    """

    def __init__(
        self,
        owner: str,
        ways: Ways,
        room: Room,
        gateway: Gateway,
        clock: Clock,
        scope: TaskScope,
        *,
        idle_s: float = UDP_IDLE_S,
    ) -> None:
        self.ways = ways
        self.gateway = gateway
        self.clock = clock
        self.idle_s = idle_s
        self._owner = owner
        self._room = room
        self._scope = scope
        self._program: tuple[Any, ...] | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._destinations: OrderedDict[bytes, _Destination] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def set_idle(self, idle_s: float) -> None:
        """Destinations are forgotten after this long from here on."""
        self.idle_s = idle_s
        if self._timer is not None:
            self._timer.cancel()
            self._sweep_later()

    @property
    def address(self) -> tuple[str, int]:
        """Where the program is to send its datagrams."""
        assert self._transport is not None
        host, port, *_ = self._transport.get_extra_info("sockname")
        return host, port

    def close(self) -> None:
        """Ends everything."""
        if self._timer is not None:
            self._timer.cancel()
        for destination in tuple(self._destinations.values()):
            self.forget(destination)
        if self._transport is not None:
            self._transport.close()

    def deliver(self, head: bytes, datagram: bytes) -> None:
        """Sends a reply to the program; ``head`` names where it comes from."""
        transport = self._transport
        if transport is not None and self._program is not None and not transport.is_closing():
            transport.sendto(head + datagram, self._program)

    def forget(self, destination: "_Destination") -> None:
        """Ends one destination; the next datagram to it asks anew."""
        del self._destinations[destination.head]
        self._room.leave(destination)
        destination.close()

    # asyncio.DatagramProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast(asyncio.DatagramTransport, transport)
        self._sweep_later()

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """From a program of this host. The first one that sends from the owner's address is the one; others are not heard."""
        if addr[0] != self._owner or self._program not in (None, addr):
            return
        found = parse_socks_datagram_untrusted(data)
        if found is None:
            return
        self._program = addr
        destination = self._destinations.get(found.head)
        if destination is None or not destination.usable(self.clock.monotonic()):
            destination = self._begin(found, destination)
            if destination is None:
                return
        self._destinations.move_to_end(found.head)
        destination.send(found.payload)

    # Inside

    def _begin(self, found: SocksDatagram, over: "_Destination | None") -> "_Destination | None":
        if over is not None:
            self.forget(over)
        if len(self._destinations) >= DESTINATIONS_MAX:
            self.forget(next(iter(self._destinations.values())))
        if not self._room.make(self.clock.monotonic()):
            _log.debug("proxy.datagrams_refused", reason=Reason.LIMIT_EXCEEDED.code)
            return None
        destination = self._destinations[found.head] = _Destination(self, found)
        self._room.take(destination)
        self._scope.spawn(destination.open(), name="proxy-udp", on_crash=_crashed)
        return destination

    def _sweep_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(max(0.05, self.idle_s / 4), self._sweep)

    def _sweep(self) -> None:
        now = self.clock.monotonic()
        for destination in tuple(self._destinations.values()):
            if now - destination.last_used >= self.idle_s or not destination.usable(now):
                self.forget(destination)
        self._sweep_later()


class _Destination:
    """One destination of one association: a stream of a tunnel, or a socket of our own."""

    def __init__(self, relay: UdpRelay, found: SocksDatagram) -> None:
        self.last_used = relay.clock.monotonic()
        self._relay = relay
        self._asked = found
        self._outgoing: deque[bytes] = deque(maxlen=DATAGRAM_QUEUE)
        self._send: Callable[[], None] | None = None
        self._end: Callable[[Reason], None] | None = None
        self._over_since: float | None = None

    @property
    def head(self) -> bytes:
        """What names it in a datagram."""
        return self._asked.head

    def give_way(self) -> None:
        """Another one needs the room."""
        self._relay.forget(self)

    def usable(self, now: float) -> bool:
        """Whether datagrams go to it: also for a moment after a refusal, so that not each of them asks again."""
        return self._over_since is None or now - self._over_since < REFUSAL_MEMORY_S

    def send(self, payload: bytes) -> None:
        """Towards the destination."""
        self.last_used = self._relay.clock.monotonic()
        if self._over_since is None:
            self._outgoing.append(payload)
            if self._send is not None:
                self._send()

    def close(self) -> None:
        """Nobody wants it any more."""
        self._over_since = self._relay.clock.monotonic()
        if self._end is not None:
            self._end(Reason.NORMAL)

    async def open(self) -> None:
        """Judges, and opens the way."""
        relay = self._relay
        try:
            found = await relay.ways.find(self._asked.host, Transport.UDP, self._asked.port)
            match found:
                case Target():
                    await self._tunnel(found)
                case Denial():
                    relay.gateway.denials.refused(found)
                    self._over()
                case Direct(addresses):
                    await self._direct(addresses[0])
        except OstiaryError as error:
            _log.debug("proxy.datagrams_refused", reason=error.reason.code)
            self._over()

    async def _tunnel(self, target: Target) -> None:
        gateway, number = self._relay.gateway, FlowId(new_id("flow"))
        opened, tunnel = await gateway.open(target, number)
        if self._over_since is not None:
            opened.stream.reset(Reason.CANCELLED)
            return

        def ended(reason: Reason) -> None:
            if self._end is not None:
                self._end = None
                self._over()
                gateway.end(number, target, reason)

        def end(reason: Reason) -> None:
            stream.close(reason)
            ended(reason)

        stream = DatagramStream(opened.stream, self._outgoing, self._deliver, ended)
        self._send, self._end = stream.send, end
        gateway.begin(number, target, tunnel, end, stream.traffic)
        stream.start()

    async def _direct(self, address: SocketAddress) -> None:
        try:
            sock = _connected(address)
        except OSError as exc:
            raise RemoteError(reason_of_os_error(exc), "sent directly") from exc
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _DirectSocket(self), sock=sock)
        if self._over_since is not None:
            transport.close()
            return

        def send() -> None:
            while self._outgoing and not transport.is_closing():
                transport.sendto(self._outgoing.popleft())

        def end(_: Reason) -> None:
            self._end = None
            transport.close()

        self._send, self._end = send, end
        send()

    def _deliver(self, datagrams: Sequence[bytes]) -> None:
        self.last_used = self._relay.clock.monotonic()
        for datagram in datagrams:
            self._relay.deliver(self._asked.head, datagram)

    def _over(self) -> None:
        self._over_since = self._relay.clock.monotonic()
        self._outgoing.clear()

    def received(self, datagram: bytes) -> None:
        """From a destination that is reached directly."""
        self._deliver((datagram,))

    def failed(self) -> None:
        """The network says that it cannot be reached."""
        end = self._end
        self._over()
        if end is not None:
            end(Reason.HOST_UNREACHABLE)


class _DirectSocket(asyncio.DatagramProtocol):
    def __init__(self, destination: _Destination) -> None:
        self._destination = destination

    def datagram_received(self, data: bytes, _: tuple[Any, ...]) -> None:
        self._destination.received(data)

    def error_received(self, _: Exception) -> None:
        self._destination.failed()


def _connected(address: SocketAddress) -> socket.socket:
    """Raises OSError."""
    family = socket.AF_INET if len(address) == 2 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


async def open_relay(host: str, make: Callable[[], UdpRelay]) -> UdpRelay:
    """Returns a relay that listens on ``host``, a loopback address. Raises LocalError(LIMIT_EXCEEDED)."""
    try:
        _, relay = await asyncio.get_running_loop().create_datagram_endpoint(make, local_addr=(host, 0))
    except OSError as exc:
        raise LocalError(Reason.LIMIT_EXCEEDED, f"a UDP socket on {host}: {exc}") from exc
    return relay


def _crashed(error: Exception) -> None:
    _log.error("proxy.crashed", exc_info=error)
