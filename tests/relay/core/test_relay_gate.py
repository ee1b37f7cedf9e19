"""What one address may cost the relay: places and signature checks (T-25, T-26)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.reasons import Reason
from relay.core.gate import CHECKS_BURST_S, FAIR_MIN, RATES_MAX, Gate, group_of


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:c000:207", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
        ("2001:DB8:1:2:ffff::1", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
        ("not an address", ""),
    ],
)
def test_t25_one_host_counts_as_one_address_however_it_is_written(address: str, group: str) -> None:
    assert group_of(address) == group


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_t25_a_whole_slash_64_is_one_address(address: object, host: int) -> None:
    prefix = int(address) >> 64 << 64  # type: ignore[call-overload]
    other = str(type(address)(prefix | host))  # type: ignore[call-arg]
    if prefix:
        assert group_of(str(address)) == group_of(other)


def entered(gate: Gate, address: str, count: int) -> int:
    """How many of ``count`` connections get in."""
    return sum(gate.enter(address) is None for _ in range(count))


def test_t25_an_address_has_its_cap_and_gets_a_place_back() -> None:
    gate = Gate(0.0, total=1000, per_address=5)
    assert entered(gate, "192.0.2.1", 10) == 5
    assert gate.enter("192.0.2.1") is Reason.LIMIT_EXCEEDED
    assert gate.enter("192.0.2.2") is None
    gate.leave("192.0.2.1")
    assert gate.enter("192.0.2.1") is None
    assert gate.connections == 6


def test_t25_when_crowded_an_address_gets_its_fair_part_only() -> None:
    gate = Gate(0.0, total=900, per_address=500)
    assert entered(gate, "192.0.2.1", 900) == 500, "while there is room: its cap"
    assert entered(gate, "192.0.2.2", 900) == 300, "crowded: a third, because somebody may still come"
    assert gate.enter("192.0.2.1") is Reason.LIMIT_EXCEEDED


def test_t25_even_among_very_many_addresses_each_gets_a_few_places() -> None:
    gate = Gate(0.0, total=1000, per_address=300)
    for index in range(800):
        assert gate.enter(f"10.0.{index // 256}.{index % 256}") is None
    assert entered(gate, "192.0.2.1", 100) == FAIR_MIN


def test_t25_the_total_is_never_exceeded() -> None:
    gate = Gate(0.0, total=64, per_address=300)
    got = sum(entered(gate, f"192.0.2.{index}", 20) for index in range(20))
    assert got == gate.connections == 64
    assert gate.enter("198.51.100.1") is Reason.LIMIT_EXCEEDED


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=200))
def test_counts_follow_those_who_are_inside(steps: list[tuple[bool, int]]) -> None:
    gate = Gate(0.0, total=40, per_address=12)
    inside: list[str] = []
    for enters, number in steps:
        address = f"192.0.2.{number}"
        if enters:
            if gate.enter(address) is None:
                inside.append(address)
        elif address in inside:
            gate.leave(address)
            inside.remove(address)
        assert gate.connections == len(inside) <= 40
        assert all(inside.count(one) <= 12 for one in set(inside))
    for address in inside:
        gate.leave(address)
    assert entered(gate, "192.0.2.1", 20) == 12, "nothing is left of those who went"


def checked(gate: Gate, address: str, count: int, now: float) -> int:
    return sum(gate.may_verify(address, now) for _ in range(count))


def test_t26_an_address_that_floods_with_tickets_runs_dry_and_others_do_not() -> None:
    gate = Gate(0.0, checks_per_second=1000.0, checks_per_address=10.0)
    burst = int(10 * CHECKS_BURST_S)
    assert checked(gate, "192.0.2.1", 500, 0.0) == burst
    assert checked(gate, "2001:db8::1", 500, 0.0) == burst
    assert checked(gate, "2001:db8::2", 500, 0.0) == 0, "the same /64"
    assert checked(gate, "192.0.2.1", 500, 0.5) == 5


def test_t26_all_addresses_together_have_a_budget() -> None:
    gate = Gate(0.0, checks_per_second=50.0, checks_per_address=10.0)
    assert sum(checked(gate, f"192.0.2.{index}", 20, 0.0) for index in range(50)) == int(50 * CHECKS_BURST_S)
    assert not gate.may_verify("198.51.100.1", 0.0)
    assert gate.may_verify("198.51.100.1", 1.0)


def test_t25_addresses_are_not_remembered_without_bound_and_the_busy_one_is() -> None:
    gate = Gate(0.0, checks_per_second=1e9, checks_per_address=1.0)
    assert checked(gate, "192.0.2.1", 5, 0.0) == 2
    for index in range(RATES_MAX - 1):
        gate.may_verify(f"10.{index >> 16}.{index >> 8 & 255}.{index & 255}", 0.0)
    assert not gate.may_verify("192.0.2.1", 0.0), "heard again, it is the youngest"
    gate.may_verify("198.51.100.1", 0.0)
    assert not gate.may_verify("192.0.2.1", 0.0)
