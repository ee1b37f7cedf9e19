"""The pace of a device sign-in (RFC 8628 section 3.5): what the other side asks for counts, within bounds."""

import pytest

from protocol.device_grant import INTERVAL_MAX_S, LIFE_MAX_S, first_interval, life, next_interval
from protocol.limits import DEVICE_CODE_INTERVAL_S, DEVICE_CODE_LIFE_S
from protocol.reasons import Reason


@pytest.mark.parametrize("value", [None, "7", True, 0, -3, [], float("nan")])
def test_what_is_no_time_gives_the_default(value: object) -> None:
    assert first_interval({"interval": value}) == DEVICE_CODE_INTERVAL_S
    assert life({"expires_in": value}) == DEVICE_CODE_LIFE_S


@pytest.mark.parametrize(("value", "seconds"), [(0.01, 1.0), (7, 7.0), (10**400, INTERVAL_MAX_S), (float("inf"), 60.0)])
def test_a_wait_is_neither_busy_polling_nor_for_ever(value: float, seconds: float) -> None:
    assert first_interval({"interval": value}) == seconds
    assert life({"expires_in": 1e9}) == LIFE_MAX_S


@pytest.mark.parametrize(
    ("reason", "hint_s", "seconds"),
    [
        (Reason.AUTHORIZATION_PENDING, 0.0, 2.0),
        (Reason.CONTROLLER_UNREACHABLE, 0.0, 2.0),
        (Reason.SLOW_DOWN, 0.0, 7.0),
        (Reason.SLOW_DOWN, 5.0, 7.0),
        (Reason.RATE_LIMITED, 30.0, 30.0),
        (Reason.UNAVAILABLE, 99_999.0, INTERVAL_MAX_S),
    ],
)
def test_s9_the_next_interval_heeds_slow_down_and_the_hint(reason: Reason, hint_s: float, seconds: float) -> None:
    assert next_interval(2.0, reason, hint_s) == seconds


def test_s9_slowing_down_ends_somewhere() -> None:
    assert next_interval(58.0, Reason.SLOW_DOWN) == INTERVAL_MAX_S


@pytest.mark.parametrize("reason", [Reason.SIGN_IN_DENIED, Reason.SIGN_IN_EXPIRED, Reason.CERTIFICATE_UNTRUSTED])
def test_any_other_refusal_ends_the_wait(reason: Reason) -> None:
    assert next_interval(2.0, reason, 30.0) is None
