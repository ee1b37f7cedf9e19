"""Which open flows are reported when: their start once they are open for a while, then their bytes as they grow.

Nothing is counted here and nothing is done for a byte: the counters that the two ends of a flow have anyhow are read when a
report is due. A flow whose counters did not move is not reported again, and of those that did only so many in one go, those
that wait longest first. What waits in the queue is replaced by what is newer, so that a controller that is away costs no memory.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from protocol.control import ConnectionRecord
from protocol.ids import FlowId
from runtime.record_queue import RecordQueue

OPEN_AFTER_S: Final = 1.0
"""A flow that lives longer is reported as open; a shorter one costs one record, of its end."""
UPDATE_S: Final = 10.0
"""Between two reports of one open flow, at least."""
UPDATES_MAX: Final = 50
"""Of one tick: with 10,000 busy flows each is told of less often, the controller is not asked for more."""

Traffic = tuple[int, int]
"""Bytes towards the resource and bytes back."""


class OpenReports:
    """Puts the reports of open flows into a queue; call ``tick`` once or twice a second.

    Args:
        queue: where they go.
        traffic: the counters of a flow; None when it is over.
        record: what is to be said of a flow; None while it is not open yet.
    """

    def __init__(
        self,
        queue: RecordQueue,
        traffic: Callable[[FlowId], Traffic | None],
        record: Callable[[FlowId], ConnectionRecord | None],
    ) -> None:
        self._queue = queue
        self._traffic = traffic
        self._record = record
        self._young: deque[tuple[float, FlowId]] = deque()
        """Flows whose start was not reported yet, and when it is to be (monotonic), oldest first."""
        self._told: deque[tuple[float, FlowId, Traffic]] = deque()
        """The others, with what was said last."""

    def begun(self, flow: FlowId, now: float) -> None:
        """A flow was begun at ``now`` (monotonic seconds)."""
        self._young.append((now + OPEN_AFTER_S, flow))

    def tick(self, now: float) -> bool:
        """Queues what is due; tells whether there was anything."""
        return self._starts(now) + self._updates(now) > 0

    def _starts(self, now: float) -> int:
        reported = 0
        waiting: list[tuple[float, FlowId]] = []
        while self._young and self._young[0][0] <= now:
            _, flow = self._young.popleft()
            traffic = self._traffic(flow)
            if traffic is None:
                continue
            record = self._record(flow)
            if record is None:
                waiting.append((now + OPEN_AFTER_S, flow))
                continue
            self._queue.opened(record)
            self._told.append((now + UPDATE_S, flow, traffic))
            reported += 1
        self._young.extend(waiting)
        return reported

    def _updates(self, now: float) -> int:
        reported = 0
        while self._told and self._told[0][0] <= now and reported < UPDATES_MAX:
            _, flow, told = self._told.popleft()
            traffic = self._traffic(flow)
            if traffic is None:
                continue
            if traffic != told and (record := self._record(flow)) is not None:
                self._queue.opened(record)
                reported += 1
            self._told.append((now + UPDATE_S, flow, traffic))
        return reported
