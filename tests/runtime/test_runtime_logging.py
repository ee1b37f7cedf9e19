"""Logging: one event is one line, and no line holds a secret."""

import io
import json
import logging

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.logging import REDACTED, configure, redact

API_TOKEN, SESSION = "ost_api_" + "apiSecret" * 5, "ost_" + "sesSecret" * 5
JWS = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


@pytest.fixture
def out() -> io.StringIO:
    stream = io.StringIO()
    configure("connector", "debug", json=True, stream=stream)
    return stream


def test_own_and_foreign_records_look_alike(out: io.StringIO) -> None:
    structlog.get_logger("connector.daemon").info("config.applied", revision=7)
    logging.getLogger("some.library").warning("it %s", "happened", extra={"token": "abc"})
    own, foreign = (json.loads(line) for line in out.getvalue().splitlines())
    assert (own["event"], own["revision"], own["level"], own["component"]) == ("config.applied", 7, "info", "connector")
    assert own["logger"] == "connector.daemon"
    assert foreign["logger"] == "some.library"
    assert (foreign["event"], foreign["level"], foreign["token"]) == ("it happened", "warning", REDACTED)


@pytest.mark.parametrize(
    "fields",
    [
        {"token": JWS},
        {"access_token": "opaque"},
        {"detail": f"got {JWS} there"},
        {"nested": {"authorization": "Bearer abcdefghijkl"}},
        {"items": ["otk_eyJ2IjoxfQabcdef", "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----"]},
        {"items": [f"the API token {API_TOKEN}", f"the session {SESSION}"]},
        {"error": ValueError(f"bad token {JWS}")},
        {"header": "authorization: Bearer abcdefghijkl"},
    ],
)
def test_t11_secrets_never_reach_a_line(out: io.StringIO, fields: dict[str, object]) -> None:
    structlog.get_logger("x").warning("event", **fields)
    line = out.getvalue()
    assert REDACTED in line
    for secret in ("c2lnbmF0dXJl", "opaque", "abcdefghijkl", "eyJ2IjoxfQ", "MIGH", "apiSecret", "sesSecret"):
        assert secret not in line


def test_t11_an_exception_with_a_token_is_redacted(out: io.StringIO) -> None:
    try:
        int(JWS)
    except ValueError:
        structlog.get_logger("x").exception("crashed")
    assert "c2lnbmF0dXJl" not in out.getvalue()


def test_harmless_keys_stay() -> None:
    event = {"tokens": 3, "tunnel": "x", "proofs": 2, "secretary": "bob", "ok": True}
    assert redact(None, "info", dict(event)) == event


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("text", ["a\r\nb", "\x1b[31mred", "{} %s %d", "\u2028", "\x00"])
def test_t74_one_event_is_one_line(as_json: bool, text: str) -> None:
    stream = io.StringIO()
    configure("connector", "info", json=as_json, stream=stream)
    structlog.get_logger("x").info("name.seen", name=text)
    logging.getLogger("y").warning(text)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert "\x1b[31m" not in stream.getvalue()


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=10), st.recursive(st.text() | st.binary() | st.none(), st.lists, max_leaves=5)))
def test_redaction_is_total(event: dict[str, object]) -> None:
    redact(None, "info", event)
