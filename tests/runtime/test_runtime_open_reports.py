"""Reports of open flows: their start after a while, their bytes as they grow, a bounded number in one go."""

from dataclasses import dataclass, field, replace

from connector_world import flow_id
from flow_records import connector_record

from protocol.control import ConnectionRecord
from protocol.ids import FlowId
from runtime.open_reports import OPEN_AFTER_S, UPDATE_S, UPDATES_MAX, OpenReports, Traffic
from runtime.record_queue import RecordQueue


@dataclass
class Host:
    """Flows with their counters; ``dialled`` ones are not open yet."""

    flows: dict[FlowId, Traffic] = field(default_factory=dict)
    dialled: set[FlowId] = field(default_factory=set)
    queue: RecordQueue = field(default_factory=RecordQueue)
    reports: OpenReports = field(init=False)

    def __post_init__(self) -> None:
        self.reports = OpenReports(self.queue, self.flows.get, self.record)

    def record(self, flow: FlowId) -> ConnectionRecord | None:
        if flow in self.dialled:
            return None
        up, down = self.flows[flow]
        return replace(connector_record(1), flow=flow, bytes_up=up, bytes_down=down)

    def begin(self, count: int) -> None:
        for number in range(count):
            self.flows[flow_id(number)] = (0, 0)
            self.reports.begun(flow_id(number), 0.0)

    def said(self, now: float) -> dict[FlowId, Traffic]:
        self.reports.tick(now)
        said: dict[FlowId, Traffic] = {}
        while batch := self.queue.next_batch():
            said.update({record.flow: (record.bytes_up, record.bytes_down) for record in batch.opened})
            self.queue.acknowledged()
        return said


def test_a_flow_that_does_not_open_yet_waits() -> None:
    host = Host()
    host.begin(1)
    host.dialled.add(flow_id(0))
    assert host.said(OPEN_AFTER_S) == {}
    host.dialled.clear()
    assert host.said(OPEN_AFTER_S + 0.5) == {}
    assert host.said(2 * OPEN_AFTER_S) == {flow_id(0): (0, 0)}


def test_what_did_not_move_and_what_is_over_is_not_reported() -> None:
    host = Host()
    host.begin(3)
    assert len(host.said(OPEN_AFTER_S)) == 3
    host.flows[flow_id(1)] = (1, 0)
    del host.flows[flow_id(2)]
    assert host.said(OPEN_AFTER_S + UPDATE_S) == {flow_id(1): (1, 0)}
    assert not host.reports.tick(OPEN_AFTER_S + 3 * UPDATE_S)


def test_many_busy_flows_take_turns() -> None:
    host = Host()
    count = 3 * UPDATES_MAX
    host.begin(count)
    assert len(host.said(OPEN_AFTER_S)) == count
    now = OPEN_AFTER_S
    seen: set[FlowId] = set()
    for step in range(3):
        now += UPDATE_S
        host.flows.update(dict.fromkeys(host.flows, (step + 1, 0)))
        said = host.said(now)
        assert len(said) == UPDATES_MAX
        seen |= said.keys()
    assert len(seen) == count


def test_a_controller_that_is_away_costs_one_report_for_each_flow() -> None:
    host = Host()
    host.begin(10)
    now = OPEN_AFTER_S
    host.reports.tick(now)
    for step in range(5):
        now += UPDATE_S
        host.flows.update(dict.fromkeys(host.flows, (step + 1, 0)))
        host.reports.tick(now)
    assert len(host.queue) == 10
    assert set(host.said(now).values()) == {(5, 0)}
