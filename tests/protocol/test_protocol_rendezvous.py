"""What relay, connector and controller say to pair: golden frames, strictness, and no surprise on any text."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import RemoteProtocolError
from protocol.limits import FIRST_MAX_BYTES
from protocol.reasons import Reason
from protocol.rendezvous import (
    CONTROL_MAX_BYTES,
    KeysPushed,
    LegsWanted,
    RelayGoodbye,
    RelayMessage,
    RelayReport,
    encode_first,
    encode_relay_message,
    parse_first_untrusted,
    parse_relay_message_untrusted,
)

GOLDEN: dict[str, RelayMessage] = {
    '{"type":"legs_wanted","count":2}': LegsWanted(2),
    '{"type":"goodbye","reason":"duplicate_agent"}': RelayGoodbye(Reason.DUPLICATE_AGENT),
    '{"type":"keys","token":"a.b.c"}': KeysPushed("a.b.c"),
    '{"type":"report","software":"0.1.0","clock_ms":1,"attachments":["h"],"parked":2,"pairs":3,"bytes_copied":4}': (
        RelayReport("0.1.0", 1, ("h",), 2, 3, 4)
    ),
}
REPORT = next(text for text, message in GOLDEN.items() if isinstance(message, RelayReport))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize("text", GOLDEN, ids=lambda text: json.loads(text)["type"])
def test_golden_frame(text: str) -> None:
    assert encode_relay_message(GOLDEN[text]) == text
    assert parse_relay_message_untrusted(text) == GOLDEN[text]


@pytest.mark.parametrize("text", GOLDEN, ids=lambda text: json.loads(text)["type"])
def test_every_member_is_needed_and_more_are_ignored(text: str) -> None:
    body = json.loads(text)
    assert parse_relay_message_untrusted(json.dumps(body | {"later": [1]})) == GOLDEN[text]
    for member in body.keys() - {"type"}:
        with pytest.raises(RemoteProtocolError, match="malformed relay message"):
            parse_relay_message_untrusted(json.dumps({key: value for key, value in body.items() if key != member}))


def test_unknown_type_is_none_and_unknown_reason_is_internal() -> None:
    assert parse_relay_message_untrusted('{"type": "later"}') is None
    assert parse_relay_message_untrusted("{}") is None
    assert parse_relay_message_untrusted('{"type":"goodbye","reason":"later"}') == RelayGoodbye(Reason.INTERNAL)


@pytest.mark.parametrize("count", [0, -1, 1025, True, "1", 1.0, None])
def test_t25_count_of_legs_is_bounded(count: object) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_relay_message_untrusted(json.dumps({"type": "legs_wanted", "count": count}))


@pytest.mark.parametrize("member", ["clock_ms", "parked", "pairs", "bytes_copied"])
@pytest.mark.parametrize("value", [-1, True, 1.0, "1", None])
def test_counters_are_counters(member: str, value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_relay_message_untrusted(json.dumps(json.loads(REPORT) | {member: value}))


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "null", '"x"', "[" * 5000, "1" * 5000])
def test_not_a_message(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_relay_message_untrusted(text)


def test_length_is_checked_first() -> None:
    with pytest.raises(RemoteProtocolError, match="too long"):
        parse_relay_message_untrusted(" " * (CONTROL_MAX_BYTES + 1))


@settings(max_examples=200)
@given(st.text(max_size=60) | JSON.map(json.dumps))
def test_any_text_is_none_or_our_error(text: str) -> None:
    try:
        assert parse_relay_message_untrusted(text) is None
    except RemoteProtocolError:
        return


@settings(max_examples=200)
@given(st.sampled_from(sorted(GOLDEN)), st.data())
def test_any_change_of_a_good_message_is_a_message_or_our_error(text: str, data: Any) -> None:
    body = json.loads(text)
    body[data.draw(st.sampled_from(sorted(body)))] = data.draw(JSON)
    try:
        message = parse_relay_message_untrusted(json.dumps(body))
    except RemoteProtocolError:
        return
    if message is not None:
        assert parse_relay_message_untrusted(encode_relay_message(message)) == message


@given(st.binary(min_size=1, max_size=FIRST_MAX_BYTES))
@settings(max_examples=50)
def test_first_bytes_survive_their_header(first: bytes) -> None:
    assert parse_first_untrusted(encode_first(first)) == first


@given(st.text(max_size=40))
@settings(max_examples=100)
def test_first_bytes_have_one_spelling(text: str) -> None:
    try:
        first = parse_first_untrusted(text)
    except RemoteProtocolError:
        return
    assert encode_first(first) == text


def test_t25_first_bytes_are_bounded_before_they_are_decoded() -> None:
    assert len(parse_first_untrusted(encode_first(bytes(FIRST_MAX_BYTES)))) == FIRST_MAX_BYTES
    for value in (encode_first(bytes(FIRST_MAX_BYTES + 1)), "A" * 1_000_000):
        with pytest.raises(RemoteProtocolError) as caught:
            parse_first_untrusted(value)
        assert caught.value.reason is Reason.LIMIT_EXCEEDED
