"""Conditions and device facts to and from the JSON that is stored for ever (T-71).

Only what a policy asks for is written. Reading is strict: a member that this code does not know would be a condition that it
does not judge, so the log is then newer than this code.
"""

from collections.abc import Callable
from typing import Any, Final

from controller.domain.conditions import FACTS_MAX_AGE_DEFAULT_S, Conditions, SystemRule
from controller.domain.hours import Hours, Window
from protocol.device_facts import DeviceFacts

Json = Any


def conditions_to_json(conditions: Conditions) -> dict[str, Json]:
    """Returns what is asked for, by name."""
    body: dict[str, Json] = {
        name: getattr(conditions, name) for name in _PLAIN if getattr(conditions, name) not in (None, False, "")
    }
    body["facts_max_age_s"] = conditions.facts_max_age_s
    if conditions.systems:
        body["systems"] = [[rule.name, rule.min_version] for rule in conditions.systems]
    if conditions.sources:
        body["sources"] = list(conditions.sources)
    if conditions.hours is not None:
        windows = [[list(window.days), window.start, window.end] for window in conditions.hours.windows]
        body["hours"] = {"zone": conditions.hours.zone, "windows": windows}
    return body


def conditions_from_json(body: Json) -> Conditions:
    """Returns what was stored. Raises TypeError, ValueError or KeyError for what is damaged or unknown."""
    unknown = set(_mapping(body)) - _KNOWN
    if unknown:
        raise TypeError(f"unknown conditions {sorted(unknown)}")
    plain = {name: _exactly(body[name], kind) for name, kind in _PLAIN.items() if name in body}
    return Conditions(
        **plain,
        facts_max_age_s=_exactly(body.get("facts_max_age_s", FACTS_MAX_AGE_DEFAULT_S), int),
        systems=tuple(SystemRule(_exactly(name, str), _exactly(least, str)) for name, least in body.get("systems", ())),
        sources=tuple(_exactly(cidr, str) for cidr in body.get("sources", ())),
        hours=_hours(body["hours"]) if "hours" in body else None,
    )


def facts_to_json(facts: DeviceFacts) -> dict[str, Json]:
    """Returns all members."""
    return {name: getattr(facts, name) for name in _FACTS}


def facts_from_json(body: Json) -> DeviceFacts:
    """Returns what was stored. Raises TypeError or KeyError for what is damaged."""
    if set(_mapping(body)) != set(_FACTS):
        raise TypeError(f"device facts {sorted(body)}")
    return DeviceFacts(**{name: read(body[name]) for name, read in _FACTS.items()})


def _hours(body: Json) -> Hours:
    windows = tuple(
        Window(tuple(_exactly(day, int) for day in days), _exactly(start, int), _exactly(end, int))
        for days, start, end in body["windows"]
    )
    if len(body) != 2:
        raise TypeError("hours")
    return Hours(_exactly(body["zone"], str), windows)


def _mapping(body: Json) -> dict[str, Json]:
    if not isinstance(body, dict):
        raise TypeError(f"{body!r} is not an object")
    return body


def _exactly(value: Json, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is not {kind.__name__}")
    return value


def _text(value: Json) -> Any:
    return _exactly(value, str)


def _tristate(value: Json) -> Any:
    return None if value is None else _exactly(value, bool)


_PLAIN: Final[dict[str, type]] = {
    "sign_in_max_age_s": int,
    "mfa_max_age_s": int,
    "device_trusted": bool,
    "disk_encrypted": bool,
    "firewall": bool,
    "client_min_version": str,
}
_KNOWN: Final = frozenset({*_PLAIN, "facts_max_age_s", "systems", "sources", "hours"})
_FACTS: Final[dict[str, Callable[[Json], Any]]] = {
    "os": _text,
    "distribution": _text,
    "version": _text,
    "kernel": _text,
    "client": _text,
    "disk_encrypted": _tristate,
    "firewall": _tristate,
}
