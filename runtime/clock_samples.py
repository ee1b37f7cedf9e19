"""The offset of a peer's clock, from what its answers say (NTP's simplest form): of the last samples the one with the shortest
round trip is the best. Pure."""

from collections import deque
from typing import Final

from protocol.limits import HEARTBEAT_INTERVAL_S

OFFSET_SAMPLES: Final = 8
SAMPLE_KEEP_S: Final = OFFSET_SAMPLES * HEARTBEAT_INTERVAL_S
"""Older samples do not count, however seldom new ones come: a clock may have been set since."""


class ClockSamples:
    """At most OFFSET_SAMPLES of them, none older than SAMPLE_KEEP_S."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float, float]] = deque(maxlen=OFFSET_SAMPLES)

    def add(self, rtt_ms: float, offset_ms: float, now: float) -> tuple[float, float]:
        """Takes a sample at ``now`` (monotonic seconds) and returns round trip and offset of the best one."""
        while self._samples and now - self._samples[0][2] > SAMPLE_KEEP_S:
            self._samples.popleft()
        self._samples.append((rtt_ms, offset_ms, now))
        best_rtt_ms, best_offset_ms, _ = min(self._samples)
        return best_rtt_ms, best_offset_ms

    def clear(self) -> None:
        """Another connection, perhaps another network."""
        self._samples.clear()
