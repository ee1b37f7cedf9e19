"""Round-trip time by pings: when one is due, what an answer says, what is too often (T-39)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import RemoteProtocolError
from protocol.limits import MUX_PINGS_PER_SECOND
from protocol.mux.pinger import OUTSTANDING_MAX, RTT_INTERVAL_S, Pinger
from protocol.reasons import Reason


def sent(pinger: Pinger, now: float) -> int:
    opaque = pinger.ping(now)
    assert opaque is not None
    return opaque


def test_idle_session_never_pings() -> None:
    assert Pinger(5.0).deadline() is None


def test_traffic_makes_a_measurement_due_at_once_and_then_every_interval() -> None:
    pinger = Pinger(5.0)
    pinger.saw_traffic()
    assert pinger.deadline() == 5.0
    pinger.ponged(sent(pinger, 5.0), 5.1)
    assert pinger.deadline() is None, "nothing passed since"
    pinger.saw_traffic()
    assert pinger.deadline() == 5.0 + RTT_INTERVAL_S


def test_first_answer_is_the_round_trip_time_and_later_ones_move_it_by_an_eighth() -> None:
    pinger = Pinger(0.0)
    assert pinger.srtt is None
    assert pinger.ponged(sent(pinger, 0.0), 0.080) == pytest.approx(0.080)
    assert pinger.srtt == pytest.approx(0.080)
    assert pinger.ponged(sent(pinger, 1.0), 1.160) == pytest.approx(0.160)
    assert pinger.srtt == pytest.approx(0.090)


@given(st.lists(st.floats(0.0, 5.0), min_size=1, max_size=40))
def test_smoothed_time_stays_between_the_extremes(times: list[float]) -> None:
    pinger = Pinger(0.0)
    now = 0.0
    for rtt in times:
        opaque = sent(pinger, now)
        pinger.ponged(opaque, now + rtt)
        now += rtt + 1.0
    assert pinger.srtt is not None
    assert min(times) - 1e-6 <= pinger.srtt <= max(times) + 1e-6


def test_answers_may_come_in_any_order() -> None:
    pinger = Pinger(0.0)
    first, second = sent(pinger, 0.0), sent(pinger, 0.5)
    assert first != second
    assert pinger.ponged(second, 1.0) == 0.5
    assert pinger.ponged(first, 1.0) == 1.0


def test_clock_that_steps_back_gives_no_negative_time() -> None:
    pinger = Pinger(10.0)
    assert pinger.ponged(sent(pinger, 10.0), 9.0) == 0.0


def test_t39_unsolicited_and_repeated_answers_are_violations() -> None:
    pinger = Pinger(0.0)
    with pytest.raises(RemoteProtocolError, match="not sent"):
        pinger.ponged(1, 0.0)
    opaque = sent(pinger, 0.0)
    with pytest.raises(RemoteProtocolError):
        pinger.ponged(opaque ^ 0x80000000, 0.1)
    pinger.ponged(opaque, 0.1)
    with pytest.raises(RemoteProtocolError):
        pinger.ponged(opaque, 0.1)


def test_silent_peer_is_not_pinged_without_end() -> None:
    pinger = Pinger(0.0)
    values = [pinger.ping(float(second)) for second in range(OUTSTANDING_MAX)]
    assert None not in values
    assert len(set(values)) == OUTSTANDING_MAX
    assert pinger.ping(1000.0) is None
    assert values[0] is not None
    pinger.ponged(values[0], 1001.0)
    assert pinger.ping(1001.0) is not None


def test_owner_who_asks_all_the_time_stays_inside_the_peers_limit() -> None:
    ours, theirs = Pinger(0.0), Pinger(0.0)
    pings = 0
    for tick in range(1000):
        now = tick / 100
        opaque = ours.ping(now)
        if opaque is not None:
            pings += 1
            theirs.peer_pinged(now)
            ours.ponged(opaque, now)
    assert pings <= 10 * MUX_PINGS_PER_SECOND


def test_t39_peer_that_pings_too_often_is_cut_off() -> None:
    pinger = Pinger(0.0)
    for _ in range(MUX_PINGS_PER_SECOND):
        pinger.peer_pinged(0.0)
    with pytest.raises(RemoteProtocolError) as caught:
        pinger.peer_pinged(0.0)
    assert caught.value.reason is Reason.LIMIT_EXCEEDED
    for _ in range(MUX_PINGS_PER_SECOND):
        pinger.peer_pinged(2.0)
