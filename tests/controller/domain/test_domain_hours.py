"""Weekdays and hours, compared with a slow reference minute by minute, also where the clocks change."""

from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from controller.domain.hours import HORIZON_DAYS, Hours, OpenState, Window, is_zone, state_of

WORKDAYS = (1, 2, 3, 4, 5)
OFFICE = Hours("Europe/Berlin", (Window(WORKDAYS, 8 * 60, 18 * 60),))
WEEK_MIN = 7 * 24 * 60


def at(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


@cache
def minutes_of_week(hours: Hours) -> frozenset[int]:
    """Every minute of a week on the wall, from Monday 00:00, at which it is open."""
    found = set()
    for window in hours.windows:
        length = (window.end - window.start) % (24 * 60) or 24 * 60
        for day in window.days:
            first = (day - 1) * 24 * 60 + window.start
            found |= {(first + number) % WEEK_MIN for number in range(length)}
    return frozenset(found)


def reference(hours: Hours, moment: int) -> bool:
    local = datetime.fromtimestamp(moment, ZoneInfo(hours.zone))
    return (local.isoweekday() - 1) * 24 * 60 + local.hour * 60 + local.minute in minutes_of_week(hours)


def next_by_reference(hours: Hours, now: int, most_days: int) -> int | None:
    first = reference(hours, now)
    minute = now // 60 * 60 + 60
    while minute < now + most_days * 86_400:
        if reference(hours, minute) is not first:
            return minute
        minute += 60
    return None


MINUTES = st.integers(0, 1439)
WINDOWS = (
    st.tuples(
        st.lists(st.integers(1, 7), min_size=1, max_size=7, unique=True).map(tuple), MINUTES, st.integers(1, 1440)
    )
    .filter(lambda item: item[1] != item[2] % 1440)
    .map(lambda item: Window(*item))
)
# Berlin and New York change by an hour at night, Lord Howe by half of one; Cairo, Beirut and Havana at midnight; Apia once left
# out a day; Kathmandu is 5:45 ahead; Casablanca changes around Ramadan.
ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Africa/Cairo",
        "Asia/Beirut",
        "America/Havana",
        "America/Sao_Paulo",
        "Pacific/Apia",
        "Asia/Kathmandu",
        "Africa/Casablanca",
    ]
)
STARTS = st.one_of(
    st.integers(at("2015-01-01"), at("2030-01-01")),
    # Around changes of the clocks.
    st.sampled_from(
        [
            at("2026-03-29"),
            at("2026-10-25"),
            at("2026-03-08"),
            at("2026-11-01"),
            at("2018-11-04"),
            at("2023-04-28"),
            at("2023-10-26"),
            at("2024-03-31"),
            at("2011-12-29"),
        ]
    ).flatmap(lambda moment: st.integers(moment - 86_400, moment + 86_400)),
)


@settings(max_examples=60, deadline=None)
@given(st.builds(Hours, ZONES, st.lists(WINDOWS, min_size=1, max_size=3).map(tuple)), STARTS)
@example(Hours("Europe/Berlin", (Window((7,), 150, 165),)), at("2026-03-28T12:00:00"))
@example(Hours("Europe/Berlin", (Window((7,), 150, 165),)), at("2026-10-25T00:20:00"))
@example(Hours("Africa/Cairo", (Window((4, 5), 0, 30),)), at("2023-04-27T12:00:00"))
@example(Hours("Asia/Beirut", (Window((6, 7), 23 * 60 + 30, 15),)), at("2023-10-28T12:00:00"))
@example(Hours("UTC", (Window((1, 2, 3, 4, 5, 6, 7), 0, 1440),)), at("2026-01-01"))
def test_state_and_next_change_agree_with_a_slow_reference(hours: Hours, now: int) -> None:
    said = state_of(hours, now)
    assert said.open is reference(hours, now)
    expected = next_by_reference(hours, now, HORIZON_DAYS - 2)
    if expected is not None:
        assert said.changes_at == expected
    else:
        assert said.changes_at is None or said.changes_at > now + (HORIZON_DAYS - 2) * 86_400


@pytest.mark.parametrize("week", ["2026-01-05", "2026-03-23", "2026-10-19"])
def test_a_week_of_minutes(week: str) -> None:
    hours = Hours(
        "Europe/Berlin", (Window(WORKDAYS, 8 * 60, 18 * 60), Window((6,), 22 * 60, 6 * 60), Window((7,), 150, 210))
    )
    monday = at(week, "Europe/Berlin")
    for minute in range(WEEK_MIN):
        moment = monday + minute * 60
        assert state_of(hours, moment + 59.5).open is reference(hours, moment)


def test_the_edges_of_a_working_day() -> None:
    assert state_of(OFFICE, at("2026-06-01T05:59:59")) == OpenState(open=False, changes_at=at("2026-06-01T06:00:00"))
    assert state_of(OFFICE, at("2026-06-01T06:00:00")) == OpenState(open=True, changes_at=at("2026-06-01T16:00:00"))
    friday_evening, monday = at("2026-06-05T16:00:00"), at("2026-06-08T06:00:00")
    assert state_of(OFFICE, friday_evening) == OpenState(open=False, changes_at=monday)


def test_an_hour_that_shows_twice_counts_twice_and_one_left_out_does_not_count() -> None:
    night = Hours("Europe/Berlin", (Window((7,), 2 * 60, 3 * 60),))
    assert state_of(night, at("2026-10-25T00:00:00")).changes_at == at("2026-10-25T02:00:00")
    before = state_of(night, at("2026-03-29T00:00:00"))
    assert before == OpenState(open=False, changes_at=at("2026-04-05T00:00:00"))


def test_always_open_never_changes() -> None:
    always = Hours("Europe/Berlin", (Window((1, 2, 3, 4, 5, 6, 7), 0, 1440),))
    assert state_of(always, datetime(2026, 3, 29, tzinfo=UTC).timestamp()) == OpenState(open=True, changes_at=None)


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "Europe", "a\0b", "Ü"])
def test_an_unknown_zone_is_never_open(zone: str) -> None:
    assert not is_zone(zone)
    hours = Hours(zone, (Window((1, 2, 3, 4, 5, 6, 7), 0, 1440),))
    assert state_of(hours, at("2026-06-01")) == OpenState(open=False, changes_at=None)


def test_hours_are_readable() -> None:
    assert str(OFFICE) == "Mon,Tue,Wed,Thu,Fri 08:00-18:00 (Europe/Berlin)"
