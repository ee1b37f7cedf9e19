"""What is open at the moment, whatever opened it: what a new snapshot or an expired lease has to look at (C22 to C24)."""

from collections.abc import Callable, Iterable, Iterator

from client.core.classify import Target
from client.core.reevaluate import Ending
from protocol.ids import ConnectorId, FlowId, NetworkId
from protocol.reasons import Reason


class OpenFlow:
    """One open connection or association. ``abort`` ends it at once with a reason; ``remove`` follows by itself."""

    __slots__ = ("abort", "connector", "id", "target")

    def __init__(self, flow: FlowId, target: Target, connector: ConnectorId, abort: Callable[[Reason], None]) -> None:
        self.id = flow
        self.target = target
        self.connector = connector
        self.abort = abort


class FlowRegistry:
    """All open flows of this host."""

    def __init__(self) -> None:
        self._flows: dict[FlowId, OpenFlow] = {}
        self._used: set[NetworkId] = set()

    def __len__(self) -> int:
        return len(self._flows)

    def __iter__(self) -> Iterator[OpenFlow]:
        return iter(tuple(self._flows.values()))

    def add(self, flow: OpenFlow) -> None:
        """A flow is open."""
        self._flows[flow.id] = flow
        self._used.add(flow.target.entry.resource.network)

    def take_used(self) -> set[NetworkId]:
        """Returns the remote networks into which flows were opened since the last call."""
        used, self._used = self._used, set()
        return used

    def rebind(self, flow: FlowId, abort: Callable[[Reason], None]) -> None:
        """From here on ``abort`` is what ends this flow."""
        found = self._flows.get(flow)
        if found is None:
            abort(Reason.ACCESS_REVOKED)  # cut in the moment between two owners
        else:
            found.abort = abort

    def remove(self, flow: FlowId) -> None:
        """It has ended. Harmless when said twice."""
        self._flows.pop(flow, None)

    def judged(self) -> Iterator[tuple[OpenFlow, Target]]:
        """Flows with their targets, as ``client.core.reevaluate`` takes them."""
        return ((flow, flow.target) for flow in self)

    def end(self, endings: Iterable[Ending[OpenFlow]]) -> list[Ending[OpenFlow]]:
        """Resets these flows, each with its reason; returns them."""
        ended = []
        for ending in endings:
            if self._flows.pop(ending.flow.id, None) is not None:
                ending.flow.abort(ending.reason)
                ended.append(ending)
        return ended

    def end_all(self, reason: Reason) -> list[Ending[OpenFlow]]:
        """Resets everything."""
        return self.end([Ending(flow, reason) for flow in self])

    def count(self, connector: ConnectorId) -> int:
        """How many go over this connector."""
        return sum(flow.connector == connector for flow in self._flows.values())
