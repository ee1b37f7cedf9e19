"""The checks of conditions and device facts: what comes out is canonical, bounded and can be met by somebody."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from controller.domain.conditions import Conditions, SystemRule, version_of
from controller.domain.hours import DAY_MIN, Hours, Window, is_zone
from controller.domain.rules import WORD_MAX, RuleBrokenError, printable, word
from protocol.acl.model import CidrPattern
from protocol.acl.names import parse_pattern
from protocol.errors import LocalError
from protocol.reasons import Reason

AGE_MIN_S: Final = 60
AGE_MAX_S: Final = 366 * 24 * 3600
FACTS_AGE_MIN_S: Final = 30 * 60
"""Clients repeat their report every quarter of an hour (``protocol.limits.FACTS_INTERVAL_S``)."""
LIST_MAX: Final = 64


def conditions(asked: Conditions) -> Conditions:
    """The same conditions in canonical form, so that equal ones are equal values."""
    if asked.empty:
        raise RuleBrokenError(Reason.INVALID_INPUT, "conditions: ask for at least one thing")
    _age(asked.sign_in_max_age_s, "conditions.sign_in_max_age_s")
    _age(asked.mfa_max_age_s, "conditions.mfa_max_age_s")
    _age(asked.facts_max_age_s, "conditions.facts_max_age_s", FACTS_AGE_MIN_S)
    return replace(
        asked,
        systems=_systems(asked.systems),
        client_min_version=_version(asked.client_min_version, "conditions.client_min_version"),
        sources=_sources(asked.sources),
        hours=None if asked.hours is None else _hours(asked.hours),
    )


def _age(seconds: int | None, field: str, least: int = AGE_MIN_S) -> None:
    if seconds is not None and not least <= seconds <= AGE_MAX_S:
        raise RuleBrokenError(Reason.INVALID_INPUT, f"{field}: {least} to {AGE_MAX_S} seconds")


def _systems(systems: tuple[SystemRule, ...]) -> tuple[SystemRule, ...]:
    field = "conditions.systems"
    _bounded(systems, field)
    if len({rule.name.lower() for rule in systems}) != len(systems):
        raise RuleBrokenError(Reason.INVALID_INPUT, f"{field}: each system once")
    return tuple(
        sorted(
            (SystemRule(word(rule.name, field).lower(), _version(rule.min_version, field)) for rule in systems),
            key=lambda rule: rule.name,
        )
    )


def _version(text: str, field: str) -> str:
    if text and version_of(word(text, field)) is None:
        raise RuleBrokenError(Reason.INVALID_INPUT, f"{field}: a version begins with a number, such as 12 or 6.1")
    return text


def _sources(sources: tuple[str, ...]) -> tuple[str, ...]:
    field = "conditions.sources"
    _bounded(sources, field)
    return tuple(sorted({_cidr(text, field) for text in sources}))


def _cidr(text: str, field: str) -> str:
    try:
        pattern = parse_pattern(text)
    except LocalError as exc:
        raise RuleBrokenError(Reason.INVALID_INPUT, f"{field}: {exc.detail}") from exc
    if not isinstance(pattern, CidrPattern):
        raise RuleBrokenError(Reason.INVALID_INPUT, f"{field}: {printable(text)} is no address range")
    return str(pattern)


def _hours(hours: Hours) -> Hours:
    if len(hours.zone) > WORD_MAX or not is_zone(hours.zone):
        detail = f"conditions.hours.zone: {printable(hours.zone)} is no time zone; one is Europe/Berlin, another is UTC"
        raise RuleBrokenError(Reason.INVALID_INPUT, detail)
    if not hours.windows:
        raise RuleBrokenError(Reason.INVALID_INPUT, "conditions.hours.windows: at least one")
    _bounded(hours.windows, "conditions.hours.windows")
    windows = {_window(window) for window in hours.windows}
    return Hours(hours.zone, tuple(sorted(windows, key=lambda window: (window.days, window.start, window.end))))


def _window(window: Window) -> Window:
    days = tuple(sorted(set(window.days)))
    if not days or not all(1 <= day <= 7 for day in days):
        raise RuleBrokenError(Reason.INVALID_INPUT, "conditions.hours.windows: weekdays from 1 (Monday) to 7")
    if not (0 <= window.start < DAY_MIN and 0 < window.end <= DAY_MIN) or window.start == window.end:
        detail = "conditions.hours.windows: from 00:00 to 23:59, until 00:01 to 24:00, and not the same"
        raise RuleBrokenError(Reason.INVALID_INPUT, detail)
    return Window(days, window.start, window.end)


def _bounded(items: Iterable[object], field: str) -> None:
    if len(tuple(items)) > LIST_MAX:
        raise RuleBrokenError(Reason.INVALID_INPUT, f"{field}: at most {LIST_MAX}")
