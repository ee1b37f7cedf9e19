"""Token buckets (S-9, D10)."""

import pytest

from controller.identity.rate_limit import Proven, RateLimitedError, RateLimiter, address_key


def test_admits_a_burst_then_makes_wait_and_refills() -> None:
    limiter = RateLimiter("sign-in", per_minute=6, burst=3)
    for _ in range(3):
        limiter.spend("a", 100.0)
    with pytest.raises(RateLimitedError) as refused:
        limiter.spend("a", 100.0)
    assert refused.value.retry_after_s == pytest.approx(10.0)
    limiter.spend("a", 110.1)
    with pytest.raises(RateLimitedError):
        limiter.spend("a", 110.2)


def test_keys_do_not_share_and_a_refund_gives_one_back() -> None:
    limiter = RateLimiter("sign-in", per_minute=6, burst=1)
    limiter.spend("a", 0.0)
    limiter.spend("b", 0.0)
    limiter.refund("a", 0.0)
    limiter.spend("a", 0.0)
    with pytest.raises(RateLimitedError):
        limiter.spend("b", 0.0)


def test_s9_a_flood_of_keys_neither_grows_the_table_nor_frees_anybody() -> None:
    limiter = RateLimiter("sign-in", per_minute=1, burst=2, capacity=100)
    limiter.spend("victim", 0.0)
    limiter.spend("victim", 0.0)
    refused = 0
    for number in range(1000):
        try:
            limiter.spend(f"made-up {number}", 1.0)
        except RateLimitedError:
            refused += 1
    assert len(limiter) <= 100
    assert refused > 850
    with pytest.raises(RateLimitedError):
        limiter.spend("victim", 1.0)


def test_full_buckets_are_forgotten_when_room_is_needed() -> None:
    limiter = RateLimiter("sign-in", per_minute=60, burst=1, capacity=2)
    limiter.spend("a", 0.0)
    limiter.spend("b", 0.0)
    limiter.spend("c", 10.0)
    assert len(limiter) == 1


def test_time_that_goes_back_refills_nothing() -> None:
    limiter = RateLimiter("sign-in", per_minute=60, burst=1)
    limiter.spend("a", 100.0)
    with pytest.raises(RateLimitedError):
        limiter.spend("a", 50.0)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("not an address", "unknown"),
        ("", "unknown"),
    ],
)
def test_attempts_are_counted_by_what_one_host_owns(address: str, key: str) -> None:
    assert address_key(address) == key


def test_to_peek_counts_nothing() -> None:
    limiter = RateLimiter("sign-in", per_minute=60, burst=1)
    for _ in range(3):
        limiter.peek("a", 0.0)
    limiter.spend("a", 0.0)
    with pytest.raises(RateLimitedError):
        limiter.peek("a", 0.0)
    limiter.peek("a", 1.0)


def test_what_was_right_is_remembered_within_bounds() -> None:
    proven = Proven(capacity=2)
    for digest in ("a", "b", "a", "c"):
        proven.add(digest)
    assert [digest in proven for digest in "abc"] == [True, False, True]
    proven.discard("a")
    proven.discard("unknown")
    assert "a" not in proven
