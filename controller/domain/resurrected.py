"""What a restored backup brings back to life: access that was taken away after it was made (F-26). Pure.

``later`` is the policy as somebody else kept it, folded from an export that continues the backup. What it has lost against
the restored state must be taken away again by hand: nobody may lose the power to say no, and no machine decides it anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.domain.state import PolicyState


@dataclass(frozen=True, slots=True)
class Trace:
    """The last event of a stream after the backup."""

    position: int
    type: str
    actor: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Resurrection:
    """``kind`` and ``id`` of what lives again; ``what`` was done to it; ``trace`` says when and by whom."""

    kind: str
    id: str
    what: str
    trace: Trace | None


_KINDS: Final = (
    ("signing_keys", "signing key"),
    ("users", "user"),
    ("devices", "device"),
    ("sessions", "sign-in of a device"),
    ("api_tokens", "API token"),
    ("service_accounts", "service account"),
    ("grants", "grant"),
    ("groups", "group"),
    ("connectors", "connector"),
    ("relays", "relay"),
    ("resources", "resource"),
    ("policies", "policy"),
    ("exclusions", "exclusion"),
)
"""Parts of the state, most urgent first. A change of one of them is told as well: it may have narrowed it."""
_ERASED: Final = "user.personal_data_erased/1"


def compare(restored: PolicyState, later: PolicyState, tail: Mapping[str, tuple[Trace, ...]]) -> list[Resurrection]:
    """Returns what the restored state allows that the later one did not, or knew otherwise.

    ``tail``: the events after the backup, by stream, oldest first.
    """
    found: list[Resurrection] = []
    for name, kind in _KINDS:
        was, now = getattr(restored, name, {}), getattr(later, name, {})
        for key in sorted(was, key=str):
            what = _what(was[key], now.get(key))
            if what:
                found.append(Resurrection(kind, str(key), what, _last(tail, str(key))))
    for group, members in sorted(restored.members.items()):
        gone = sorted(set(members) - set(later.members.get(group, ())))
        if group in later.groups:
            found += [
                Resurrection("group", str(group), f"{user} was taken out", _last(tail, str(group))) for user in gone
            ]
    for stream, traces in sorted(tail.items()):
        found += [
            Resurrection("user", stream, "personal data was erased", item) for item in traces if item.type == _ERASED
        ]
    return found


def _what(was: Any, now: Any) -> str:
    if now is None:
        return "was removed, revoked or ended"
    if now == was:
        return ""
    if getattr(now, "disabled", False) and not getattr(was, "disabled", False):
        return "was disabled"
    return "was changed"


def _last(tail: Mapping[str, tuple[Trace, ...]], stream: str) -> Trace | None:
    traces = tail.get(stream)
    return traces[-1] if traces else None
