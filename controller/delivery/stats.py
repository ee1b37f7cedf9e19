"""What a process has delivered to one sink, for its metrics."""

from dataclasses import dataclass


@dataclass(slots=True)
class SinkStats:
    """Since the process became the leader."""

    delivered: int = 0
    """Records taken, repetitions included."""
    failures: int = 0
    """Attempts in vain."""
    failing: bool = False
