"""Weekdays and hours in a named time zone: is it time, and when does that change next?

A window is made of local wall-clock minutes, so its length in seconds differs on the days when the clocks change. What holds
at a moment is decided by what a clock on a wall in that zone shows then: an hour that is shown twice counts twice, one that is
left out does not count at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

DAY_MIN: Final = 24 * 60
"""Minutes of a day on the wall."""
HORIZON_DAYS: Final = 15
"""Every weekly window shows within two weeks, also when one of them falls into an hour that is left out."""
_DAY_NAMES: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Window:
    """From minute ``start`` (0 to 1439) up to, not including, minute ``end`` (1 to 1440) of the local day.

    ``days`` are ISO weekdays (1 is Monday) on which it starts. When ``end`` is not after ``start`` it ends on the next day.
    """

    days: tuple[int, ...]
    start: int
    end: int

    def __str__(self) -> str:
        days = ",".join(_DAY_NAMES[day - 1] for day in self.days)
        return f"{days} {_clock(self.start)}-{_clock(self.end)}"


@dataclass(frozen=True, slots=True)
class Hours:
    """Open within any of the windows. ``zone`` is a name of the IANA time zone database (RFC 6557)."""

    zone: str
    windows: tuple[Window, ...]

    def __str__(self) -> str:
        return f"{'; '.join(str(window) for window in self.windows)} ({self.zone})"


@dataclass(frozen=True, slots=True)
class OpenState:
    """Whether it is time, and the next moment (Unix seconds) at which that changes; None: not within two weeks."""

    open: bool
    changes_at: int | None


def is_zone(name: str) -> bool:
    """Whether this host knows a time zone of that name."""
    return _zone(name) is not None


def state_of(hours: Hours, now: float) -> OpenState:
    """Tells whether ``now`` (Unix seconds) lies within ``hours``.

    A zone that this host does not know (its database is older than the admin's) is never open: deny by default.
    """
    return _state_in_minute(hours, int(now // 60))


@lru_cache(maxsize=1024)
def _state_in_minute(hours: Hours, minute: int) -> OpenState:
    """Windows begin and end, and offsets change, at whole minutes: thousands of devices share one answer."""
    zone = _zone(hours.zone)
    if zone is None:
        return OpenState(open=False, changes_at=None)
    start = minute * 60
    now_open = _shows(hours, datetime.fromtimestamp(start, zone))
    for moment in _candidates(hours, zone, start):
        if _shows(hours, datetime.fromtimestamp(moment, zone)) is not now_open:
            return OpenState(now_open, moment)
    return OpenState(now_open, None)


def _shows(hours: Hours, local: datetime) -> bool:
    minute, day = local.hour * 60 + local.minute, local.isoweekday()
    yesterday = 7 if day == 1 else day - 1
    for window in hours.windows:
        if window.start < window.end:
            if day in window.days and window.start <= minute < window.end:
                return True
        elif (day in window.days and minute >= window.start) or (yesterday in window.days and minute < window.end):
            return True
    return False


def _candidates(hours: Hours, zone: ZoneInfo, start: int) -> Iterator[int]:
    """The moments after ``start`` at which the answer can change, in order: edges of windows, and changes of the offset."""
    edges = {edge % DAY_MIN for window in hours.windows for edge in (window.start, window.end)}
    first = datetime.fromtimestamp(start, zone).date()
    shown = start
    for number in range(-1, HORIZON_DAYS):
        midnight = datetime.combine(first + timedelta(days=number), datetime.min.time())
        moments = set(_offset_changes(zone, midnight))
        for edge in edges:
            wall = midnight + timedelta(minutes=edge)
            # Twice for an hour that is shown twice; for one that is left out both are beside it and harmless.
            moments |= {int(wall.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (0, 1)}
        for moment in sorted(moments):
            if moment > shown:
                shown = moment
                yield moment


def _offset_changes(zone: ZoneInfo, midnight: datetime) -> Iterator[int]:
    """The moment within the local day at which the clocks change, found by halving; most days have none."""
    low = int(midnight.replace(tzinfo=zone).timestamp())
    high = int((midnight + timedelta(days=1)).replace(tzinfo=zone).timestamp())
    before, after = _offset(zone, low), _offset(zone, high)
    if before == after:
        return
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, middle) == before:
            low = middle
        else:
            high = middle
    yield high


def _offset(zone: ZoneInfo, moment: int) -> timedelta | None:
    return datetime.fromtimestamp(moment, UTC).astimezone(zone).utcoffset()


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # unknown; the name of a folder; malformed, or one that leaves the database
        return None


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
