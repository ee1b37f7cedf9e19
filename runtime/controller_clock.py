"""What time it is for the controller, whose tokens are judged by it (F-13: a host's own clock is often wrong, and is set)."""

import math
import time
from collections.abc import Callable
from typing import Final

from protocol.limits import HEARTBEAT_SLOWEST_S
from runtime.clock import Clock
from runtime.clock_samples import SAMPLE_KEEP_S

SET_CLOCK_S: Final = 1.0
"""The wall clock moved by more than this against the counter: somebody has set it."""
SAMPLES_OUTDATED_S: Final = SAMPLE_KEEP_S + 2 * HEARTBEAT_SLOWEST_S
"""Then the link has measured everything again."""


def boot_seconds() -> float:
    """Returns seconds that nobody sets, and that go on while the host sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ControllerClock:
    """The controller's idea of Unix time, counted on by a clock of ours that nobody sets (F-13).

    Args:
        base: this host's clocks; its wall clock is believed until a controller has been heard.
        counter: seconds that never jump and that go on while the host sleeps.
    """

    def __init__(self, base: Clock, counter: Callable[[], float] | None = None) -> None:
        self.base = base
        self.counter = counter or base.monotonic
        self._anchor: float | None = None
        self._drift = self._measure_drift()
        self._distrust_until = -math.inf

    def monotonic(self) -> float:
        """See runtime.clock.Clock."""
        return self.base.monotonic()

    def wall(self) -> float:
        """See runtime.clock.Clock."""
        return self.base.wall() if self._anchor is None else self._anchor + self.counter()

    def learn(self, offset_s: float, *, fresh: bool) -> None:
        """Takes a measured offset of the controller's clock against this host's wall clock.

        For a while after somebody has set the wall clock, measurements may still be of the old time; only a ``fresh`` one,
        made right after connecting, counts then.
        """
        drift, before = self._measure_drift(), self._drift
        self._drift = drift
        if abs(drift - before) > SET_CLOCK_S:
            self._distrust_until = self.counter() + SAMPLES_OUTDATED_S
        if fresh or self.counter() >= self._distrust_until:
            self._anchor = drift + offset_s

    def _measure_drift(self) -> float:
        return self.base.wall() - self.counter()
