"""Settings that count at once and stay: ``ostiary set`` and ``ostiary get``.

What is chosen at start (addresses, mode, files) is in the configuration file and needs a restart; these do not. They win over
the configuration file, and are kept in the state directory.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from client.daemon.verbs import Verb
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.files import StateDir
from runtime.status_socket import Emit, Peer

FILE: Final = "preferences.json"
OFF: Final = "off"
EVERY_MIN_S: Final = 15.0
EVERY_MAX_S: Final = 3600.0
_EVERY: Final = re.compile(r"(\d{1,5})(s|m|h)")
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class Preference:
    """One setting. ``apply`` takes a checked value; ``check`` raises ValueError saying what is wanted."""

    default: str
    help: str
    check: Callable[[str], object]
    apply: Callable[[str], None]


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
        """What of it is in force."""

    def load(self) -> None:
        """Takes up what was set. What this version does not know, or finds wrong, is left alone. LocalError(STATE_CORRUPT)."""
        self._stored = self._state.read_json(FILE) or {}
        self._set = {}
        for name, value in self._stored.items():
            preference = self._known.get(name)
            if preference is None or not isinstance(value, str):
                continue
            try:
                preference.check(value)
            except ValueError:
                continue
            self._set[name] = value
            preference.apply(value)

    def shown(self) -> list[dict[str, Any]]:
        """As ``get`` has it."""
        return [
            {
                "key": name,
                "value": self._set.get(name, preference.default),
                "default": preference.default,
                "set": name in self._set,
                "help": preference.help,
            }
            for name, preference in sorted(self._known.items())
        ]

    def set(self, name: str, value: str) -> None:
        """Sets one, at once and for good; the word ``default`` takes it back. Raises LocalError(INVALID_INPUT)."""
        preference = self._known.get(name)
        if preference is None:
            raise LocalError(
                Reason.INVALID_INPUT,
                f"{name[:64]!r} cannot be set while the daemon runs (that can: {', '.join(sorted(self._known))}); "
                "others are in /etc/ostiary/client.toml",
            )
        stored, wanted = {**self._stored, name: value}, {**self._set, name: value}
        if value == "default":
            del stored[name], wanted[name]
            value = preference.default
        try:
            preference.check(value)
        except ValueError as exc:
            raise LocalError(Reason.INVALID_INPUT, f"{name}: {exc}") from exc
        self._state.write_json(FILE, stored)
        self._stored, self._set = stored, wanted
        preference.apply(value)

    def verbs(self) -> dict[str, Verb]:
        """Returns the control socket's verbs ``get`` and ``set``."""

        async def get(_args: Mapping[str, Any], _peer: Peer, _emit: Emit) -> Mapping[str, Any]:
            return {"settings": self.shown()}

        async def put(args: Mapping[str, Any], _peer: Peer, _emit: Emit) -> Mapping[str, Any]:
            name, value = args.get("key"), args.get("value")
            if not isinstance(name, str) or not isinstance(value, str):
                raise LocalError(Reason.INVALID_INPUT, "key and value are texts")
            self.set(name, value)
            return {"settings": self.shown()}

        return {"get": get, "set": put}


def parse_every(text: str) -> float | None:
    """Returns the seconds in ``30s``, ``5m`` or ``1h``, None for ``off``. Raises ValueError."""
    if text == OFF:
        return None
    match = _EVERY.fullmatch(text)
    seconds = float(match[1]) * _UNITS[match[2]] if match is not None else 0.0
    if not EVERY_MIN_S <= seconds <= EVERY_MAX_S:
        raise ValueError("off, or a time between 15s and 1h, is wanted")
    return seconds


def one_of(*words: str) -> Callable[[str], None]:
    """Returns a check for a choice."""

    def check(text: str) -> None:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)} is wanted")

    return check
