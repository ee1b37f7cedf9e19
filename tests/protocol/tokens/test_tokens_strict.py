"""Strict JSON and canonical base64url (T-5, T-6)."""

import contextlib
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import RemoteProtocolError
from protocol.limits import JSON_MAX_DEPTH
from protocol.reasons import Reason
from protocol.tokens.strict import (
    b64url_decode_untrusted,
    b64url_encode,
    parse_json_untrusted,
    parse_object_untrusted,
    split_compact_untrusted,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text('ab[]{}"\\', max_size=4), children),
    max_leaves=12,
)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@given(st.binary(max_size=100))
def test_t05_base64url_round_trip(data: bytes) -> None:
    assert b64url_decode_untrusted(b64url_encode(data)) == data


@pytest.mark.parametrize("text", ["QQ==", "QQ=", "QR", "Q", "Q Q", "QQ\n", "+/+/", "Q.Q", "Qé", "QUJD=", "-_-_="])
def test_t05_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        b64url_decode_untrusted(text)
    assert caught.value.reason is Reason.TOKEN_MALFORMED


@given(st.text(max_size=30))
def test_t05_any_text_decodes_only_if_it_is_canonical(text: str) -> None:
    try:
        data = b64url_decode_untrusted(text)
    except RemoteProtocolError:
        return
    assert b64url_encode(data) == text


@given(JSON)
def test_t06_strict_json_reads_what_json_writes(value: object) -> None:
    data = json.dumps(value).encode()
    if depth_of(value) <= JSON_MAX_DEPTH:
        assert parse_json_untrusted(data, limit=10**6) == value
    else:
        with pytest.raises(RemoteProtocolError):
            parse_json_untrusted(data, limit=10**6)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":1,"\\u0061":2}',
        '[{"b":{"a":1,"a":2}}]',
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1e999",
        "[" * 9 + "]" * 9,
        '{"a":' * 9 + "1" + "}" * 9,
        "[" * 100_000,
        '"\\ud800"',
        '"\x01"',
        "01",
        "9" * 5000,
        "[1,]",
        "",
        "{} {}",
        "\ufeff{}",
        '"',
        '"\\',
        "]]]]]]]]]]]]",
    ],
)
def test_t06_ambiguous_json_is_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_json_untrusted(text.encode(), limit=10**6)
    assert caught.value.reason is Reason.TOKEN_MALFORMED


def test_t06_depth_counts_brackets_outside_strings_only() -> None:
    assert parse_json_untrusted(b'["[[[[[[[[[[[[[[","{{\\"{{{{{{{{{{"]', limit=100) == ["[" * 14, '{{"{{{{{{{{{{']
    assert parse_json_untrusted(b"[" * 8 + b"]" * 8, limit=100) == [[[[[[[[]]]]]]]]


@pytest.mark.parametrize("data", [b"\xff", "{}".encode("utf-16"), b"\xed\xa0\x80"])
def test_t06_only_utf8_is_json(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_json_untrusted(data, limit=100)


def test_t06_size_is_bounded_and_hostile_strings_take_linear_time() -> None:
    with pytest.raises(RemoteProtocolError):
        parse_json_untrusted(b" " * 101, limit=100)
    begin = time.process_time()
    for hostile in (b'"' + b'\\"' * 300_000 + b"[" * 20, b'"a' * 300_000 + b"[" * 20, b"[]" * 300_000):
        with pytest.raises(RemoteProtocolError):
            parse_json_untrusted(hostile, limit=10**6)
    assert time.process_time() - begin < 5


def test_an_object_is_wanted() -> None:
    assert parse_object_untrusted(b'{"a":[]}', limit=100) == {"a": []}
    with pytest.raises(RemoteProtocolError):
        parse_object_untrusted(b"[]", limit=100)


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_t06_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        parse_json_untrusted(data, limit=1000)


@pytest.mark.parametrize("token", ["", "..", "a.b", "a.b.c.d", "e30..QQ", "e30.e30.QQ==", "e30.e 0.QQ", "W10.e30.QQ"])
def test_split_refuses_what_is_no_compact_jws(token: str) -> None:
    with pytest.raises(RemoteProtocolError):
        split_compact_untrusted(token, limit=100)


def test_split_bounds_token_and_header() -> None:
    compact = split_compact_untrusted("e30.e30.QQ", limit=10)
    assert (compact.header, compact.payload) == ({}, b"{}")
    with pytest.raises(RemoteProtocolError):
        split_compact_untrusted("e30.e30.QQ", limit=9)
    with pytest.raises(RemoteProtocolError):
        split_compact_untrusted(b64url_encode(b'{"a":"' + b"a" * 1000 + b'"}') + ".e30.QQ", limit=10**6)
