"""Due moments."""

from controller.publish.timers import Timers
from protocol.ids import DeviceId

ONE, TWO = DeviceId("dev_one"), DeviceId("dev_two")


def test_moments_come_due_in_order_and_once() -> None:
    timers = Timers()
    timers.set(ONE, 20)
    timers.set(TWO, 10)
    assert timers.next() == 10
    assert timers.take_due(9.9) == []
    assert timers.take_due(20) == [(TWO, 10), (ONE, 20)]
    assert timers.take_due(99) == []
    assert timers.next() is None


def test_a_moment_is_moved_and_cleared() -> None:
    timers = Timers()
    timers.set(ONE, 20)
    timers.set(ONE, 5)
    timers.set(ONE, 5)
    timers.set(TWO, 7)
    timers.set(TWO, None)
    timers.set(TWO, None)
    assert timers.take_due(99) == [(ONE, 5)]
    timers.set(ONE, 20)
    assert timers.next() == 20
