"""The pace of a device sign-in (RFC 8628 section 3.5), the same for the daemon and for the command line. Pure."""

from collections.abc import Mapping
from typing import Final

from protocol.limits import DEVICE_CODE_INTERVAL_S, DEVICE_CODE_LIFE_S
from protocol.reasons import Reason

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:device_code"
SLOW_DOWN_S: Final = 5.0
"""By so much each ``slow_down`` lengthens the interval."""
INTERVAL_MAX_S: Final = 60.0
LIFE_MAX_S: Final = 3600.0
_PASSING: Final = frozenset(
    {
        Reason.AUTHORIZATION_PENDING,
        Reason.SLOW_DOWN,
        Reason.CONTROLLER_UNREACHABLE,
        Reason.TIMEOUT,
        Reason.UNAVAILABLE,
        Reason.RATE_LIMITED,
    }
)


def first_interval(begun: Mapping[str, object]) -> float:
    """Returns the seconds before the first question, from the controller's answer to the beginning."""
    return _bounded(begun.get("interval"), DEVICE_CODE_INTERVAL_S, most=INTERVAL_MAX_S)


def life(begun: Mapping[str, object]) -> float:
    """Returns for how many seconds the code can be approved."""
    return _bounded(begun.get("expires_in"), DEVICE_CODE_LIFE_S, most=LIFE_MAX_S)


def next_interval(interval_s: float, reason: Reason, retry_after_s: float = 0.0) -> float | None:
    """Returns the seconds before the next question after one that failed for ``reason``; None: there is none to ask.

    ``retry_after_s`` is the controller's hint, 0 for none.
    """
    if reason not in _PASSING:
        return None
    longer_s = interval_s + SLOW_DOWN_S if reason is Reason.SLOW_DOWN else interval_s
    return min(max(longer_s, retry_after_s), INTERVAL_MAX_S)


def _bounded(value: object, default: float, *, most: float) -> float:
    """A wait that the other side names is bounded: neither busy polling nor for ever."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
        return float(default)
    # Bounded first: an integer may be too long for a float.
    return float(max(min(value, most), 1.0))
