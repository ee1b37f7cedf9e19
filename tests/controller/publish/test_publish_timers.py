"""Due moments."""

from controller.publish.timers import Timers
from protocol.ids import DeviceId

ONE, TWO = DeviceId("dev_one"), DeviceId("dev_two")


def test_moments_come_due_in_order_and_once() -> None:
    timers = Timers()
    timers.set(ONE, 20, now=0)
    timers.set(TWO, 10, now=0)
    assert timers.next() == 10
    assert timers.take_due(9.9) == []
    assert timers.take_due(20) == [(TWO, 10), (ONE, 20)]
    assert timers.take_due(99) == []
    assert timers.next() is None


def test_a_moment_is_moved_and_cleared() -> None:
    timers = Timers()
    timers.set(ONE, 20, now=0)
    timers.set(ONE, 5, now=0)
    timers.set(ONE, 5, now=0)
    timers.set(TWO, 7, now=0)
    timers.set(TWO, None, now=0)
    timers.set(TWO, None, now=0)
    assert timers.take_due(99) == [(ONE, 5)]
    timers.set(ONE, 20, now=0)
    assert timers.next() == 20


def test_a_moment_that_has_come_stays_until_it_is_taken() -> None:
    timers = Timers()
    timers.set(ONE, 20, now=0)
    assert timers.overdue(ONE, 19.9) is None
    for when in (None, 25, 40):
        timers.set(ONE, when, now=20)
        assert (timers.overdue(ONE, 20), timers.next()) == (20, 20)
    assert timers.take_due(30) == [(ONE, 20)]
    assert timers.overdue(ONE, 30) is None
    timers.set(ONE, 40, now=30)
    assert timers.take_due(40) == [(ONE, 40)]


def test_a_clock_that_was_set_back_moves_it_again() -> None:
    timers = Timers()
    timers.set(ONE, 20, now=0)
    timers.set(ONE, None, now=19)
    assert timers.take_due(30) == []
