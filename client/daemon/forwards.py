"""Port forwards: a port on loopback that leads to one resource, for programs that know neither a proxy nor a TUN device.

A forward that `ostiary forward` asked for lives as long as the command does. Those in the settings live with the daemon;
they may be there before anybody has signed in. Each connection is judged for itself, as in every other mode; one that is
refused is reset, and `ostiary explain` says why.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import structlog

from client.core.classify import Classifier, Denial, Target
from client.daemon.gateway import Gateway
from protocol.acl.decide import decide
from protocol.acl.model import Deny, IPAddress, Permit, Request, Transport
from protocol.acl.names import parse_host
from protocol.errors import LocalError, OstiaryError, RefusedError
from protocol.ids import FlowId
from protocol.reasons import Reason
from runtime.bridge import SocketBridge
from runtime.clock import Clock
from runtime.entropy import new_id
from runtime.status_socket import Emit, Peer
from runtime.tasks import TaskScope

LOOPBACK: Final = "127.0.0.1"
FORWARDS_MAX: Final = 256
CONNECTIONS_MAX: Final = 1_024
"""Of one forward."""
_EARLY_MAX: Final = 16 * 1024
_PORT_START: Final = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_PORT_START_DEFAULT: Final = 1024

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Forward:
    """A port on loopback (0: the kernel chooses) and the resource that it leads to."""

    listen: int
    host: str | IPAddress
    port: int


def parse_forward(text: str) -> Forward:
    """Reads ``PORT=HOST:PORT``, the form of the settings. Raises LocalError(CONFIG_INVALID)."""
    listen, _, target = text.partition("=")
    host, _, port = target.rpartition(":")
    try:
        numbers = [int(part) if part.isascii() and part.isdigit() else -1 for part in (listen, port)]
        if not (0 <= numbers[0] <= 65535 and 1 <= numbers[1] <= 65535):
            raise LocalError(Reason.INVALID_INPUT, "ports are numbers up to 65535")
        return Forward(numbers[0], parse_host(host.removeprefix("[").removesuffix("]")), numbers[1])
    except OstiaryError as error:
        raise LocalError(Reason.CONFIG_INVALID, f"forward {text!r} is no PORT=HOST:PORT: {error.detail}") from error


def check_listen(port: int, peer: Peer) -> None:
    """A daemon that may bind every port lends that to nobody (T-50). Raises LocalError(PERMISSION_DENIED).

    The forwards of the settings are root's own and need no such check.
    """
    try:
        start = int(_PORT_START.read_text())
    except (OSError, ValueError):
        start = _PORT_START_DEFAULT
    if peer.uid != 0 and 0 < port < start:
        raise LocalError(Reason.PERMISSION_DENIED, f"port {port} of this host: below {start} only root may listen")


class Forwards:
    """All forwards of a daemon."""

    def __init__(self, classifier: Classifier, gateway: Gateway, clock: Clock, scope: TaskScope) -> None:
        self._classifier = classifier
        self._gateway = gateway
        self._clock = clock
        self._scope = scope
        self._count = 0
        self._kept = AsyncExitStack()

    async def keep(self, forwards: tuple[Forward, ...]) -> None:
        """Opens those of the settings. Raises LocalError(PORT_IN_USE); call ``stop`` all the same."""
        for forward in forwards:
            await self._kept.enter_async_context(self.listening(forward))

    async def stop(self) -> None:
        """Ends those of the settings."""
        await self._kept.aclose()

    async def verb(self, args: Mapping[str, Any], peer: Peer, emit: Emit) -> Mapping[str, Any]:
        """``forward``: listens until the asker goes away.

        Raises:
            LocalError: INVALID_INPUT, PERMISSION_DENIED, PORT_IN_USE, LIMIT_EXCEEDED.
            RefusedError: why the user may not reach it.
        """
        forward = _forward(args)
        check_listen(forward.listen, peer)
        verdict = self._judge(forward)
        if isinstance(verdict, Deny):
            self._refused(forward, verdict)
            raise RefusedError(verdict.reason, f"{forward.host}:{forward.port}")
        async with self.listening(forward) as port:
            name = verdict.entry.resource.name
            await emit({"kind": "forward", "listen": f"{LOOPBACK}:{port}", "resource_name": name})
            await asyncio.get_running_loop().create_future()
        return {}

    @asynccontextmanager
    async def listening(self, forward: Forward) -> AsyncIterator[int]:
        """Listens on loopback within the context, which gives the port. Raises LocalError."""
        if self._count >= FORWARDS_MAX:
            raise LocalError(Reason.LIMIT_EXCEEDED, f"{FORWARDS_MAX} forwards")
        open_ones: set[_Accepted] = set()

        def make() -> _Accepted:
            return _Accepted(self, forward, open_ones)

        try:
            server = await asyncio.get_running_loop().create_server(make, LOOPBACK, forward.listen)
        except OSError as exc:
            raise LocalError(Reason.PORT_IN_USE, f"forward on {LOOPBACK}:{forward.listen}: {exc}") from exc
        self._count += 1
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            self._count -= 1
            server.close()
            for accepted in tuple(open_ones):
                accepted.abort()

    def begin(self, accepted: "_Accepted") -> None:
        """Somebody has connected."""
        if self._scope.closed:
            accepted.abort()
        else:
            self._scope.spawn(self._connect(accepted), name="forward", on_crash=_crashed)

    async def _connect(self, accepted: "_Accepted") -> None:
        forward = accepted.forward
        verdict = self._judge(forward)
        if isinstance(verdict, Deny):
            self._refused(forward, verdict)
            accepted.abort()
            return
        target = Target(forward.host, Transport.TCP, forward.port, verdict.entry)
        number = FlowId(new_id("flow"))
        try:
            opened, tunnel = await self._gateway.open(target, number)
        except OstiaryError:
            accepted.abort()  # the gateway has remembered and reported it
            return

        def done(_up: int, _down: int, reason: Reason) -> None:
            accepted.forget()
            self._gateway.end(number, target, reason)

        if accepted.lost:
            opened.stream.reset(Reason.CANCELLED)
            return
        bridge = SocketBridge(opened.stream, side="client", on_done=done)
        self._gateway.begin(number, target, tunnel, bridge.abort, bridge.traffic)
        accepted.hand_over(bridge)

    def _judge(self, forward: Forward) -> Permit | Deny:
        request = Request(forward.host, Transport.TCP, forward.port)
        return decide(self._classifier.index, request, self._clock.wall())

    def _refused(self, forward: Forward, verdict: Deny) -> None:
        denial = Denial(forward.host, Transport.TCP, forward.port, verdict.reason, verdict.resource)
        self._gateway.denials.refused(denial)


class _Accepted(asyncio.Protocol):
    """A connection until the resource has accepted; then its transport gets the bridge."""

    def __init__(self, forwards: Forwards, forward: Forward, open_ones: "set[_Accepted]") -> None:
        self.forward = forward
        self.lost = False
        self._forwards = forwards
        self._open = open_ones
        self._transport: asyncio.Transport | None = None
        self._early = bytearray()
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)
        if len(self._open) >= CONNECTIONS_MAX:
            self.abort()
            return
        self._open.add(self)
        self._forwards.begin(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol: some bytes are kept for the bridge; more stay with the kernel."""
        self._early += data
        if len(self._early) > _EARLY_MAX and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """See asyncio.Protocol: it has said all that it has to say (`… | nc`) and waits for the answer."""
        self._ended = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol; only before the bridge has it."""
        self.lost = True
        self.forget()

    def hand_over(self, bridge: asyncio.Protocol) -> None:
        """The bridge has it from here on."""
        transport = self._transport
        assert transport is not None
        transport.set_protocol(bridge)
        bridge.connection_made(transport)
        if self._early:
            bridge.data_received(bytes(self._early))
            self._early.clear()
        transport.resume_reading()
        if self._ended and not bridge.eof_received():
            transport.close()

    def forget(self) -> None:
        """It has ended."""
        self._open.discard(self)

    def abort(self) -> None:
        """Ends it at once: the program sees a reset."""
        if self._transport is not None:
            self._transport.abort()


def _forward(args: Mapping[str, Any]) -> Forward:
    host, port, listen = args.get("host"), args.get("port"), args.get("listen", 0)
    for number, least in ((port, 1), (listen, 0)):
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= 65535:
            raise LocalError(Reason.INVALID_INPUT, f"{number!r} is no port")
    if not isinstance(host, str):
        raise LocalError(Reason.INVALID_INPUT, "a host is wanted, for example db.corp.internal:5432")
    assert isinstance(port, int)
    return Forward(listen, parse_host(host), port)


def _crashed(error: Exception) -> None:
    _log.error("forward.crashed", exc_info=error)
