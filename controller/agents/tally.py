"""What the agents' endpoint counts, for its metrics: plain numbers, read when somebody asks."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Of one process, since its start."""

    records_stored: int = 0
    """Records that were accepted, resent ones included."""
    records_skipped: int = 0
    """Records left out because their device is unknown or not, or no more, the named user's, or they cannot be true."""
    records_put_off: int = 0
    """Records of clients that reported too many; they are not acknowledged, and come again."""
    ends_unknown: int = 0
    """Open connections closed although nobody reported their end."""
    digests_wrong: int = 0
    """Acknowledgements of something else than what was sent (T-17)."""
    refused: Counter[str] = field(default_factory=Counter)
    """Agents turned away at the upgrade, by reason code."""
