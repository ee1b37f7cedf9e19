"""Every refusal is remembered once: for the user (``status``, ``explain``) and for the controller's records (F-31).

What a connector refused is in the connector's own record as well; the flow's id joins the two. The list is bounded, and the
oldest is dropped first; the records wait with those of flows (``flow_records``).
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog

from client.core.classify import Denial
from client.daemon.activity import Activity, Kind
from protocol.acl.model import Entry, IPAddress, Transport
from protocol.control import ConnectionRecord
from protocol.ids import NO_REVISION, DeviceId, FlowId, ResourceId, Revision
from protocol.reasons import Reason
from runtime.clock import Clock
from runtime.entropy import new_id
from runtime.open_reports import Traffic

RECENT_MAX: Final = 200
SAME_WITHIN_S: Final = 10.0
"""An application that retries is counted, not recorded again."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Refusal:
    """One line of the list; ``at`` and ``last`` are Unix seconds."""

    at: float
    last: float
    host: str
    transport: Transport
    port: int | None
    reason: Reason
    resource: ResourceId | None
    count: int = 1

    def as_json(self) -> dict[str, Any]:
        """As ``status`` shows it."""
        return {
            "at": round(self.at, 3),
            "last": round(self.last, 3),
            "count": self.count,
            "host": self.host,
            "port": self.port,
            "transport": self.transport.value,
            "resource": self.resource,
            "reason": self.reason.code,
            "sentence": self.reason.sentence,
            "next": self.reason.next_step,
        }


class Denials:
    """The list.

    Args:
        clock: Unix time by the controller's clock.
        entry: finds the entry of a resource in the snapshot in force.
        revision: the revision in force.
    """

    def __init__(
        self, clock: Clock, *, entry: Callable[[ResourceId], Entry | None], revision: Callable[[], Revision]
    ) -> None:
        self._clock = clock
        self._entry = entry
        self._revision = revision
        self._recent: deque[Refusal] = deque(maxlen=RECENT_MAX)
        self.on_record: Callable[[ConnectionRecord], None] = lambda _: None
        """Takes the record of each refusal; device and user are still to be filled in."""
        self.activity = Activity(clock)
        """Everything that happens, refusals among it."""
        self.total = 0
        self.outcomes: Counter[Reason] = Counter()
        """Refusals by reason since the start; an application's repetitions count once."""

    def recent(self, count: int) -> list[Refusal]:
        """Returns the newest refusals, newest first."""
        return sorted(self._recent, key=lambda refusal: refusal.last, reverse=True)[:count]

    def find(self, host: str, transport: Transport, port: int | None) -> Refusal | None:
        """Returns the newest refusal of this destination."""
        return next((item for item in self.recent(RECENT_MAX) if _same(item, host, transport, port)), None)

    def refused(self, denial: Denial, *, flow: FlowId | None = None) -> None:
        """Remembers a refused connection. ``flow``: its id, if a connector may have been asked: then it has a record as well."""
        fresh = self._remember(
            "denied", denial.host, denial.transport, denial.port, denial.reason, denial.resource, flow=flow
        )
        if fresh:
            self.on_record(self._record(denial, flow))

    def cut(
        self,
        host: str | IPAddress,
        transport: Transport,
        port: int | None,
        reason: Reason,
        resource: ResourceId,
        traffic: Traffic | None = None,
    ) -> None:
        """Remembers that an open connection was cut; its records are the connector's and ``flow_records``'.

        One that the connector opened while its application was still held was never open to the user: denied.
        """
        flow = self.activity.held_here(host, transport, port)
        self._remember("cut" if flow is None else "denied", host, transport, port, reason, resource, traffic, flow)

    def forget(self) -> None:
        """Another identity: nothing of the last one's is shown to it."""
        self._recent.clear()
        self.activity.forget()

    def _remember(
        self,
        kind: Kind,
        host: str | IPAddress,
        transport: Transport,
        port: int | None,
        reason: Reason,
        resource: ResourceId | None,
        traffic: Traffic | None = None,
        flow: FlowId | None = None,
    ) -> bool:
        """``flow``: its attempt was told as held, and so is its end, however often the same was refused."""
        self.total += 1
        now = self._clock.wall()
        text = str(host)
        entry = None if resource is None else self._entry(resource)
        name = "" if entry is None else entry.resource.name
        for item in reversed(self._recent):
            if _same(item, text, transport, port) and item.reason is reason and now - item.last < SAME_WITHIN_S:
                item.count += 1
                item.last = now
                if flow is not None:
                    self.activity.ended(kind, host, transport, port, reason, resource, name, traffic, flow)
                return False
        self.outcomes[reason] += 1
        self._recent.append(Refusal(now, now, text, transport, port, reason, resource))
        self.activity.ended(kind, host, transport, port, reason, resource, name, traffic, flow)
        _log.info("connection.refused", reason=reason.code, transport=transport.value, port=port, resource=resource)
        return True

    def _record(self, denial: Denial, flow: FlowId | None) -> ConnectionRecord:
        entry = None if denial.resource is None else self._entry(denial.resource)
        now_ms = round(self._clock.wall() * 1000)
        return ConnectionRecord(
            flow=flow or FlowId(new_id("flow")),
            reporter="client",
            device=DeviceId(""),
            user="",
            resource=denial.resource,
            network=None if entry is None else entry.resource.network,
            connector=None,
            relay=None,
            host=str(denial.host),
            address="",
            transport=denial.transport.value,
            port=denial.port,
            started_ms=now_ms,
            ended_ms=now_ms,
            bytes_up=0,
            bytes_down=0,
            outcome=denial.reason.code,
            revision=self._revision() or NO_REVISION,
            grants=() if entry is None else tuple(entry.grants),
        )


def _same(item: Refusal, host: str, transport: Transport, port: int | None) -> bool:
    return item.host == host and item.transport is transport and item.port == port
