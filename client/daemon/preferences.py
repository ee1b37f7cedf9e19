"""Settings that are made while the daemon runs: ``ostiary set`` and ``ostiary get``.

They win over the configuration file, and are kept in the state directory. Most count at once; those that shape what is made at
start (``apply`` is None) count from the next one, and say so. Nothing here may keep the daemon from starting: ``set`` would not
be there to mend it.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from client.daemon.access_control import may_change_trust
from client.daemon.verbs import Verb
from protocol.errors import LocalError, OstiaryError
from protocol.reasons import Reason
from runtime.files import StateDir
from runtime.status_socket import Emit, Peer

FILE: Final = "preferences.json"
ON: Final = "on"
OFF: Final = "off"
EVERY_MIN_S: Final = 15.0
EVERY_MAX_S: Final = 3600.0
_TIME: Final = re.compile(r"(\d{1,5})(s|m|h)")
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}

_log = structlog.get_logger(__name__)


def _nobody(_value: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Preference:
    """One setting.

    Attributes:
        default: what counts while nothing is set: the configuration file's value, which may be one that ``check`` refuses.
        help: one sentence for people.
        check: raises ValueError saying what is wanted.
        apply: takes a checked value, now and when the daemon starts, or the default; None: it counts from the next start on.
        needs_root: whether setting this value is for root alone.
    """

    default: str
    help: str
    check: Callable[[str], object]
    apply: Callable[[str], Awaitable[None] | None] | None = field(default=None)
    needs_root: Callable[[str], bool] = field(default=_nobody)


class Preferences:
    """All of them.

    Args:
        state: where they are kept.
        known: by name.
    """

    def __init__(self, state: StateDir, known: Mapping[str, Preference]) -> None:
        self._state = state
        self._known = known
        self._stored: dict[str, object] = {}
        self._set: dict[str, str] = {}
        """What of it is in force, or will be after a restart."""
        self._lock = asyncio.Lock()
        self._began: dict[str, str] = {}
        """What was set when the daemon started."""

    async def load(self) -> None:
        """Takes up what was set. What this version does not know, or finds wrong, is left alone. LocalError(STATE_CORRUPT)."""
        self._stored = self._state.read_json(FILE) or {}
        self._set = {}
        for name, value in self._stored.items():
            preference = self._known.get(name)
            if preference is None or not _is_valid(preference, value):
                continue
            try:
                await _apply(preference, str(value))
            except OstiaryError as error:
                _log.error("setting.not_applied", key=name, reason=error.reason.code, detail=error.detail)
                continue
            self._set[name] = str(value)
        self._began = dict(self._set)

    def shown(self) -> list[dict[str, Any]]:
        """As ``get`` has it. ``restart_needed``: what is set counts only from the next start on."""
        return [
            {
                "key": name,
                "value": self._set.get(name, preference.default),
                "default": preference.default,
                "set": name in self._set,
                "restart_needed": preference.apply is None
                and self._set.get(name, preference.default) != self._began.get(name, preference.default),
                "help": preference.help,
            }
            for name, preference in sorted(self._known.items())
        ]

    async def set(self, name: str, value: str, *, root: bool = True) -> None:
        """Sets one for good; the word ``default`` takes it back.

        Args:
            name: of the setting.
            value: as typed.
            root: whether whoever asks may set what is root's.

        Raises:
            LocalError: INVALID_INPUT, NEEDS_ROOT; what the daemon meets when it applies it. Nothing is changed then.
        """
        preference = self._known.get(name)
        if preference is None:
            raise LocalError(
                Reason.INVALID_INPUT,
                f"{name[:64]!r} cannot be set while the daemon runs (that can: {', '.join(sorted(self._known))}); "
                "others are in /etc/ostiary/client.toml",
            )
        taken_back, value = value == "default", preference.default if value == "default" else value
        try:
            if not taken_back:
                preference.check(value)
        except ValueError as exc:
            raise LocalError(Reason.INVALID_INPUT, f"{name}: {exc}") from exc
        if preference.needs_root(value) and not root:
            raise LocalError(Reason.NEEDS_ROOT, f"{name}={value[:64]} is for root to set")
        async with self._lock:
            before, in_force = self._stored, self._set
            stored, wanted = {**before, name: value}, {**in_force, name: value}
            if taken_back:
                del stored[name], wanted[name]
            self._state.write_json(FILE, stored)
            try:
                await _apply(preference, value)
            except OstiaryError:
                self._state.write_json(FILE, before)
                raise
            self._stored, self._set = stored, wanted

    def verbs(self) -> dict[str, Verb]:
        """Returns the control socket's verbs ``get`` and ``set``."""

        async def get(_args: Mapping[str, Any], _peer: Peer, _emit: Emit) -> Mapping[str, Any]:
            return {"settings": self.shown()}

        async def put(args: Mapping[str, Any], peer: Peer, _emit: Emit) -> Mapping[str, Any]:
            name, value = args.get("key"), args.get("value")
            if not isinstance(name, str) or not isinstance(value, str):
                raise LocalError(Reason.INVALID_INPUT, "key and value are texts")
            await self.set(name, value, root=may_change_trust(peer))
            _log.info("setting.changed", key=name, value=value, uid=peer.uid)
            return {"settings": self.shown()}

        return {"get": get, "set": put}


def stored(state: StateDir, known: Mapping[str, Callable[[str], object]]) -> dict[str, str]:
    """Returns what was set of ``known`` (names and their checks) and is valid. Raises LocalError(STATE_CORRUPT)."""
    found: dict[str, str] = {}
    for name, value in (state.read_json(FILE) or {}).items():
        if name in known and isinstance(value, str):
            try:
                known[name](value)
            except ValueError:
                continue
            found[name] = value
    return found


def _is_valid(preference: Preference, value: object) -> bool:
    try:
        if isinstance(value, str):
            preference.check(value)
            return True
    except ValueError:
        pass
    return False


async def _apply(preference: Preference, value: str) -> None:
    if preference.apply is not None:
        waiting = preference.apply(value)
        if waiting is not None:
            await waiting


def parse_time(text: str, least_s: float, most_s: float) -> float:
    """Returns the seconds in ``30s``, ``5m`` or ``1h``. Raises ValueError."""
    match = _TIME.fullmatch(text)
    seconds = float(match[1]) * _UNITS[match[2]] if match is not None else 0.0
    if not least_s <= seconds <= most_s:
        raise ValueError(f"a time between {show_time(least_s)} and {show_time(most_s)} is wanted")
    return seconds


def show_time(seconds: float) -> str:
    """Returns seconds as ``parse_time`` takes them."""
    for unit in ("h", "m"):
        if seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:g}{unit}"
    return f"{seconds:g}s"


def parse_every(text: str) -> float | None:
    """Returns the seconds in ``30s``, ``5m`` or ``1h``, None for ``off``. Raises ValueError."""
    try:
        return None if text == OFF else parse_time(text, EVERY_MIN_S, EVERY_MAX_S)
    except ValueError as exc:
        raise ValueError(f"off, or {exc}") from exc


def one_of(*words: str) -> Callable[[str], None]:
    """Returns a check for a choice."""

    def check(text: str) -> None:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)} is wanted")

    return check
