"""Receive windows: credit, growth with the bandwidth-delay product, budgets."""

import heapq

import pytest

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import MUX_WINDOW_INITIAL, MUX_WINDOW_MAX, MUX_WINDOW_TOTAL
from protocol.mux.budget import TokenBucket, WindowBudget
from protocol.mux.window import ReceiveWindow


def take(window: ReceiveWindow, count: int) -> None:
    window.announce(count)
    window.held += count


def test_credit_is_advertised_when_a_quarter_is_consumed() -> None:
    window = ReceiveWindow(WindowBudget(), 0.0)
    take(window, MUX_WINDOW_INITIAL)
    quarter = MUX_WINDOW_INITIAL // 4
    assert window.consume(quarter - 1, 0.0, None) == 0
    assert window.left == 0
    assert window.consume(1, 0.0, None) == quarter
    assert window.left == quarter


def test_consuming_what_was_not_received_is_refused() -> None:
    window = ReceiveWindow(WindowBudget(), 0.0)
    take(window, 10)
    with pytest.raises(LocalProtocolError):
        window.consume(11, 0.0, None)
    with pytest.raises(LocalProtocolError):
        window.release(-1)


def test_t40_more_than_the_credit_is_a_violation() -> None:
    window = ReceiveWindow(WindowBudget(), 0.0)
    window.announce(MUX_WINDOW_INITIAL)
    with pytest.raises(RemoteProtocolError):
        window.announce(1)


def test_a_fast_reader_grows_and_a_slow_one_does_not() -> None:
    fast, slow = ReceiveWindow(WindowBudget(), 0.0), ReceiveWindow(WindowBudget(), 0.0)
    half = MUX_WINDOW_INITIAL // 2
    take(fast, half)
    take(slow, half)
    assert fast.consume(half, 0.19, 0.1) == half + MUX_WINDOW_INITIAL
    assert slow.consume(half, 0.21, 0.1) == half
    assert (fast.size, slow.size) == (2 * MUX_WINDOW_INITIAL, MUX_WINDOW_INITIAL)


def test_without_a_measured_rtt_nothing_grows() -> None:
    window = ReceiveWindow(WindowBudget(), 0.0)
    take(window, MUX_WINDOW_INITIAL)
    window.consume(MUX_WINDOW_INITIAL, 0.0, None)
    assert window.size == MUX_WINDOW_INITIAL


def test_growth_stops_at_the_cap_and_at_the_budget_and_is_given_back() -> None:
    budget = WindowBudget()
    windows = [ReceiveWindow(budget, 0.0) for _ in range(6)]
    for window in windows:
        for _ in range(8):
            size = window.left
            take(window, size)
            window.consume(size, 0.0, 1.0)
    assert [window.size for window in windows[:4]] == [MUX_WINDOW_MAX] * 4
    assert sum(window.size - MUX_WINDOW_INITIAL for window in windows) == MUX_WINDOW_TOTAL
    assert budget.left == 0
    for window in windows:
        window.close()
    assert budget.left == MUX_WINDOW_TOTAL


def throughput(window: ReceiveWindow, *, rtt: float, bandwidth: float, seconds: float) -> float:
    """A sender with endless data, a line of ``bandwidth`` bytes/s, a reader that takes all: bytes/s in the last quarter."""
    piece = 16 * 1024
    credit, line_free, late_bytes = MUX_WINDOW_INITIAL, 0.0, 0
    queue: list[tuple[float, int, str, int]] = []
    now, serial = 0.0, 0
    while now < seconds:
        while credit >= piece and line_free <= now + rtt:
            credit -= piece
            line_free = max(line_free, now) + piece / bandwidth
            serial += 1
            heapq.heappush(queue, (line_free + rtt / 2, serial, "data", piece))
        now, _, what, size = heapq.heappop(queue)
        if what == "data":
            take(window, size)
            late_bytes += size if now > seconds * 0.75 else 0
            granted = window.consume(size, now, rtt)
            if granted:
                serial += 1
                heapq.heappush(queue, (now + rtt / 2, serial, "credit", granted))
        else:
            credit += size
    return late_bytes / (seconds * 0.25)


def test_growth_reaches_the_bandwidth_delay_product_and_does_not_block_itself() -> None:
    # 400 Mbit/s at 100 ms need 5 MB; the initial window alone gives 2.6 MB/s.
    window = ReceiveWindow(WindowBudget(), 0.0)
    assert throughput(window, rtt=0.1, bandwidth=50e6, seconds=6.0) > 0.95 * 50e6
    assert 5_000_000 < window.size <= MUX_WINDOW_MAX


def test_a_slow_line_keeps_its_small_window() -> None:
    window = ReceiveWindow(WindowBudget(), 0.0)
    assert throughput(window, rtt=0.02, bandwidth=1e6, seconds=4.0) > 0.9e6
    assert window.size == MUX_WINDOW_INITIAL


def test_token_bucket_refills_and_goes_into_debt() -> None:
    bucket = TokenBucket(rate=10, burst=2, now=0.0)
    assert [bucket.take(0.0) for _ in range(3)] == [True, True, False]
    assert bucket.take(0.1)
    bucket.charge()
    bucket.charge()
    assert not bucket.take(0.25)
    assert bucket.take(0.45)
    assert [bucket.take(9.0) for _ in range(3)] == [True, True, False]
    assert not bucket.holds(8.0)
