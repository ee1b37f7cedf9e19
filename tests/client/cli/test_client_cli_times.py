"""Durations and points in time as people read and type them."""

import pytest

from client.cli.times import ago, for_how_long, parse_duration, span, unix_seconds, until

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("60s", 60),
        ("5m", 300),
        ("5min", 300),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("250ms", 0.25),
        ("1 h", 3600),
    ],
)
def test_parse_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5 parsecs", "-5s", "5m x"])
def test_parse_duration_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (0.4, "0 s"), (59, "59 s"), (200, "3 min"), (3570, "1 h"), (8 * 3600 - 2, "8 h"), (86_400, "1 day")],
)
def test_span(seconds: float, text: str) -> None:
    assert span(seconds) == text
    assert span(10 * 86_400) == "10 days"


def test_points_in_time_in_all_spellings() -> None:
    assert unix_seconds(NOW) == NOW
    assert unix_seconds(int(NOW * 1000)) == NOW
    assert unix_seconds("2027-01-15T08:00:00Z") == NOW
    assert unix_seconds("2027-01-15T08:00:00") == NOW
    nothing: tuple[object, ...] = (None, True, "yesterday", [])
    assert [unix_seconds(value) for value in nothing] == [None] * 4


def test_relative() -> None:
    assert for_how_long(NOW - 180, NOW) == " for 3 min"
    assert for_how_long(None, NOW) == ""
    assert ago(NOW - 180, NOW) == "3 min ago"
    assert ago(NOW, NOW) == "now"
    assert ago(None, NOW) == "-"
    assert until(NOW + 7200, NOW) == "in 2 h"
    assert until(NOW - 7200, NOW) == "2 h ago"
    assert until(None, NOW) == "-"
