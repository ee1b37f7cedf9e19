"""Weekdays and hours as people type and read them: ``mon-fri 08:00-18:00``. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW: Final = re.compile(r"([a-z,-]+)\s+(\d{1,2}:\d{2})-(\d{1,2}:\d{2})\Z")


def parse_window(text: str) -> dict[str, Any]:
    """Returns the API's form of ``mon-fri 08:00-18:00``, ``sat,sun 10:00-24:00``, ``daily 22:00-06:00``. Raises ValueError."""
    match = _WINDOW.match(text.strip().lower())
    if match is None:
        raise ValueError(f"{text!r} is no such thing as 'mon-fri 08:00-18:00'")
    days = _DAYS if match[1] == "daily" else tuple(day for part in match[1].split(",") for day in _days(part, text))
    return {"days": [day for day in _DAYS if day in days], "start": match[2].zfill(5), "end": match[3].zfill(5)}


def _days(part: str, text: str) -> Sequence[str]:
    first, dash, last = part.partition("-")
    if first not in _DAYS or (dash and last not in _DAYS):
        raise ValueError(f"{text!r}: a day is one of {', '.join(_DAYS)}, or daily")
    begin, end = _DAYS.index(first), _DAYS.index(last or first)
    return _DAYS[begin : end + 1] if begin <= end else (*_DAYS[begin:], *_DAYS[: end + 1])


def say_window(window: Mapping[str, Any]) -> str:
    """Returns a window as ``parse_window`` takes it."""
    days = [day for day in _DAYS if day in window.get("days", ())]
    numbers = [_DAYS.index(day) for day in days]
    together = len(days) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1))
    said = "daily" if len(days) == 7 else f"{days[0]}-{days[-1]}" if together else ",".join(days)
    return f"{said} {window.get('start')}-{window.get('end')}"
