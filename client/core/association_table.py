"""What UDP and ICMP echo have in common: associations that begin with a datagram and end by silence or refusal.

A refused association answers further datagrams by itself for REFUSAL_MEMORY_S, so that an application that goes on sending
does not make a request each time.
"""

from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Final

from client.core.association import Association, AssociationState
from client.core.classify import Classifier, Denial
from client.core.commands import CloseAssociation, Command, OpenAssociation, ReportDenial, SendDatagrams, WriteFrame
from client.core.refusal import refuse_datagram
from protocol.acl.model import Transport
from protocol.limits import ASSOCIATIONS_MAX, DATAGRAM_QUEUE, QUIET_S
from protocol.reasons import Reason

REFUSAL_MEMORY_S: Final = 1.0
_REFUSALS_MAX: Final = 4096
_CHECKS_SLACK: Final = 1024
"""Ended associations whose idle check is still due; more are thrown out, so that refusals do not pile up."""
_LOOKED_AT: Final = 32
SEND_AT: Final = DATAGRAM_QUEUE // 2
"""Datagrams that wait at most for the end of a turn; with more, sending cannot wait."""
QUOTE_BYTES: Final = 128
"""Kept of the newest packet for an ICMP error: all headers and more than the 8 bytes of payload that RFC 792 wants."""


class AssociationTable(ABC):
    """Associations of one transport.

    Args:
        classifier: judges destinations.
        transport: UDP or ICMP.
        idle_s: an association ends after this long without a datagram in either direction.
        associations_max: for one more, one that was quiet for QUIET_S ends; when none was, the new one is refused.
    """

    def __init__(
        self, classifier: Classifier, transport: Transport, idle_s: float, *, associations_max: int = ASSOCIATIONS_MAX
    ) -> None:
        self._classifier = classifier
        self._transport = transport
        self._idle_s = idle_s
        self._max = associations_max
        self._by_key: dict[bytes, Association] = {}
        self._checks: deque[tuple[float, Association]] = deque()
        self._refused: OrderedDict[bytes, tuple[float, Reason]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_key)

    def set_idle(self, idle_s: float) -> None:
        """Associations end after this long from here on, those that are open as well."""
        self._idle_s = idle_s
        living = (each for _, each in self._checks if each.state is not AssociationState.ENDED)
        due = ((each.last_used + idle_s, each) for each in living)
        self._checks = deque(sorted(due, key=lambda check: check[0]))

    def find(self, key: bytes) -> Association | None:
        """Returns the association with this key (``client.packet.model.endpoints``)."""
        return self._by_key.get(key)

    def opened(self, association: Association) -> list[Command]:
        """The connector serves it: queued datagrams may go."""
        if association.state is not AssociationState.OPENING:
            return []
        association.state = AssociationState.OPEN
        return [SendDatagrams(association)] if association.outgoing else []

    def refuse(self, association: Association, reason: Reason, now: float) -> list[Command]:
        """The association was refused or its stream was lost: tells the application by an ICMP error."""
        if association.state is AssociationState.ENDED:
            return []
        self._forget(association, now)
        self._refused[association.key] = (now + REFUSAL_MEMORY_S, reason)
        self._refused.move_to_end(association.key)
        if len(self._refused) > _REFUSALS_MAX:
            self._refused.popitem(last=False)
        return [WriteFrame(refuse_datagram(association.sample, reason))]

    def close(self, association: Association, now: float) -> None:
        """The stream ended normally; the next datagram opens a new association."""
        if association.state is not AssociationState.ENDED:
            self._forget(association, now)

    def tick(self, now: float) -> list[Command]:
        """Ends what was silent for too long."""
        commands: list[Command] = []
        checks = self._checks
        while checks and checks[0][0] <= now:
            _, association = checks.popleft()
            if association.state is AssociationState.ENDED:
                continue
            idle_until = association.last_used + self._idle_s
            if idle_until > now:
                checks.append((idle_until, association))
                continue
            self._forget(association, now)
            commands.append(CloseAssociation(association, Reason.NORMAL))
        while self._refused and next(iter(self._refused.values()))[0] <= now:
            self._refused.popitem(last=False)
        return commands

    def deadline(self) -> tuple[float, str] | None:
        """When ``tick`` has something to do next (or to look again)."""
        return (self._checks[0][0], f"{self._transport.value}_idle") if self._checks else None

    def receive(
        self,
        key: bytes,
        destination: bytes,
        ports: tuple[int, int | None],
        datagrams: list[bytes],
        packet: bytes,
        now: float,
    ) -> list[Command]:
        """Takes datagrams of one packet from the application; ``ports`` are source (or identifier) and destination."""
        commands: list[Command] = []
        association = self._by_key.get(key)
        if association is None:
            association, commands = self._begin(key, destination, ports, packet, now)
            if association is None:
                return commands
        return commands + self.queue(association, datagrams, packet, now)

    def queue(self, association: Association, datagrams: list[bytes], packet: bytes, now: float) -> list[Command]:
        """Takes datagrams of one packet for a known association."""
        association.last_used = now
        association.sample = packet[:QUOTE_BYTES]
        wakes = False
        for datagram in datagrams:
            wakes = association.queue(datagram) or wakes
        waiting = len(association.outgoing)
        if (wakes or waiting >= SEND_AT) and association.state is AssociationState.OPEN:
            return [SendDatagrams(association, urgent=waiting >= SEND_AT)]
        return []

    @abstractmethod
    def reply(self, association: Association, payload: bytes, now: float) -> list[Command]:
        """Returns the packet that brings a datagram of the connector to the application."""

    def replies(self, association: Association, datagrams: Sequence[bytes], now: float) -> list[Command]:
        """As ``reply``, for datagrams that came together."""
        return [command for datagram in datagrams for command in self.reply(association, datagram, now)]

    def _begin(
        self, key: bytes, destination: bytes, ports: tuple[int, int | None], packet: bytes, now: float
    ) -> tuple[Association | None, list[Command]]:
        refused = self._refused.get(key)
        if refused is not None and refused[0] > now:
            return None, [WriteFrame(refuse_datagram(packet, refused[1]))]
        target = self._classifier.classify(destination, self._transport, ports[1], now)
        evicted: list[Command] = []
        if not isinstance(target, Denial) and len(self._by_key) >= self._max:
            evicted = self._evict(now)
        if not isinstance(target, Denial) and len(self._by_key) >= self._max:
            target = Denial(target.host, self._transport, target.port, Reason.LIMIT_EXCEEDED, target.resource)
        if isinstance(target, Denial):
            return None, [WriteFrame(refuse_datagram(packet, target.reason)), ReportDenial(target)]
        association = self._by_key[key] = Association(key, target, ports[0], now)
        if len(self._checks) > 2 * len(self._by_key) + _CHECKS_SLACK:
            self._checks = deque(each for each in self._checks if each[1].state is not AssociationState.ENDED)
        self._checks.append((now + self._idle_s, association))
        self._classifier.begin(target)
        return association, [*evicted, OpenAssociation(association)]

    def _evict(self, now: float) -> list[Command]:
        """Ends the first one found that is quiet; looks at a few, the oldest first, because this is asked for each packet."""
        for _ in range(min(_LOOKED_AT, len(self._checks))):
            due, association = self._checks.popleft()
            if association.state is AssociationState.ENDED:
                continue
            if now - association.last_used >= QUIET_S:
                self._forget(association, now)
                return [CloseAssociation(association, Reason.NORMAL)]
            # Not forgotten: only its place in the queue is a later one.
            self._checks.append((max(due, association.last_used + self._idle_s), association))
        return []

    def _forget(self, association: Association, now: float) -> None:
        association.state = AssociationState.ENDED
        association.outgoing.clear()
        del self._by_key[association.key]
        self._classifier.end(association.target, now)
