"""Limits per address: connections and signature checks (T-25, T-26)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.address_kinds import group_of
from protocol.reasons import Reason
from relay.core.gate import RATES_MAX, Gate


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("not an address", ""),
    ],
)
def test_what_counts_as_one_address(address: str, group: str) -> None:
    assert group_of(address) == group


def test_t25_one_address_gets_its_share_and_no_more() -> None:
    gate = Gate(0.0, total=1000, per_address=3)
    assert [gate.enter("192.0.2.1") for _ in range(4)] == [None, None, None, Reason.LIMIT_EXCEEDED]
    assert gate.enter("192.0.2.2") is None
    gate.leave("192.0.2.1")
    assert gate.enter("192.0.2.1") is None


def test_t25_a_crowded_relay_keeps_places_for_others() -> None:
    gate = Gate(0.0, total=100, per_address=100)
    admitted = sum(gate.enter("192.0.2.1") is None for _ in range(200))
    assert admitted == 75
    assert gate.enter("192.0.2.2") is None
    assert sum(gate.enter("192.0.2.2") is None for _ in range(200)) < 25


def test_t25_a_full_relay_takes_nobody() -> None:
    gate = Gate(0.0, total=10, per_address=10)
    for index in range(10):
        assert gate.enter(f"192.0.2.{index}") is None
    assert gate.enter("192.0.2.99") is Reason.LIMIT_EXCEEDED
    assert gate.connections == 10


def test_signature_checks_are_limited_per_address_and_altogether() -> None:
    gate = Gate(0.0, checks_per_second=10, checks_per_address=2)
    assert [gate.may_verify("192.0.2.1", 0.0) for _ in range(5)] == [True] * 4 + [False]
    assert gate.may_verify("192.0.2.2", 0.0)
    assert not gate.may_verify("192.0.2.1", 0.4)
    assert gate.may_verify("192.0.2.1", 0.6)
    passed = sum(gate.may_verify(f"198.51.100.{index}", 0.6) for index in range(100))
    assert passed < 25


def test_the_memory_of_rates_is_bounded() -> None:
    gate = Gate(0.0, checks_per_second=1e9, checks_per_address=1)
    for index in range(RATES_MAX + 10):
        gate.may_verify(f"10.{index >> 16}.{(index >> 8) & 255}.{index & 255}", 0.0)
    assert len(gate._checks) == RATES_MAX


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=200))
def test_counts_return_to_zero(steps: list[tuple[bool, int]]) -> None:
    gate = Gate(0.0, total=40, per_address=12)
    inside: list[str] = []
    for enters, host in steps:
        address = f"192.0.2.{host}"
        if enters:
            if gate.enter(address) is None:
                inside.append(address)
        elif address in inside:
            inside.remove(address)
            gate.leave(address)
        assert gate.connections == len(inside) <= 40
    for address in inside:
        gate.leave(address)
    assert gate.connections == 0
    assert gate._counts == {}
