"""The agent's side of its WebSocket to the controller (protocol.control; C5, C22, C23; F-3, F-7, F-18, F-30, T-18).

One task, ``run``, connects, says Hello, waits for Welcome, and then moves messages until the connection dies; then again,
with backoff. Heartbeats go both ways: a controller that was silent for AGENT_STALL_S is left. ``on_message`` is called in
the order of arrival and must not wait; what it starts belongs to its owner's scope.
"""

import asyncio
import contextlib
import math
import random
import ssl
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from typing import Final

import structlog
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from protocol.control import Goodbye, Heartbeat, Hello, Message, Revoked, Welcome
from protocol.control_codec import encode, parse_message_untrusted
from protocol.errors import OstiaryError, RefusedError, RemoteError, RemoteProtocolError
from protocol.limits import (
    AGENT_STALL_S,
    CONTROL_REQUEST_DEADLINE_S,
    HEARTBEAT_INTERVAL_S,
    HEARTBEAT_SLOWEST_S,
)
from protocol.reasons import Reason, reason_from_code
from protocol.version import OLDEST_SUPPORTED
from runtime.addresses import AddressMemory
from runtime.agent_dial import HINT_MAX_S, Dialler
from runtime.backoff import Backoff
from runtime.clock import Clock
from runtime.clock_samples import OFFSET_SAMPLES, ClockSamples
from runtime.controllers import Controllers
from runtime.tasks import TaskScope

WELCOME_DEADLINE_S: Final = 5.0
"""From the upgrade to Welcome."""
OUTGOING_MAX: Final = 1024
"""Messages waiting for the socket; a controller that takes nothing any more is left."""
STABLE_AFTER_S: Final = 10.0
REFUSED_PAUSE_S: Final = 5.0
"""Before asking again a controller that said no; only an administrator can change its mind."""
SWITCH_MAX_S: Final = 0.25
"""A random pause up to this before another address is tried: thousands who lose one controller come to the next one spread (T-18)."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class LinkState:
    """What is known about the connection; times are monotonic seconds."""

    connected: bool = False
    since: float = 0.0
    """Since when ``connected`` has its value."""
    last_contact: float = -math.inf
    """When the controller was last heard."""
    welcome: Welcome | None = None
    """Of the current or the last connection."""
    clock_offset_ms: float | None = None
    """The controller's clock minus ours."""
    rtt_ms: float | None = None
    url: str = ""
    """Which address of the controller answered, or was tried last."""
    error: OstiaryError | None = None
    """Why the last attempt or connection ended."""
    attempts: int = 0
    """Attempts in vain since the last connection."""


@dataclass(slots=True)
class AgentLink:
    """Keeps one connection to the controller, at whichever of its addresses answers (F-7).

    Args:
        url: base URL of the controller (https).
        context: TLS context; None only for a controller on this host without TLS.
        assertion: makes a fresh assertion for each connection attempt (RFC 7523).
        hello: makes the Hello of each connection.
        heartbeat: makes a heartbeat for (clock_ms, echo_ms); agents add what C5 asks for.
        on_message: takes everything that is no reply to ``request``.
        on_connected: is called after each Welcome, before any other message is handled.
        on_lost: is called after the end of each connection, and each refused attempt.
        sock_mark: SO_MARK of the socket.
        known: the addresses of the controller, ``url`` among them; by default it alone, until others are announced.
        resolved: what their names resolved to lately.
    """

    url: str
    context: ssl.SSLContext | None
    assertion: Callable[[], str]
    hello: Callable[[], Hello]
    on_message: Callable[[Message], None]
    clock: Clock
    heartbeat: Callable[[int, int | None], Heartbeat] = Heartbeat
    on_connected: Callable[[Welcome], None] | None = None
    on_lost: Callable[[OstiaryError], None] | None = None
    sock_mark: int | None = None
    known: InitVar[Controllers | None] = None
    resolved: InitVar[AddressMemory | None] = None
    backoff: Backoff = field(default_factory=Backoff)
    state: LinkState = field(default_factory=LinkState, init=False)
    controllers: Controllers = field(init=False)
    _dialler: Dialler = field(init=False)
    _outgoing: "asyncio.Queue[Message] | None" = field(default=None, init=False)
    _waiting: dict[int, asyncio.Future[Message]] = field(default_factory=dict, init=False)
    _samples: ClockSamples = field(default_factory=ClockSamples, init=False)
    _beats: dict[int, float] = field(default_factory=dict, init=False)
    """Wall stamp of each heartbeat in flight -> its monotonic time, so that a set clock spoils no measurement."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _next_id: int = field(default=0, init=False)
    _retry_after_s: float = field(default=0.0, init=False)
    _wake: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _connection: ClientConnection | None = field(default=None, init=False)
    _interval_s: float = field(default=HEARTBEAT_INTERVAL_S, init=False)
    _hurry: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self, known: Controllers | None, resolved: AddressMemory | None) -> None:
        self.controllers = known or Controllers(self.url)
        self._dialler = Dialler(self.context, lambda: self.assertion(), self._take_hint, self.sock_mark, resolved)

    async def run(self) -> None:
        """Connects for ever; ends only by cancellation."""
        while True:
            self.state.url = url = self.controllers.take()
            try:
                await self._connect_once(url)
            except OstiaryError as error:
                self._lost(error)
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._wake.wait()

    def _pause(self) -> float:
        """Seconds until the next attempt: short before an address that was not tried yet, backoff after all of them."""
        if isinstance(self.state.error, RefusedError):
            return max(self.backoff.next(at_least_s=self._retry_after_s), REFUSED_PAUSE_S)
        if not self.controllers.exhausted:
            return self._retry_after_s + random.uniform(0.0, SWITCH_MAX_S)  # noqa: S311 - spreads load
        return self.backoff.next(at_least_s=self._retry_after_s)

    @property
    def interval_s(self) -> float:
        """Seconds between heartbeats: longer where very many agents share the controller."""
        return self._interval_s

    def next_id(self) -> int:
        """Returns the id for the next request."""
        self._next_id += 1
        return self._next_id

    def network_changed(self) -> None:
        """Gives up the current connection, which may be dead without a sign, and makes a new one at once (F-17, F-18)."""
        self.backoff.reset()
        self.controllers.begin()
        if self._connection is not None:
            self._connection.transport.abort()
        self._wake.set()

    def send(self, message: Message) -> bool:
        """Queues ``message``; False when there is no connection (state is exchanged again after the next Welcome)."""
        queue = self._outgoing
        if queue is None:
            return False
        try:
            queue.put_nowait(message)
        except asyncio.QueueFull:
            return False
        return True

    async def request(self, message: Message, *, deadline_s: float = CONTROL_REQUEST_DEADLINE_S) -> Message:
        """Sends a message that has an ``id`` and returns the reply with the same id.

        Raises:
            RemoteError: CONTROLLER_UNREACHABLE without a connection, TIMEOUT without an answer.
        """
        number: int = message.id  # type: ignore[attr-defined]
        asked = self.clock.monotonic()
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        try:
            if not self.send(message):
                raise RemoteError(Reason.CONTROLLER_UNREACHABLE, self._away())
            async with asyncio.timeout(deadline_s):
                return await reply
        except TimeoutError as exc:
            if self.state.last_contact < asked:
                # It may be gone without a sign, and the next heartbeat may be far.
                self._interval_s = HEARTBEAT_INTERVAL_S
                self._hurry.set()
            raise RemoteError(Reason.TIMEOUT, f"the controller did not answer within {deadline_s:g} s") from exc
        finally:
            self._waiting.pop(number, None)

    async def flush(self, *, deadline_s: float = 1.0) -> None:
        """Waits until what was queued has been written, so that a last Goodbye leaves before the process ends."""
        if self._outgoing is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(deadline_s):
                    await self._outgoing.join()

    async def wait_connected(self, *, deadline_s: float) -> Welcome:
        """Waits for a connection. Raises the error of the last attempt, or CONTROLLER_UNREACHABLE, at the deadline."""
        try:
            async with asyncio.timeout(deadline_s):
                while not self.state.connected:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as exc:
            raise self.state.error or RemoteError(Reason.CONTROLLER_UNREACHABLE, self.url) from exc
        assert self.state.welcome is not None
        return self.state.welcome

    async def _connect_once(self, url: str) -> None:
        self._retry_after_s = 0.0
        async with await self._dialler.dial(url) as connection:
            self._connection = connection
            try:
                welcome = await self._greet(connection)
                self._found(welcome)
                self.controllers.answered(url, welcome.controllers)
                await self._converse(connection)
            except ConnectionClosed as exc:
                raise RemoteError(Reason.CONTROLLER_UNREACHABLE, "the controller closed the connection") from exc
            finally:
                self._outgoing = self._connection = None
                connection.transport.abort()

    async def _greet(self, connection: ClientConnection) -> Welcome:
        started = self.clock.monotonic()
        await connection.send(encode(self.hello()))
        try:
            async with asyncio.timeout(WELCOME_DEADLINE_S):
                message = await _receive(connection)
                while message is None:
                    message = await _receive(connection)
        except TimeoutError as exc:
            raise RemoteError(Reason.CONTROLLER_UNREACHABLE, "the controller said no Welcome") from exc
        if isinstance(message, Goodbye | Revoked):
            self._handle(message)
        if not isinstance(message, Welcome):
            raise RemoteProtocolError("the controller's first message is no Welcome")
        if message.protocol < OLDEST_SUPPORTED:
            raise RefusedError(Reason.VERSION_UNSUPPORTED, f"the controller speaks protocol {message.protocol}")
        self._measure(message.clock_ms, (self.clock.monotonic() - started) * 1000)
        return message

    async def _converse(self, connection: ClientConnection) -> None:
        queue: asyncio.Queue[Message] = asyncio.Queue(OUTGOING_MAX)
        self._outgoing = queue
        self._interval_s = HEARTBEAT_INTERVAL_S
        if self.on_connected is not None and self.state.welcome is not None:
            self.on_connected(self.state.welcome)
        async with TaskScope("agent-link") as scope:
            scope.spawn(_write(connection, queue), name="write")
            scope.spawn(self._beat(queue), name="heartbeat")
            while True:
                message = await _receive(connection)
                self.state.last_contact = self.clock.monotonic()
                if message is not None:
                    self._handle(message)

    def _handle(self, message: Message) -> None:
        if isinstance(message, Heartbeat):
            wanted = message.interval_s or HEARTBEAT_INTERVAL_S
            self._interval_s = min(max(wanted, HEARTBEAT_INTERVAL_S), HEARTBEAT_SLOWEST_S)
            self.controllers.heard()
            sent = self._beats.pop(message.echo_ms, None) if message.echo_ms is not None else None
            if sent is not None:
                self._measure(message.clock_ms, (self.clock.monotonic() - sent) * 1000)
            return
        if isinstance(message, Goodbye):
            hint = message.retry_after_s  # a negative or endless one is nonsense
            self._take_hint(min(hint, HINT_MAX_S) if math.isfinite(hint) and hint > 0 else 0.0)
            raise RemoteError(reason_from_code(message.reason), "the controller said goodbye")
        waiting = self._waiting.get(getattr(message, "id", -1))
        if waiting is not None:
            if not waiting.done():
                waiting.set_result(message)
            return
        self.on_message(message)
        if isinstance(message, Revoked):
            raise RefusedError(reason_from_code(message.reason), "the controller ended this agent's standing")

    async def _beat(self, queue: "asyncio.Queue[Message]") -> None:
        previous = self.clock.monotonic()
        while True:
            pause = self._interval_s
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._hurry.wait()
            now = self.clock.monotonic()
            slept_through = now - previous > 2 * pause
            previous = now
            stamp = self._wall_ms()
            self._beats[stamp] = now
            while len(self._beats) > OFFSET_SAMPLES:
                del self._beats[next(iter(self._beats))]
            try:
                queue.put_nowait(self.heartbeat(stamp, None))
            except asyncio.QueueFull as exc:
                raise RemoteError(Reason.PEER_SILENT, "the controller takes no messages") from exc
            # After a stall of our own (F-18, F-29) the controller's words may wait unread: give it one more beat.
            stall_s = AGENT_STALL_S * max(self._interval_s, HEARTBEAT_INTERVAL_S) / HEARTBEAT_INTERVAL_S
            if not slept_through and now - self.state.last_contact > stall_s:
                raise RemoteError(Reason.PEER_SILENT, f"nothing from the controller for {stall_s:g} s")

    def _measure(self, their_ms: int, rtt_ms: float) -> None:
        offset_ms = their_ms - (self._wall_ms() - rtt_ms / 2)
        self.state.rtt_ms, self.state.clock_offset_ms = self._samples.add(rtt_ms, offset_ms, self.clock.monotonic())

    def _found(self, welcome: Welcome) -> None:
        now = self.clock.monotonic()
        self.state.connected, self.state.since, self.state.last_contact = True, now, now
        self.state.welcome, self.state.error, self.state.attempts = welcome, None, 0
        self._changed.set()
        _log.info("controller.connected", software=welcome.software, revision=welcome.revision)

    def _lost(self, error: OstiaryError) -> None:
        now = self.clock.monotonic()
        state = self.state
        if state.connected:
            if now - state.since > STABLE_AFTER_S:
                self.backoff.reset()
                self.controllers.begin()
            state.connected, state.since = False, now
            self._samples.clear()
            self._beats.clear()
            _log.warning("controller.lost", reason=error.reason.code, detail=error.detail)
        elif state.error is None or state.error.reason is not error.reason:
            _log.warning("controller.unreachable", reason=error.reason.code, detail=error.detail)
        state.error = error
        state.attempts += 1
        for reply in self._waiting.values():
            if not reply.done():
                reply.set_exception(RemoteError(Reason.CONTROLLER_UNREACHABLE, error.detail))
        self._changed.set()
        if self.on_lost is not None:
            self.on_lost(error)

    def _take_hint(self, seconds: float) -> None:
        self._retry_after_s = seconds

    def _away(self) -> str:
        return self.state.error.detail if self.state.error is not None else f"{self.url} is not connected"

    def _wall_ms(self) -> int:
        return round(self.clock.wall() * 1000)


async def _receive(connection: ClientConnection) -> Message | None:
    frame = await connection.recv()
    if not isinstance(frame, str):
        raise RemoteProtocolError("binary frame from the controller")
    return parse_message_untrusted(frame)


async def _write(connection: ClientConnection, queue: "asyncio.Queue[Message]") -> None:
    while True:
        message = await queue.get()
        try:
            await connection.send(encode(message))
        except ConnectionClosed:
            # The reader sees the same end and names it.
            return
        finally:
            queue.task_done()
