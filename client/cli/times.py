"""Points in time and durations as people read them and type them. Pure: ``now`` is an argument.

The daemon says Unix seconds, the controller RFC 3339; both are understood.
"""

import re
from typing import Final

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|w)")
_MILLISECONDS_FROM: Final = 1e11
"""Greater numbers are Unix milliseconds: as seconds they would lie beyond the year 5000."""


def parse_duration(text: str) -> float:
    """Returns the seconds in ``90``, ``60s``, ``5m``, ``1h30m``, ``8h``, ``2d``. Raises ValueError."""
    text = text.strip().lower()
    if re.fullmatch(r"\d+(?:\.\d+)?", text):
        return float(text)
    position, total = 0, 0.0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None:
            raise ValueError(f"{text!r} is not a duration; write for example 30s, 5m or 8h")
        total += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if not text:
        raise ValueError("a duration is wanted, for example 30s, 5m or 8h")
    return total


def unix_seconds(value: object) -> float | None:
    """Returns a point in time as Unix seconds; None when ``value`` is none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return value / 1000 if value > _MILLISECONDS_FROM else float(value)
    if not isinstance(value, str):
        return None
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def span(seconds: float) -> str:
    """Returns a duration in one unit, rounded: ``12 s``, ``3 min``, ``5 h``, ``2 days``."""
    seconds = round(max(seconds, 0.0))
    if seconds < 60:
        return f"{seconds} s"
    if (minutes := round(seconds / 60)) < 60:
        return f"{minutes} min"
    if (hours := round(seconds / 3600)) < 24:
        return f"{hours} h"
    days = round(seconds / 86_400)
    return f"{days} day" if days == 1 else f"{days} days"


def for_how_long(value: object, now: float) -> str:
    """Returns `` for 3 min`` since the point in time ``value``; empty when it is none."""
    moment = unix_seconds(value)
    return "" if moment is None else f" for {span(now - moment)}"


def ago(value: object, now: float) -> str:
    """Returns ``3 min ago``; ``-`` when ``value`` is no point in time."""
    moment = unix_seconds(value)
    if moment is None:
        return "-"
    return "now" if abs(now - moment) < 1 else f"{span(now - moment)} ago"


def until(value: object, now: float) -> str:
    """Returns ``in 5 h`` or ``3 min ago``; ``-`` when ``value`` is no point in time."""
    moment = unix_seconds(value)
    if moment is None:
        return "-"
    return f"in {span(moment - now)}" if moment > now else f"{span(now - moment)} ago"
