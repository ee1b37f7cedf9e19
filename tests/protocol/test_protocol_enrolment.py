"""The enrolment token that a person pastes."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.enrolment import EnrolmentToken, encode, parse_untrusted
from protocol.errors import LocalError
from protocol.ids import SpkiPin
from protocol.reasons import Reason

SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I"
PIN = SpkiPin("sha256/" + "A" * 43 + "=")
TOKEN = EnrolmentToken("https://controller.example:8443/ostiary", PIN, "connector", SECRET)
BODY = {"v": 1, "url": TOKEN.url, "pin": PIN, "kind": "connector", "secret": SECRET}


def paste(body: object) -> str:
    text = body if isinstance(body, str) else json.dumps(body)
    return "otk_" + base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def refusal(text: str) -> LocalError:
    with pytest.raises(LocalError) as caught:
        parse_untrusted(text)
    assert caught.value.reason is Reason.ENROLMENT_INVALID
    return caught.value


@pytest.mark.parametrize(
    "token",
    [
        TOKEN,
        EnrolmentToken("https://10.0.0.1", None, "relay", SECRET),
        EnrolmentToken("https://[fd00::1]:8443", PIN, "service", SECRET),
    ],
)
def test_round_trip(token: EnrolmentToken) -> None:
    assert parse_untrusted(encode(token)) == token
    assert parse_untrusted(f"\n  {encode(token)} \n") == token


def test_the_text_is_stable() -> None:
    assert encode(TOKEN) == paste(json.dumps(BODY, separators=(",", ":")))


def test_the_secret_is_not_shown() -> None:
    assert SECRET not in repr(TOKEN)
    damaged = encode(TOKEN)[:-3]
    assert damaged not in str(refusal(damaged))


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": True},
        {"v": "1"},
        {"kind": "admin"},
        {"kind": None},
        {"secret": SECRET[:-1]},
        {"secret": "A" * 44},
        {"secret": None},
        {"secret": SECRET + "="},
        {"pin": "sha256/AA"},
        {"pin": 1},
        {"more": 1},
        {"url": None},
        {"url": ""},
        {"url": "http://controller.example"},
        {"url": "https://"},
        {"url": "https:///path"},
        {"url": "https://user:pw@controller.example"},
        {"url": "https://controller.example/?next=x"},
        {"url": "https://controller.example/#x"},
        {"url": "https://controller.example:0"},
        {"url": "https://controller.example:port"},
        {"url": "https://controller.example:99999"},
        {"url": "https://[::1"},
        {"url": "https://con troller.example"},
        {"url": "https://controller.example\\evil"},
        {"url": "https://" + "a" * 3000},
        {"url": "https://contröller.example"},
    ],
)
def test_other_contents_are_refused(change: dict[str, object]) -> None:
    refusal(paste({**BODY, **change}))


@pytest.mark.parametrize("text", ["", "otk_", "otk", encode(TOKEN)[4:], encode(TOKEN) + "=", "otk_" + "A" * 5000])
def test_other_texts_are_refused(text: str) -> None:
    refusal(text)


def test_t06_duplicate_members_and_missing_ones_are_refused() -> None:
    refusal(paste(json.dumps(BODY)[:-1] + ',"url":"https://evil.example"}'))
    refusal(paste("[]"))
    for name in BODY:
        refusal(paste({other: value for other, value in BODY.items() if other != name}))


@given(st.text(max_size=60))
def test_any_text_is_refused_with_our_error(text: str) -> None:
    refusal(text)
    refusal("otk_" + text)
    refusal(paste(text))
