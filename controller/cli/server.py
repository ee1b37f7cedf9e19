"""uvicorn with our limits (D10, T-12, T-28): handshake, head and body have deadlines, addresses and memory have bounds."""

import asyncio
import contextlib
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final

import h11
import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from controller.agents.agent_socket import AgentUpgrade
from controller.api.middleware import HEADERS_MAX_BYTES
from controller.cli.listening import BACKLOG
from controller.cli.tls import ServerTls
from controller.identity.failure_log import FailureLog
from controller.identity.rate_limit import address_key
from controller.settings import Settings
from protocol.control import AGENT_PATH
from protocol.limits import CONTROL_MESSAGE_MAX_BYTES

HANDSHAKE_DEADLINE_S: Final = 10.0
HEAD_DEADLINE_S: Final = 10.0
"""From the handshake to a whole request head; idle kept-alive connections have their own, shorter limit."""
KEEP_ALIVE_S: Final = 5
GRACE_S: Final = 5
HTTP_PER_ADDRESS: Final = 256
"""Open connections from one address (or IPv6 /64); the WebSockets of agents that were let in do not count."""

_AGENT_LINE: Final = f"GET {AGENT_PATH} HTTP/1.1\r\n".encode()
_log = structlog.get_logger(__name__)


def make_config(app: FastAPI, settings: Settings, server_tls: ServerTls | None) -> uvicorn.Config:
    """Sets uvicorn's limits explicitly."""
    # Behind a proxy all connections come from one address, and the proxy counts.
    direct = settings.tls != "off" and not settings.trusted_proxies
    config = uvicorn.Config(
        app,
        http=protocol_class(HTTP_PER_ADDRESS if direct else None),
        ws=AgentUpgrade,
        ws_max_size=CONTROL_MESSAGE_MAX_BYTES,
        ws_per_message_deflate=False,
        # Agents and controller exchange heartbeats of their own.
        ws_ping_interval=None,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        limit_concurrency=settings.connections_max,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        h11_max_incomplete_event_size=HEADERS_MAX_BYTES + 4096,
        backlog=BACKLOG,
    )
    config.load()
    config.ssl = server_tls.context if server_tls is not None else None
    return config


class Server(uvicorn.Server):
    """uvicorn without signal handlers (``runtime.lifecycle`` has them) that says when it accepts connections."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to accept; differs from uvicorn's own only in the deadline for the handshake."""
        await self.lifespan.startup()
        config, loop = self.config, asyncio.get_running_loop()

        def create_protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg]
                config=config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return made

        deadline = HANDSHAKE_DEADLINE_S if config.ssl is not None else None
        self.servers = [
            await loop.create_server(
                create_protocol, sock=sock, ssl=config.ssl, ssl_handshake_timeout=deadline, backlog=config.backlog
            )
            for sock in sockets or ()
        ]
        self.started = True
        self._on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves them to ``runtime.lifecycle``."""
        yield

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Is never called."""
        raise AssertionError(f"nobody installs a handler for {signal.Signals(sig).name} here")


class BoundedProtocol(H11Protocol):
    """h11 with a deadline for the request head and a bound per address, so that nobody holds all connections."""

    per_address: ClassVar[int | None] = None
    open_from: ClassVar[Counter[str]]
    refusals: ClassVar[FailureLog]

    _head_timer: asyncio.TimerHandle | None = None
    _counted_as: str | None = None
    _untouched = True
    """Nothing was received yet."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Counts the connection and starts the clock."""
        super().connection_made(transport)
        if self.per_address is not None and self.client is not None:
            key = address_key(self.client[0])
            if self.open_from[key] >= self.per_address:
                if self.refusals.admit(self.loop.time()):
                    omitted = self.refusals.take_omitted()
                    _log.warning("connection refused: too many from this address", peer=key, omitted=omitted)
                transport.abort()
                return
            self.open_from[key] += 1
            self._counted_as = key
        self._head_timer = self.loop.call_later(HEAD_DEADLINE_S, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clock."""
        self._release()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """An agent's upgrade that came in one piece goes straight to the WebSocket's own parser, which would read it again anyway."""
        first, self._untouched = self._untouched, False
        if first and _is_upgrade_of_agent(data):
            self._upgrade_agent(data)
        else:
            super().data_received(data)

    def _upgrade_agent(self, head: bytes) -> None:
        self.connections.discard(self)
        protocol = AgentUpgrade(self.config, self.server_state, self.app_state)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        # ASGI's names of headers are in lower case; h11 would have seen to that.
        lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
        protocol.data_received(_AGENT_LINE + b"\r\n".join(name.lower() + colon + rest for name, colon, rest in lines))
        self._hand_over()

    def _hand_over(self) -> None:
        """From now on the WebSocket has the deadlines; it counts until an agent is let in or the connection has ended."""
        self._stop_head_timer()
        protocol = self.transport.get_protocol()
        assert isinstance(protocol, AgentUpgrade)
        protocol.on_settled = self._release
        if not protocol.handshake_initiated:
            # The WebSocket's parser refuses without an answer what is no request to it, and would wait for ever.
            self.transport.abort()

    def handle_events(self) -> None:
        """Stops the clock when a request has begun; the body has its own deadline in ``Bounds``."""
        super().handle_events()
        if self.scope is not None:
            self._stop_head_timer()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Another protocol takes the connection over."""
        super().handle_websocket_upgrade(event)
        self._hand_over()

    def _release(self) -> None:
        self._stop_head_timer()
        key, self._counted_as = self._counted_as, None
        if key is None:
            return
        self.open_from[key] -= 1
        if self.open_from[key] <= 0:
            del self.open_from[key]

    def _head_is_late(self) -> None:
        _log.debug("connection closed: no request in time", peer=self.client)
        self.transport.abort()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def protocol_class(per_address: int | None) -> type[BoundedProtocol]:
    """Returns the protocol of one server, with counters of its own."""
    return type(
        "ServerProtocol",
        (BoundedProtocol,),
        {"per_address": per_address, "open_from": Counter(), "refusals": FailureLog()},
    )


def _is_upgrade_of_agent(data: bytes) -> bool:
    """Whether this is the whole head of an agent's upgrade request, and no byte more; everything else is h11's to judge."""
    return (
        data.startswith(_AGENT_LINE)
        and len(data) <= HEADERS_MAX_BYTES
        and data.find(b"\r\n\r\n") == len(data) - 4
        and b"\r\nupgrade: websocket\r\n" in data.lower()
    )
