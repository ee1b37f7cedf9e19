"""Who is attached, who waits, who is paired: the relay's whole decision, without I/O (design C4, C13; T-20, T-21, T-25).

Each connection that passed admission is one of four things: an *attachment* (a connector's control leg, one per hash, the
newest wins), a *parked* leg, a *waiting* client, or half of a *pair*. Inputs are method calls with ``now`` where time
matters; afterwards drain ``next_command``, and call ``tick`` at ``deadline``. Every table has a bound.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final, NewType

from protocol.ids import ConnectorHash
from protocol.limits import PAIRING_DEADLINE_S, PARKED_LEGS_MAX, WAITING_CLIENTS_PER_CONNECTOR
from protocol.reasons import Reason

ConnectionNumber = NewType("ConnectionNumber", int)
"""Given out by the shell; never reused."""

WAITING_TOTAL: Final = 4096
"""Clients waiting for a leg, over all connectors; above it the connector with the longest queue sheds (T-25)."""
CONNECTIONS_PER_TICKET: Final = 16
"""Waiting or paired at one time by one client ticket; a client needs one or two, and a retry."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Answer the upgrade with 101."""

    connection: ConnectionNumber


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer the upgrade with an error."""

    connection: ConnectionNumber
    reason: Reason


@dataclass(frozen=True, slots=True)
class Close:
    """Close an accepted connection."""

    connection: ConnectionNumber
    reason: Reason


@dataclass(frozen=True, slots=True)
class AskLegs:
    """Tell a connector on its control leg to dial ``count`` more legs."""

    attachment: ConnectionNumber
    count: int


@dataclass(frozen=True, slots=True)
class SayGoodbye:
    """Tell a connector on its control leg why it is closed; a Close follows."""

    attachment: ConnectionNumber
    reason: Reason


@dataclass(frozen=True, slots=True)
class Pair:
    """Accept the client and copy bytes between the two."""

    client: ConnectionNumber
    leg: ConnectionNumber


Command = Accept | Refuse | Close | AskLegs | SayGoodbye | Pair


@dataclass(slots=True)
class _Connector:
    """All that belongs to one hash while a connector is attached."""

    attachment: ConnectionNumber
    parked: list[ConnectionNumber] = field(default_factory=list)
    waiting: dict[ConnectionNumber, float] = field(default_factory=dict)
    """Client to deadline; oldest first."""


@dataclass(slots=True)
class _Attachment:
    connector: ConnectorHash


@dataclass(slots=True)
class _Parked:
    connector: ConnectorHash


@dataclass(slots=True)
class _Waiting:
    connector: ConnectorHash
    ticket: str


@dataclass(slots=True)
class _Paired:
    other: ConnectionNumber
    ticket: str
    """Of the client's half; empty in the connector's."""


_Role = _Attachment | _Parked | _Waiting | _Paired


class Registry:
    """The tables and their rules."""

    def __init__(
        self,
        *,
        pairing_deadline_s: float = PAIRING_DEADLINE_S,
        parked_max: int = PARKED_LEGS_MAX,
        waiting_per_connector: int = WAITING_CLIENTS_PER_CONNECTOR,
        waiting_total: int = WAITING_TOTAL,
        per_ticket: int = CONNECTIONS_PER_TICKET,
    ) -> None:
        self._pairing_deadline_s = pairing_deadline_s
        self._parked_max = parked_max
        self._waiting_per_connector = waiting_per_connector
        self._waiting_total = waiting_total
        self._per_ticket = per_ticket
        self._connectors: dict[ConnectorHash, _Connector] = {}
        self._roles: dict[ConnectionNumber, _Role] = {}
        self._deadlines: dict[ConnectionNumber, float] = {}
        """Waiting clients in order of arrival, which is the order of their deadlines."""
        self._tickets: dict[str, int] = {}
        self._commands: deque[Command] = deque()
        self._parked = 0
        self._paired = 0
        self._closing: Reason | None = None

    # Inputs

    def attach(self, connection: ConnectionNumber, connector: ConnectorHash) -> None:
        """A connector's control leg was admitted. It replaces an older one and its parked legs (T-20)."""
        if self._closing is not None:
            self._put(Refuse(connection, self._closing))
            return
        known = self._connectors.get(connector)
        if known is None:
            known = self._connectors[connector] = _Connector(connection)
        else:
            self._drop_attachment(known, Reason.DUPLICATE_AGENT)
            known.attachment = connection
        self._roles[connection] = _Attachment(connector)
        self._put(Accept(connection))
        if known.waiting:
            self._put(AskLegs(connection, len(known.waiting)))

    def park(self, connection: ConnectionNumber, connector: ConnectorHash) -> None:
        """A connector's leg was admitted: it serves the client that waits longest, or waits for one itself."""
        known = self._connectors.get(connector)
        if self._closing is not None:
            self._put(Refuse(connection, self._closing))
        elif known is None:
            self._put(Refuse(connection, Reason.CONNECTOR_NOT_ATTACHED))
        elif known.waiting:
            self._put(Accept(connection))
            self._pair(next(iter(known.waiting)), connection)
        elif len(known.parked) >= self._parked_max:
            self._put(Refuse(connection, Reason.LIMIT_EXCEEDED))
        else:
            known.parked.append(connection)
            self._parked += 1
            self._roles[connection] = _Parked(connector)
            self._put(Accept(connection))

    def connect(self, connection: ConnectionNumber, connector: ConnectorHash, ticket: str, now: float) -> None:
        """A client was admitted. ``ticket`` is any key that is the same for the same ticket."""
        known = self._connectors.get(connector)
        refusal = self._refusal(known, ticket)
        if refusal is not None or known is None:
            self._put(Refuse(connection, refusal or Reason.CONNECTOR_NOT_ATTACHED))
            return
        self._tickets[ticket] = self._tickets.get(ticket, 0) + 1
        self._roles[connection] = _Waiting(connector, ticket)
        deadline = now + self._pairing_deadline_s
        known.waiting[connection] = self._deadlines[connection] = deadline
        if known.parked:
            # The newest: of all that are parked it is the likeliest to be alive still.
            leg = known.parked.pop()
            self._parked -= 1
            del self._roles[leg]
            self._pair(connection, leg)
            return
        self._put(AskLegs(known.attachment, 1))
        if len(self._deadlines) > self._waiting_total:
            self._shed()

    def closed(self, connection: ConnectionNumber) -> None:
        """A connection is gone, whoever closed it."""
        role = self._roles.pop(connection, None)
        match role:
            case _Attachment(connector):
                known = self._connectors[connector]
                if known.attachment == connection:
                    self._lose_connector(connector, known)
            case _Parked(connector):
                self._connectors[connector].parked.remove(connection)
                self._parked -= 1
            case _Waiting():
                self._leave_queue(connection, role)
            case _Paired(other, _):
                self._unpair(connection, role)
                self._put(Close(other, Reason.NORMAL))

    def tick(self, now: float) -> None:
        """Refuses the clients whose time is over."""
        while self._deadlines:
            connection, deadline = next(iter(self._deadlines.items()))
            if deadline > now:
                return
            self._refuse_waiting(connection, Reason.PAIRING_TIMEOUT)

    def shut_down(self, reason: Reason) -> None:
        """Takes nothing more, lets connectors and waiting clients go; pairs go on until they are closed."""
        if self._closing is not None:
            return
        self._closing = reason
        for known in tuple(self._connectors.values()):
            for client in tuple(known.waiting):
                self._refuse_waiting(client, reason)
            self._drop_attachment(known, reason)
        self._connectors.clear()

    # Outputs

    def next_command(self) -> Command | None:
        """Returns what the shell must do next, or None."""
        return self._commands.popleft() if self._commands else None

    def deadline(self) -> tuple[float, str] | None:
        """When ``tick`` is due, and what for."""
        for deadline in self._deadlines.values():
            return deadline, "pairing"
        return None

    @property
    def attachments(self) -> tuple[ConnectorHash, ...]:
        """The connectors that are attached, oldest first."""
        return tuple(self._connectors)

    @property
    def parked(self) -> int:
        """How many legs wait for a client."""
        return self._parked

    @property
    def waiting(self) -> int:
        """How many clients wait for a leg."""
        return len(self._deadlines)

    @property
    def pairs(self) -> int:
        """How many pairs are being copied."""
        return self._paired // 2

    # Inside

    def _put(self, command: Command) -> None:
        self._commands.append(command)

    def _refusal(self, known: _Connector | None, ticket: str) -> Reason | None:
        if self._closing is not None:
            return self._closing
        if known is None:
            return Reason.CONNECTOR_NOT_ATTACHED
        crowded = not known.parked and len(known.waiting) >= self._waiting_per_connector
        if crowded or self._tickets.get(ticket, 0) >= self._per_ticket:
            return Reason.LIMIT_EXCEEDED
        return None

    def _pair(self, client: ConnectionNumber, leg: ConnectionNumber) -> None:
        role = self._roles[client]
        assert isinstance(role, _Waiting)
        del self._connectors[role.connector].waiting[client]
        del self._deadlines[client]
        self._roles[client] = _Paired(leg, role.ticket)
        self._roles[leg] = _Paired(client, "")
        self._paired += 2
        self._put(Pair(client, leg))

    def _unpair(self, connection: ConnectionNumber, role: _Paired) -> None:
        other = self._roles.pop(role.other)
        assert isinstance(other, _Paired)
        self._paired -= 2
        self._release_ticket(role.ticket or other.ticket)

    def _leave_queue(self, connection: ConnectionNumber, role: _Waiting) -> None:
        del self._connectors[role.connector].waiting[connection]
        del self._deadlines[connection]
        self._release_ticket(role.ticket)

    def _refuse_waiting(self, connection: ConnectionNumber, reason: Reason) -> None:
        role = self._roles.pop(connection)
        assert isinstance(role, _Waiting)
        self._leave_queue(connection, role)
        self._put(Refuse(connection, reason))

    def _release_ticket(self, ticket: str) -> None:
        left = self._tickets[ticket] - 1
        if left:
            self._tickets[ticket] = left
        else:
            del self._tickets[ticket]

    def _drop_attachment(self, known: _Connector, reason: Reason) -> None:
        """Lets the control leg and the parked legs go; the pairs stay."""
        self._roles.pop(known.attachment, None)
        self._put(SayGoodbye(known.attachment, reason))
        self._put(Close(known.attachment, reason))
        self._drop_parked(known, reason)

    def _drop_parked(self, known: _Connector, reason: Reason) -> None:
        for leg in known.parked:
            del self._roles[leg]
            self._put(Close(leg, reason))
        self._parked -= len(known.parked)
        known.parked.clear()

    def _lose_connector(self, connector: ConnectorHash, known: _Connector) -> None:
        for client in tuple(known.waiting):
            self._refuse_waiting(client, Reason.CONNECTOR_NOT_ATTACHED)
        self._drop_parked(known, Reason.CONNECTOR_NOT_ATTACHED)
        del self._connectors[connector]

    def _shed(self) -> None:
        """The longest queue loses its newest client, so that a flood towards one connector costs only that one."""
        longest = max(self._connectors.values(), key=lambda known: len(known.waiting))
        self._refuse_waiting(next(reversed(longest.waiting)), Reason.LIMIT_EXCEEDED)
