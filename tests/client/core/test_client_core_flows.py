"""The NAT table: ports are free when they are given, flows live as long as their sockets."""

import pytest
from client_policy import entry
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from client.core.classify import Target
from client.core.flows import LINGER_S, Flow, FlowState, FlowTable, TcpFlow, Turn
from client.packet.model import endpoints
from protocol.acl.model import Transport
from protocol.errors import LocalError
from protocol.limits import HALF_OPEN_S
from protocol.reasons import Reason

TURN = Turn(b"AAAA", b"NNNN", 9000)


def key(port: int, version: int = 4) -> bytes:
    size = 4 if version == 4 else 16
    return endpoints(b"S" * size, b"D" * size, port, 443)


def test_open_flow_has_rewrites_for_both_directions() -> None:
    table: FlowTable[Flow] = FlowTable()
    flow = Flow(key(1))
    rewrite = table.open(flow, TURN, 0.0)
    assert table.rewrites[flow.key] is rewrite
    assert flow.return_key == endpoints(b"AAAA", b"NNNN", 9000, flow.port)
    assert set(table.rewrites) == {flow.key, flow.return_key}
    assert table.find(flow.key) is flow
    assert flow.state is FlowState.HALF_OPEN


def test_tcp_flow_says_what_the_application_sees() -> None:
    target = Target("db.internal", Transport.TCP, 443, entry("db.internal"))
    flow = TcpFlow(endpoints(bytes([10, 0, 0, 1]), bytes([10, 99, 0, 5]), 50000, 443), target)
    assert (str(flow.application[0]), flow.application[1]) == ("10.0.0.1", 50000)
    assert (str(flow.destination[0]), flow.destination[1]) == ("10.99.0.5", 443)


def test_life_is_bound_to_the_socket_and_lingers() -> None:
    table: FlowTable[Flow] = FlowTable()
    flow = Flow(key(1))
    table.open(flow, TURN, 0.0)
    assert table.accepted(flow.port) is flow
    assert table.tick(1e6) == []
    assert table.find(flow.key) is flow  # quiet for eleven days
    table.closed(flow, 1e6)
    assert len(table) == 0
    table.tick(1e6 + LINGER_S - 1)
    assert flow.key in table.rewrites
    assert table.deadline() == (1e6 + LINGER_S, "linger")
    table.tick(1e6 + LINGER_S)
    assert table.rewrites == {}
    assert flow.state is FlowState.ENDED
    assert table.deadline() is None


def test_half_open_flow_expires() -> None:
    table: FlowTable[Flow] = FlowTable()
    first, second = Flow(key(1)), Flow(key(2))
    table.open(first, TURN, 0.0)
    table.open(second, TURN, 10.0)
    assert table.deadline() == (HALF_OPEN_S, "half_open")
    assert table.tick(HALF_OPEN_S) == [first]
    assert table.accepted(first.port) is None
    assert table.find(second.key) is second
    assert table.tick(HALF_OPEN_S + 10.0) == [second]


def test_accept_is_possible_once_and_for_known_ports_only() -> None:
    table: FlowTable[Flow] = FlowTable()
    flow = Flow(key(1))
    table.open(flow, TURN, 0.0)
    assert table.accepted(flow.port) is flow
    assert table.accepted(flow.port) is None
    assert table.accepted(1) is None


def test_remove_is_idempotent_and_closed_after_it_harmless() -> None:
    table: FlowTable[Flow] = FlowTable()
    flow, never = Flow(key(1)), Flow(key(2))
    table.open(flow, TURN, 0.0)
    table.remove(flow)
    table.remove(flow)
    table.remove(never)
    table.closed(flow, 1.0)
    assert len(table) == 0
    assert table.rewrites == {}
    assert never.state is FlowState.ENDED


def test_flow_removed_while_it_lingers_is_not_removed_again() -> None:
    table: FlowTable[Flow] = FlowTable()
    old, new = Flow(key(1)), Flow(key(1))
    table.open(old, TURN, 0.0)
    table.accepted(old.port)
    table.closed(old, 0.0)
    table.remove(old)
    table.open(new, TURN, 0.0)
    table.tick(LINGER_S)
    assert table.find(new.key) is new


def test_ports_are_used_again_as_late_as_possible() -> None:
    table: FlowTable[Flow] = FlowTable(ports=range(100, 104))
    first = Flow(key(1))
    table.open(first, TURN, 0.0)
    table.remove(first)
    ports = []
    for number in range(2, 6):
        flow = Flow(key(number))
        table.open(flow, TURN, 0.0)
        ports.append(flow.port)
    assert ports == [101, 102, 103, 100]


def test_longest_lingering_flow_gives_up_its_port() -> None:
    table: FlowTable[Flow] = FlowTable(ports=range(100, 102))
    flows = [Flow(key(1)), Flow(key(2))]
    for flow in flows:
        table.open(flow, TURN, 0.0)
        table.accepted(flow.port)
    table.closed(flows[1], 1.0)
    table.closed(flows[0], 2.0)
    late = Flow(key(3))
    table.open(late, TURN, 3.0)
    assert (flows[1].state, flows[0].state) == (FlowState.ENDED, FlowState.LINGERING)
    assert late.port == 101


def test_flow_that_stopped_lingering_gives_up_nothing() -> None:
    table: FlowTable[Flow] = FlowTable(ports=range(100, 102))
    flows = [Flow(key(1)), Flow(key(2))]
    for flow in flows:
        table.open(flow, TURN, 0.0)
        table.accepted(flow.port)
        table.closed(flow, 1.0)
    table.remove(flows[0])
    for number in (3, 4):
        table.open(Flow(key(number)), TURN, 2.0)
    assert flows[1].state is FlowState.ENDED
    assert len(table) == 2


def test_no_port_and_nobody_lingering_is_refused() -> None:
    table: FlowTable[Flow] = FlowTable(ports=range(100, 101))
    table.open(Flow(key(1)), TURN, 0.0)
    with pytest.raises(LocalError) as caught:
        table.open(Flow(key(2)), TURN, 0.0)
    assert caught.value.reason is Reason.LIMIT_EXCEEDED


def test_flows_max_counts_what_is_not_over() -> None:
    table: FlowTable[Flow] = FlowTable(flows_max=1)
    flow = Flow(key(1))
    table.open(flow, TURN, 0.0)
    with pytest.raises(LocalError):
        table.open(Flow(key(2)), TURN, 0.0)
    table.accepted(flow.port)
    table.closed(flow, 0.0)
    table.open(Flow(key(3)), TURN, 0.0)


class FlowTableMachine(RuleBasedStateMachine):
    """Any order of opening, accepting, closing, removing and waiting keeps ports and rewrites consistent."""

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.table: FlowTable[Flow] = FlowTable(flows_max=6, ports=range(100, 108))
        self.flows: list[Flow] = []
        self.number = 0

    def alive(self) -> list[Flow]:
        return [flow for flow in self.flows if flow.state is not FlowState.ENDED]

    @rule()
    def open_one(self) -> None:
        self.number += 1
        flow = Flow(key(self.number))
        active = sum(flow.state in (FlowState.HALF_OPEN, FlowState.OPEN) for flow in self.flows)
        if active >= 6:
            with pytest.raises(LocalError):
                self.table.open(flow, TURN, self.now)
        else:
            self.table.open(flow, TURN, self.now)
            self.flows.append(flow)

    @precondition(lambda self: self.alive())
    @rule(data=st.data(), what=st.sampled_from(["accepted", "closed", "remove"]))
    def change_one(self, data: st.DataObject, what: str) -> None:
        flow = data.draw(st.sampled_from(self.alive()))
        if what == "accepted":
            self.table.accepted(flow.port)
        elif what == "closed":
            self.table.closed(flow, self.now)
        else:
            self.table.remove(flow)

    @rule(seconds=st.sampled_from([1.0, 30.0, 80.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.table.tick(self.now)
        for flow in self.flows:
            if flow.state in (FlowState.HALF_OPEN, FlowState.LINGERING):
                assert flow.until > self.now

    @invariant()
    def every_flow_has_a_port_of_its_own(self) -> None:
        alive = self.alive()
        assert len({flow.port for flow in alive}) == len(alive)
        wanted = {name for flow in alive for name in (flow.key, flow.return_key)}
        assert set(self.table.rewrites) == wanted
        assert len(self.table) == sum(flow.state is not FlowState.LINGERING for flow in alive)
        deadline = self.table.deadline()
        assert deadline is not None or not any(flow.state is not FlowState.OPEN for flow in alive)


TestFlowTableMachine = FlowTableMachine.TestCase
TestFlowTableMachine.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
