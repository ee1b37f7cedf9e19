"""Time as an argument: shells ask a ``Clock``, cores are given ``now`` (style principle 2)."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks: ``monotonic`` for deadlines, ``wall`` (Unix seconds) only for what travels in tokens and records."""

    def monotonic(self) -> float:
        """Seconds that never jump."""
        ...

    def wall(self) -> float:
        """Unix seconds; may jump when somebody sets the clock."""
        ...


class SystemClock:
    """The host's clocks."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


class ManualClock:
    """A clock for tests that moves only when told."""

    def __init__(self, *, monotonic: float = 1000.0, wall: float = 1_800_000_000.0) -> None:
        self._monotonic = monotonic
        self._wall = wall

    def monotonic(self) -> float:
        return self._monotonic

    def wall(self) -> float:
        return self._wall

    def advance(self, seconds: float) -> None:
        """Moves both clocks forward."""
        if seconds < 0:
            raise ValueError("time does not go back; use jump_wall for a wrong wall clock")
        self._monotonic += seconds
        self._wall += seconds

    def jump_wall(self, seconds: float) -> None:
        """Sets the wall clock off, in either direction, as an administrator or NTP would."""
        self._wall += seconds
