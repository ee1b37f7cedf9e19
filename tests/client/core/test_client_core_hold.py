"""Held SYNs are bounded, have a deadline, and are asked for once (C10)."""

from client.core.flows import Flow
from client.core.hold import HoldTable
from protocol.limits import HOLD_DEADLINE_S


def test_retransmit_replaces_the_frame_and_keeps_the_deadline() -> None:
    table: HoldTable[Flow] = HoldTable()
    flow = Flow(b"k" * 12)
    table.hold(flow, b"first", 0.0)
    assert table.retransmitted(flow.key, b"second")
    assert len(table) == 1
    assert table.find(flow.key) is flow
    assert table.deadline() == (HOLD_DEADLINE_S, "hold")
    assert table.take(flow) == b"second"
    assert table.take(flow) is None
    assert not table.retransmitted(flow.key, b"third")
    assert table.find(flow.key) is None
    assert table.deadline() is None


def test_another_flow_of_the_same_key_does_not_take_it() -> None:
    table: HoldTable[Flow] = HoldTable()
    old, new = Flow(b"k" * 12), Flow(b"k" * 12)
    table.hold(new, b"frame", 0.0)
    assert table.take(old) is None
    assert table.take(new) == b"frame"


def test_bound() -> None:
    table: HoldTable[Flow] = HoldTable(held_max=2)
    for number in range(2):
        assert not table.full
        table.hold(Flow(bytes([number] * 12)), b"", 0.0)
    assert table.full


def test_expired_flows_are_named_until_they_are_taken() -> None:
    table: HoldTable[Flow] = HoldTable()
    first, second = Flow(b"1" * 12), Flow(b"2" * 12)
    table.hold(first, b"", 0.0)
    table.hold(second, b"", 5.0)
    assert table.expired(HOLD_DEADLINE_S - 1) == []
    assert table.expired(HOLD_DEADLINE_S) == [first]
    table.take(first)
    assert table.expired(HOLD_DEADLINE_S + 5) == [second]
