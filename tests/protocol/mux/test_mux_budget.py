"""What a peer may make a session spend: window bytes, opens and resets per second (T-39, T-40)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import RemoteProtocolError
from protocol.limits import (
    MUX_OPENS_BURST,
    MUX_OPENS_PER_SECOND,
    MUX_RESETS_BURST,
    MUX_RESETS_PER_SECOND,
    MUX_WINDOW_TOTAL,
)
from protocol.mux.budget import FloodGuard, TokenBucket, WindowBudget
from protocol.reasons import Reason


def limited(guard: FloodGuard, now: float) -> bool:
    """Tells whether one more open by the peer is too much."""
    try:
        guard.peer_opens(now)
    except RemoteProtocolError as exc:
        return exc.reason is Reason.LIMIT_EXCEEDED
    return False


@given(st.integers(0, 10_000), st.lists(st.integers(0, 4_000), max_size=20))
def test_t40_window_budget_grants_what_there_is_and_never_more(total: int, wishes: list[int]) -> None:
    budget = WindowBudget(total)
    granted = [budget.take(wish) for wish in wishes]
    assert sum(granted) == min(total, sum(wishes))
    assert all(0 <= got <= wish for got, wish in zip(granted, wishes, strict=True))
    for got in granted:
        budget.release(got)
    assert budget.left == total


def test_window_budget_of_a_session_is_the_documented_total() -> None:
    assert WindowBudget().take(MUX_WINDOW_TOTAL + 1) == MUX_WINDOW_TOTAL


@given(
    rate=st.integers(1, 100),
    burst=st.integers(1, 50),
    pauses=st.lists(st.floats(-1.0, 3.0, allow_nan=False), min_size=1, max_size=200),
)
def test_t39_no_stretch_of_time_holds_more_than_rate_and_burst(rate: int, burst: int, pauses: list[float]) -> None:
    now = 100.0
    bucket = TokenBucket(rate, burst, now)
    latest = now
    taken: list[float] = []
    for pause in pauses:
        now += pause  # A clock that steps back mints nothing.
        latest = max(latest, now)
        if bucket.take(now):
            taken.append(latest)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + rate * (taken[last] - taken[first]) + 1e-6


@given(debt=st.integers(0, 30))
def test_bucket_in_debt_must_be_paid_before_it_holds_again(debt: int) -> None:
    bucket = TokenBucket(rate=10, burst=5, now=0.0)
    for _ in range(5 + debt):
        bucket.charge()
    assert not bucket.holds(debt / 10 + 0.05)
    assert bucket.holds(debt / 10 + 0.15)


def test_idle_bucket_saves_no_more_than_its_burst() -> None:
    bucket = TokenBucket(rate=10, burst=3, now=0.0)
    assert [bucket.take(1e6) for _ in range(4)] == [True, True, True, False]


def test_t39_peer_may_open_a_burst_and_then_its_rate() -> None:
    guard = FloodGuard(0.0)
    for _ in range(MUX_OPENS_BURST):
        guard.peer_opens(0.0)
    with pytest.raises(RemoteProtocolError, match="opened per second") as caught:
        guard.peer_opens(0.0)
    assert caught.value.reason is Reason.LIMIT_EXCEEDED
    for _ in range(MUX_OPENS_PER_SECOND):
        guard.peer_opens(1.0)
    assert limited(guard, 1.0)


def test_t39_rapid_resets_stop_the_next_open_whoever_reset() -> None:
    guard = FloodGuard(0.0)
    for _ in range(MUX_RESETS_BURST):
        guard.peer_opens(0.0)
        guard.stream_reset(own=False, accepted=True, opened_at=0.0, now=0.0)
    with pytest.raises(RemoteProtocolError, match="reset per second"):
        guard.peer_opens(0.0)
    assert not limited(guard, 1.0 / MUX_RESETS_PER_SECOND * 2)


@pytest.mark.parametrize(
    ("accepted", "age", "counts"),
    [(True, 0.0, True), (True, 0.99, True), (True, 1.0, False), (True, 60.0, False), (False, 60.0, True)],
)
def test_t39_only_young_or_unaccepted_streams_make_a_rapid_reset(accepted: bool, age: float, counts: bool) -> None:
    guard = FloodGuard(0.0)
    for _ in range(MUX_RESETS_BURST):
        guard.stream_reset(own=False, accepted=accepted, opened_at=100.0 - age, now=100.0)
    assert limited(guard, 0.0) is counts


def test_mass_reset_after_a_policy_change_is_no_flood() -> None:
    guard = FloodGuard(0.0)
    for own in (True, False):
        for _ in range(10 * MUX_RESETS_BURST):
            guard.stream_reset(own=own, accepted=True, opened_at=0.0, now=30.0)
    assert not limited(guard, 30.0)
    assert guard.may_open(30.0)


def test_our_resets_do_not_spend_the_peers_budget_nor_the_other_way_round() -> None:
    guard = FloodGuard(0.0)
    for _ in range(2 * MUX_RESETS_BURST):
        guard.stream_reset(own=True, accepted=False, opened_at=0.0, now=0.0)
    assert not limited(guard, 0.0)
    assert not guard.may_open(0.0)
    other = FloodGuard(0.0)
    for _ in range(2 * MUX_RESETS_BURST):
        other.stream_reset(own=False, accepted=False, opened_at=0.0, now=0.0)
    assert limited(other, 0.0)
    assert other.may_open(0.0)


@given(st.lists(st.floats(0.0, 0.5), min_size=1, max_size=8))
def test_whoever_asks_before_opening_is_never_cut_off_by_the_peer(pauses: list[float]) -> None:
    # Both ends run the same code; all that was sent during a pause may arrive at its end, bunched.
    sender, receiver = FloodGuard(0.0), FloodGuard(0.0)
    now = 0.0
    for pause in pauses:
        now += pause
        opened = 0
        while sender.may_open(now):
            sender.opened()
            sender.stream_reset(own=True, accepted=False, opened_at=now, now=now)
            opened += 1
        for _ in range(opened):
            receiver.peer_opens(now)
            receiver.stream_reset(own=False, accepted=False, opened_at=now, now=now)
