"""What is open at the moment, whatever opened it: what a new snapshot or an expired lease has to look at (C22 to C24)."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from client.core.classify import Target
from client.core.reevaluate import Ending
from protocol.ids import NO_REVISION, ConnectorId, FlowId, NetworkId, RelayId, Revision
from protocol.reasons import Reason
from runtime.open_reports import Traffic

NO_TRAFFIC: Callable[[], Traffic] = lambda: (0, 0)  # noqa: E731 - a value, shared by all flows that have no counters yet


class Via(NamedTuple):
    """How a flow was opened: over which connector and relay, and on which access token (its ``jti`` and policy revision)."""

    connector: ConnectorId
    relay: RelayId | None = None
    token: str = ""
    revision: Revision = NO_REVISION


class OpenFlow:
    """One open connection or association. ``abort`` ends it at once with a reason; ``remove`` follows by itself.

    ``traffic`` reads the counters of whatever moves its bytes; ``started`` is Unix seconds by the controller's clock.
    """

    __slots__ = ("abort", "id", "started", "target", "traffic", "via")

    def __init__(
        self,
        flow: FlowId,
        target: Target,
        via: Via,
        abort: Callable[[Reason], None],
        *,
        started: float = 0.0,
        traffic: Callable[[], Traffic] = NO_TRAFFIC,
    ) -> None:
        self.id = flow
        self.target = target
        self.via = via
        self.abort = abort
        self.started = started
        self.traffic = traffic


class FlowRegistry:
    """All open flows of this host. ``on_added`` and ``on_ended`` are called once for each."""

    def __init__(self) -> None:
        self.on_added: Callable[[OpenFlow], None] | None = None
        self.on_ended: Callable[[OpenFlow, Reason], None] | None = None
        self._flows: dict[FlowId, OpenFlow] = {}
        self._used: set[NetworkId] = set()

    def __len__(self) -> int:
        return len(self._flows)

    def __iter__(self) -> Iterator[OpenFlow]:
        return iter(tuple(self._flows.values()))

    def get(self, flow: FlowId) -> OpenFlow | None:
        """Returns the flow, None when it has ended."""
        return self._flows.get(flow)

    def add(self, flow: OpenFlow) -> None:
        """A flow is open."""
        self._flows[flow.id] = flow
        self._used.add(flow.target.entry.resource.network)
        if self.on_added is not None:
            self.on_added(flow)

    def take_used(self) -> set[NetworkId]:
        """Returns the remote networks into which flows were opened since the last call."""
        used, self._used = self._used, set()
        return used

    def rebind(
        self, flow: FlowId, abort: Callable[[Reason], None], traffic: Callable[[], Traffic] = NO_TRAFFIC
    ) -> None:
        """From here on ``abort`` is what ends this flow, and ``traffic`` what counts its bytes."""
        found = self._flows.get(flow)
        if found is None:
            abort(Reason.ACCESS_REVOKED)  # cut in the moment between two owners
        else:
            found.abort, found.traffic = abort, traffic

    def remove(self, flow: FlowId, reason: Reason = Reason.NORMAL) -> OpenFlow | None:
        """It has ended, for this reason. Returns it; None, and nothing is done, when that was said before."""
        found = self._flows.pop(flow, None)
        if found is not None and self.on_ended is not None:
            self.on_ended(found, reason)
        return found

    def judged(self) -> Iterator[tuple[OpenFlow, Target]]:
        """Flows with their targets, as ``client.core.reevaluate`` takes them."""
        return ((flow, flow.target) for flow in self)

    def end(self, endings: Iterable[Ending[OpenFlow]]) -> list[Ending[OpenFlow]]:
        """Resets these flows, each with its reason; returns them."""
        ended = []
        for ending in endings:
            if self._flows.pop(ending.flow.id, None) is not None:
                ending.flow.abort(ending.reason)
                if self.on_ended is not None:
                    self.on_ended(ending.flow, ending.reason)
                ended.append(ending)
        return ended

    def end_all(self, reason: Reason) -> list[Ending[OpenFlow]]:
        """Resets everything."""
        return self.end([Ending(flow, reason) for flow in self])

    def count(self, connector: ConnectorId) -> int:
        """How many go over this connector."""
        return sum(flow.via.connector == connector for flow in self._flows.values())
