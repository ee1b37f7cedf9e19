"""The relay's shell: carries out what admission and registry decide (design C4, C12, C13).

It never dials (T-29), knows no user and no resource (T-22), and logs connector hashes and addresses at DEBUG only.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import structlog

from protocol.errors import RefusedError
from protocol.limits import (
    CONFIG_LIFE_S,
    CONNECTOR_TICKET_LIFE_S,
    HEARTBEAT_INTERVAL_S,
    LEG_DEAD_AFTER_S,
    LEG_PING_INTERVAL_S,
    RELAY_BUFFER_BYTES,
)
from protocol.reasons import Reason
from protocol.rendezvous import (
    ATTACH_PATH,
    CONNECT_PATH,
    CONTROL_PATH,
    HEALTH_PATH,
    LEG_PATH,
    LegsWanted,
    RelayGoodbye,
    RelayReport,
    encode_relay_message,
)
from protocol.tokens.keys import VerificationKeys
from protocol.version import SOFTWARE
from relay.admission import Admission, Admitted, status_of
from relay.clock_doubt import ClockDoubt
from relay.control import ControlLegs, KeysStored
from relay.core.gate import Gate
from relay.core.registry import Accept, AskLegs, Close, Command, ConnectionNumber, Pair, Refuse, Registry, SayGoodbye
from relay.pair import Quiet, join
from relay.splice import Pipes
from runtime.clock import Clock
from runtime.leg_accept import LegAcceptor, UpgradeRequest
from runtime.leg_protocol import Leg

REPORTED_MAX: Final = 1_200
"""Attachments in one report, so that it fits CONTROL_MAX_BYTES; connectors say themselves where they are attached (C5)."""

KEY_GONE_S: Final = CONFIG_LIFE_S - CONNECTOR_TICKET_LIFE_S
"""A connection that is younger, and whose key is gone, was admitted by a key that was distrusted."""
CLOSE_S: Final = 1.0
"""For goodbyes to leave and TLS to close, at the end of a drain."""

_log = structlog.get_logger(__name__)


class Connection:
    """One accepted socket."""

    __slots__ = ("acceptor", "address", "admitted_at", "leg", "number", "signed_by")

    def __init__(self, number: ConnectionNumber, address: str) -> None:
        self.number = number
        self.address = address
        self.acceptor: LegAcceptor | None = None
        self.leg: Leg | None = None
        self.signed_by = ""
        """The key that signed its ticket; empty before that was verified, and for a controller."""
        self.admitted_at = 0.0


class RelayServer:
    """All connections of one relay. ``relay.listener`` brings them; see ``enter``, ``leave`` and ``make_protocol``.

    Args:
        admission: Verifies tickets.
        clock: Both clocks.
        gate: Limits per address; made with the defaults if None.
        registry: Made with the defaults if None.
        keep_keys: Called with keys that the controller pushed.
        report_interval_s: Between two reports to the controller.
        ping_interval_s: Of every leg.
        dead_after_s: Of every leg.
        splice: Let peers end the TLS of paired legs, and let the kernel join those that both did.

    Attributes:
        bytes_copied: Payload of all pairs, both ways.
        pairs_made: How many pairs there ever were.
        pairs_spliced: How many of them the kernel joined.
        refusals: Refused requests by reason code.
    """

    def __init__(
        self,
        admission: Admission,
        clock: Clock,
        *,
        gate: Gate | None = None,
        registry: Registry | None = None,
        keep_keys: KeysStored,
        report_interval_s: float = HEARTBEAT_INTERVAL_S,
        ping_interval_s: float = LEG_PING_INTERVAL_S,
        dead_after_s: float = LEG_DEAD_AFTER_S,
        splice: bool = True,
    ) -> None:
        self.bytes_copied = 0
        self.pairs_made = 0
        self.pairs_spliced = 0
        self.refusals: Counter[str] = Counter()
        self._admission = admission
        self._keep_keys = keep_keys
        self._clock = clock
        self._clock_doubt = ClockDoubt(clock)
        self._gate = gate or Gate(clock.monotonic())
        self._registry = registry or Registry()
        self._control = ControlLegs(
            admission, clock, report=self.report, keep=self._keys_replaced, interval_s=report_interval_s
        )
        self._ping_interval_s = ping_interval_s
        self._dead_after_s = dead_after_s
        self._may_splice = splice
        self._pipes = Pipes()
        self._connections: dict[ConnectionNumber, Connection] = {}
        self._last_number = 0
        self._draining = False
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    # For the listener

    def enter(self, address: str) -> bool:
        """Counts a connection; False: drop it (T-25)."""
        refusal = Reason.SHUTTING_DOWN if self._draining else self._gate.enter(address)
        if refusal is not None:
            self.refusals[refusal.code] += 1
        return refusal is None

    def leave(self, address: str) -> None:
        """The counted connection is gone."""
        self._gate.leave(address)

    def make_protocol(self, address: str, deadline_at: float, release: Callable[[], None]) -> LegAcceptor:
        """Makes the protocol of a connection whose TLS is being set up."""
        self._last_number += 1
        connection = Connection(ConnectionNumber(self._last_number), address)

        def closed() -> None:
            release()
            self._closed(connection)

        connection.acceptor = LegAcceptor(
            on_request=lambda _, request: self._requested(connection, request),
            on_closed=closed,
            deadline_at=deadline_at,
            high_water=RELAY_BUFFER_BYTES,
            ping_interval_s=self._ping_interval_s,
            dead_after_s=self._dead_after_s,
            tls_may_end=self._may_splice,
        )
        return connection.acceptor

    # For the daemon

    async def run(self) -> None:
        """Reports to the controller until cancelled."""
        await self._control.report_forever()

    async def drain(self, deadline_s: float) -> None:
        """Lets connectors and waiting clients go, waits for the pairs to end, then closes what is left."""
        self._draining = True
        self._registry.shut_down(Reason.SHUTTING_DOWN)
        self._carry_out()
        try:
            async with asyncio.timeout(deadline_s):
                while self._registry.pairs:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            _log.info("relay.pairs_cut", pairs=self._registry.pairs)
        for connection in tuple(self._connections.values()):
            self._close(connection, Reason.SHUTTING_DOWN)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                while self._connections:
                    self._changed.clear()
                    await self._changed.wait()
        if self._timer is not None:
            self._timer.cancel()

    @property
    def ready(self) -> bool:
        """Whether it takes new connections."""
        return not self._draining

    def report(self) -> RelayReport:
        """What the controller, and nobody else, is told."""
        return RelayReport(
            software=SOFTWARE,
            clock_ms=int(self._clock.wall() * 1000),
            attachments=self._registry.attachments[-REPORTED_MAX:],
            parked=self._registry.parked,
            pairs=self._registry.pairs,
            bytes_copied=self.bytes_copied,
        )

    def status(self) -> dict[str, Any]:
        """Counters for ``ostiary-relay status``: nothing about anybody."""
        return {
            "ready": self.ready,
            "software": SOFTWARE,
            "connections": self._gate.connections,
            "attachments": len(self._registry.attachments),
            "parked": self._registry.parked,
            "waiting": self._registry.waiting,
            "pairs": self._registry.pairs,
            "pairs_made": self.pairs_made,
            "pairs_spliced": self.pairs_spliced,
            "bytes_copied": self.bytes_copied,
            "controllers": len(self._control),
            "refusals": dict(self.refusals),
        }

    # Inputs

    def _requested(self, connection: Connection, request: UpgradeRequest) -> None:
        if not request.upgrade:
            self._answer_plain(connection, request)
            return
        self._connections[connection.number] = connection
        try:
            admitted = self._admit(connection, request)
        except RefusedError as exc:
            _log.debug("relay.refused", address=connection.address, reason=exc.reason.code, detail=exc.detail)
            self._clock_doubt.hear(exc)
            self._refuse(connection, exc.reason)
            return
        self._enrol(connection, admitted)
        self._carry_out()

    def _answer_plain(self, connection: Connection, request: UpgradeRequest) -> None:
        assert connection.acceptor is not None
        if request.path != HEALTH_PATH:
            self._refuse(connection, Reason.NOT_FOUND)
        elif self._draining:
            connection.acceptor.respond(503, "draining\n")
        else:
            connection.acceptor.respond(200, "ok\n")

    def _admit(self, connection: Connection, request: UpgradeRequest) -> Admitted:
        if self._draining:
            raise RefusedError(Reason.SHUTTING_DOWN)
        if not self._gate.may_verify(connection.address, self._clock.monotonic()):
            raise RefusedError(Reason.RATE_LIMITED)
        if request.first and request.path != CONNECT_PATH:
            raise RefusedError(Reason.PROTOCOL_ERROR, "first bytes of something else than a client")
        return self._admission.check(request.path, request.ticket, self._clock.wall())

    def _enrol(self, connection: Connection, admitted: Admitted) -> None:
        number = connection.number
        if admitted.path == CONTROL_PATH or admitted.connector is None:
            self._take_controller(connection)
            return
        connection.signed_by, connection.admitted_at = admitted.signed_by, self._clock.monotonic()
        _log.debug("relay.admitted", path=admitted.path, connector=admitted.connector, address=connection.address)
        if admitted.path == ATTACH_PATH:
            self._registry.attach(number, admitted.connector)
        elif admitted.path == LEG_PATH:
            self._registry.park(number, admitted.connector)
        else:
            self._registry.connect(number, admitted.connector, admitted.ticket_key, self._clock.monotonic())

    def _keys_replaced(self, keys: VerificationKeys, issued_at: int) -> None:
        """Keeps the keys, and ends what rests on one that was distrusted (F-22): whoever holds it could be anywhere in there.

        A key that goes in order goes a day after it signed last, so what it vouched for is older than KEY_GONE_S by then.
        """
        self._keep_keys(keys, issued_at)
        since = self._clock.monotonic() - KEY_GONE_S
        for connection in tuple(self._connections.values()):
            if connection.signed_by and connection.signed_by not in keys.keys and connection.admitted_at > since:
                self._close(connection, Reason.TOKEN_KEY_UNKNOWN)

    def _take_controller(self, connection: Connection) -> None:
        if self._control.full:
            self._refuse(connection, Reason.LIMIT_EXCEEDED)
        elif (leg := self._accept(connection)) is not None:
            self._control.add(connection.number, leg)

    def _closed(self, connection: Connection) -> None:
        if self._connections.pop(connection.number, None) is None:
            return
        self._control.remove(connection.number)
        self._registry.closed(connection.number)
        self._carry_out()

    def _tick(self) -> None:
        self._timer = None
        self._registry.tick(self._clock.monotonic())
        self._carry_out()

    # Commands

    def _carry_out(self) -> None:
        while (command := self._registry.next_command()) is not None:
            self._do(command)
        self._changed.set()
        due = self._registry.deadline()
        if due is not None and self._timer is None:
            delay = max(0.0, due[0] - self._clock.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _do(self, command: Command) -> None:
        match command:
            case Accept(number):
                connection = self._connections.get(number)
                leg = None if connection is None else self._accept(connection)
                if leg is not None:
                    leg.set_receiver(Quiet(leg))
            case Refuse(number, reason):
                if number in self._connections:
                    self._refuse(self._connections[number], reason)
            case Close(number, reason):
                if number in self._connections:
                    self._close(self._connections[number], reason)
            case AskLegs(number, count):
                self._tell(number, encode_relay_message(LegsWanted(count)))
            case SayGoodbye(number, reason):
                self._tell(number, encode_relay_message(RelayGoodbye(reason)))
            case Pair(client, leg_number):
                self._pair(client, leg_number)

    def _accept(self, connection: Connection) -> Leg | None:
        """None if the peer is gone, or its upgrade is malformed: then it was answered, and ``_closed`` follows."""
        if connection.acceptor is not None:
            connection.leg = connection.acceptor.accept()
            connection.acceptor = None
        return connection.leg

    def _pair(self, client: ConnectionNumber, leg_number: ConnectionNumber) -> None:
        client_side, connector_side = self._connections.get(client), self._connections.get(leg_number)
        if client_side is None or connector_side is None or connector_side.leg is None:
            return
        accepted = self._accept(client_side)
        if accepted is not None:
            join(
                accepted,
                connector_side.leg,
                self._count,
                pipes=self._pipes,
                on_spliced=self._spliced,
                dead_after_s=self._dead_after_s,
            )
            self.pairs_made += 1

    def _refuse(self, connection: Connection, reason: Reason) -> None:
        self.refusals[reason.code] += 1
        if connection.acceptor is not None:
            connection.acceptor.refuse(status_of(reason), reason)

    def _close(self, connection: Connection, reason: Reason) -> None:
        if connection.leg is not None:
            connection.leg.close(reason)
        elif connection.acceptor is not None:
            connection.acceptor.abort()

    def _tell(self, number: ConnectionNumber, text: str) -> None:
        connection = self._connections.get(number)
        # A connector that does not read its control leg is not worth a queue.
        if connection is not None and connection.leg is not None and not connection.leg.paused:
            connection.leg.write_text(text)

    def _spliced(self) -> None:
        self.pairs_spliced += 1

    def _count(self, size: int) -> None:
        self.bytes_copied += size
