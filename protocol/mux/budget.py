"""What a peer may make a session spend: window memory, and events per second (T-39, T-40)."""

from typing import Final

from protocol.errors import RemoteProtocolError
from protocol.limits import (
    MUX_OPENS_BURST,
    MUX_OPENS_PER_SECOND,
    MUX_RESETS_BURST,
    MUX_RESETS_PER_SECOND,
    MUX_WINDOW_TOTAL,
)
from protocol.reasons import Reason

BUFFERED_MAX: Final = 2 * MUX_WINDOW_TOTAL
"""Received and not consumed, all streams of a session together. yamux gives every new stream 256 KiB, so that the windows
alone would permit gigabytes; above this the stream that holds most is reset (T-40)."""
CONTROL_FRAMES_MAX: Final = 65_536
"""Control frames waiting to leave; a peer that makes us answer and does not read exceeds it."""
RAPID_RESET_S: Final = 1.0
"""A reset counts as *rapid* if the stream is younger than this or was never accepted. Resets of older streams are paid
for by the opens; counting them would punish a mass reset after a policy change."""
_OWN_RATE: Final = 0.9
_OWN_BURST: Final = 0.5
"""Our own use of the peer's buckets stays this far below them, so that bunching on the way cannot overdraw them."""


class WindowBudget:
    """What all receive windows of a session may grow beyond their initial size, in bytes."""

    __slots__ = ("left",)

    def __init__(self, total: int = MUX_WINDOW_TOTAL) -> None:
        self.left = total

    def take(self, wanted: int) -> int:
        """Takes up to ``wanted`` bytes and returns how many it got."""
        granted = min(wanted, self.left)
        self.left -= granted
        return granted

    def release(self, size: int) -> None:
        """Gives ``size`` bytes back."""
        self.left += size


class TokenBucket:
    """``rate`` events per second on average and ``burst`` at once. It may be charged into debt."""

    __slots__ = ("_burst", "_rate", "_seen", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._seen = now

    def holds(self, now: float) -> bool:
        """Tells whether there is a token."""
        if now > self._seen:
            self._tokens = min(self._burst, self._tokens + (now - self._seen) * self._rate)
            self._seen = now
        return self._tokens >= 1

    def charge(self) -> None:
        """Takes a token, or goes into debt."""
        self._tokens -= 1

    def take(self, now: float) -> bool:
        """Takes a token if there is one."""
        if not self.holds(now):
            return False
        self.charge()
        return True


class FloodGuard:
    """Counts opens and rapid resets per second, whichever side resets (T-39: CVE-2023-44487, CVE-2025-8671)."""

    def __init__(self, now: float) -> None:
        self._peer_opens = TokenBucket(MUX_OPENS_PER_SECOND, MUX_OPENS_BURST, now)
        self._peer_resets = TokenBucket(MUX_RESETS_PER_SECOND, MUX_RESETS_BURST, now)
        self._own_opens = TokenBucket(MUX_OPENS_PER_SECOND * _OWN_RATE, MUX_OPENS_BURST * _OWN_BURST, now)
        self._own_resets = TokenBucket(MUX_RESETS_PER_SECOND * _OWN_RATE, MUX_RESETS_BURST * _OWN_BURST, now)

    def peer_opens(self, now: float) -> None:
        """Counts an open by the peer. Raises RemoteProtocolError (LIMIT_EXCEEDED) if either budget is used up."""
        if not self._peer_opens.take(now):
            raise RemoteProtocolError("too many streams opened per second", Reason.LIMIT_EXCEEDED)
        if not self._peer_resets.holds(now):
            raise RemoteProtocolError("too many streams reset per second", Reason.LIMIT_EXCEEDED)

    def stream_reset(self, *, own: bool, accepted: bool, opened_at: float, now: float) -> None:
        """Counts a reset, by either side, of a stream that we (``own``) or the peer opened."""
        if not accepted or now - opened_at < RAPID_RESET_S:
            (self._own_resets if own else self._peer_resets).charge()

    def may_open(self, now: float) -> bool:
        """Tells whether one more open of ours stays inside the peer's budgets."""
        return self._own_opens.holds(now) and self._own_resets.holds(now)

    def opened(self) -> None:
        """Counts an open of ours."""
        self._own_opens.charge()
