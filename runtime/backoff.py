"""Exponential backoff with full jitter, so that a thousand agents do not return in one instant (T-18, F-6, F-7)."""

import random
from collections.abc import Callable
from typing import Final

INITIAL_S: Final = 0.25
CAP_S: Final = 5.0
"""Low on purpose: after an outage of any length everybody is back within this time (F-7)."""

_jitter = random.SystemRandom().random


class Backoff:
    """Yields pauses: uniformly between 0 and a ceiling that doubles from ``initial_s`` up to ``cap_s``."""

    def __init__(
        self, *, initial_s: float = INITIAL_S, cap_s: float = CAP_S, jitter: Callable[[], float] = _jitter
    ) -> None:
        self._initial_s = initial_s
        self._cap_s = cap_s
        self._jitter = jitter
        self.attempts = 0

    def next(self, *, at_least_s: float = 0.0) -> float:
        """Returns the next pause in seconds; never shorter than ``at_least_s`` (a server's retry hint)."""
        # The exponent is bounded so that a week of failures does not compute 2**100000.
        ceiling = min(self._cap_s, self._initial_s * 2.0 ** min(self.attempts, 32))
        self.attempts += 1
        return at_least_s + self._jitter() * ceiling

    def reset(self) -> None:
        """Starts over with the shortest pause; call it after a success that lasted."""
        self.attempts = 0
