"""How many failures of strangers are written into a log one by one (T-9, D10). One per process and kind.

Every failure leaves a trace, yet a flood of them cannot fill the log for ever: beyond a rate they are only counted, and
the count is written with the next one that is admitted.
"""

from typing import Final

from controller.identity.rate_limit import RateLimitedError, RateLimiter

PER_MINUTE: Final = 10
BURST: Final = 200


class FailureLog:
    """Tells what to write of a failure."""

    def __init__(self) -> None:
        self._limiter = RateLimiter("failures in the log", per_minute=PER_MINUTE, burst=BURST, capacity=1)
        self._omitted = 0

    def admit(self, now: float) -> bool:
        """Whether this failure is written; otherwise it is counted."""
        try:
            self._limiter.spend("", now)
        except RateLimitedError:
            self._omitted += 1
            return False
        return True

    def take_omitted(self) -> int:
        """Returns how many were only counted since the last call; they are the caller's to write."""
        omitted, self._omitted = self._omitted, 0
        return omitted

    def keep(self, count: int) -> None:
        """Counts failures that could not be written: they are written with a later one."""
        self._omitted += count
