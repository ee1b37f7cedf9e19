"""Clock, entropy, backoff."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.ids import is_id
from runtime.backoff import Backoff
from runtime.clock import ManualClock, SystemClock
from runtime.entropy import new_id, token_bytes, token_text


def test_the_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(monotonic=10, wall=100)
    clock.advance(5)
    clock.jump_wall(-50)
    assert (clock.monotonic(), clock.wall()) == (15, 55)
    with pytest.raises(ValueError):
        clock.advance(-1)


def test_the_system_clock_knows_both_times() -> None:
    clock = SystemClock()
    assert clock.monotonic() <= clock.monotonic()
    assert clock.wall() > 1_700_000_000


def test_entropy_has_the_right_shape_and_does_not_repeat() -> None:
    assert is_id(new_id("flow"), "flow")
    assert new_id("flow") != new_id("flow")
    assert len(token_bytes(32)) == 32
    assert len(token_text()) == 43


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=5000), st.floats(min_value=0, max_value=1, exclude_max=True))
def test_t18_backoff_is_jittered_and_capped(attempts: int, jitter: float) -> None:
    backoff = Backoff(initial_s=0.25, cap_s=5.0, jitter=lambda: jitter)
    backoff.attempts = attempts
    assert 0 <= backoff.next() <= 5.0
    assert backoff.next(at_least_s=3.0) >= 3.0


def test_backoff_doubles_and_starts_over() -> None:
    backoff = Backoff(initial_s=1.0, cap_s=5.0, jitter=lambda: 1.0)
    assert [backoff.next() for _ in range(4)] == [1.0, 2.0, 4.0, 5.0]
    backoff.reset()
    assert backoff.next() == 1.0
