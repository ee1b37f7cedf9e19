"""Stream headers and answers: golden bytes, every split (T-37), no surprise on any bytes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import RemoteProtocolError
from protocol.limits import OPEN_HEADER_MAX_BYTES, PROOF_MAX_BYTES
from protocol.streams import (
    FrameReader,
    Proof,
    StreamAnswer,
    StreamHeader,
    answer_reader,
    encode_answer,
    encode_frame,
    encode_header,
    encode_proof,
    header_reader,
    parse_answer_untrusted,
    parse_header_untrusted,
)

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "streams.json").read_text())
FLOW = "flw_" + "F" * 22
RESOURCE = "res_" + "A" * 22
HEADERS: dict[str, Proof | StreamHeader] = {
    "proof": Proof("a.b.c", 1, bytes(range(64))),
    "tcp": StreamHeader("tcp", "db.corp", 5432, FLOW, RESOURCE),
    "udp": StreamHeader("udp", "2001:db8::53", 53, FLOW, RESOURCE),
    "icmp": StreamHeader("icmp", "10.0.0.1", None, FLOW, RESOURCE),
    "resolve": StreamHeader("resolve", "db.corp", None, FLOW, RESOURCE),
    "dns": StreamHeader("dns", "xn--strae-oqa.corp", None, FLOW, RESOURCE),
}
ANSWERS: dict[str, StreamAnswer] = {
    "yes": StreamAnswer(),
    "no": StreamAnswer("port_not_allowed"),
    "resolved": StreamAnswer(None, 0, 60, ("v4", "v6")),
    "no such name": StreamAnswer("name_not_found", 3, 10),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def _encode(header: Proof | StreamHeader) -> bytes:
    return encode_proof(header) if isinstance(header, Proof) else encode_header(header)


def _read(reader: FrameReader, data: bytes) -> bytes:
    reader.receive_data(data)
    assert reader.frame is not None
    return reader.frame


@pytest.mark.parametrize("name", HEADERS)
def test_golden_header(name: str) -> None:
    assert _encode(HEADERS[name]).hex() == VECTORS["headers"][name]
    assert parse_header_untrusted(_read(header_reader(), bytes.fromhex(VECTORS["headers"][name]))) == HEADERS[name]


@pytest.mark.parametrize("name", ANSWERS)
def test_golden_answer(name: str) -> None:
    assert encode_answer(ANSWERS[name]).hex() == VECTORS["answers"][name]
    assert parse_answer_untrusted(_read(answer_reader(), bytes.fromhex(VECTORS["answers"][name]))) == ANSWERS[name]


@pytest.mark.parametrize("name", HEADERS)
def test_t37_every_split_gives_the_same_frame(name: str) -> None:
    whole = _encode(HEADERS[name]) + b"first bytes of the flow"
    body = _encode(HEADERS[name])[4:]
    for split in range(len(whole) + 1):
        reader = header_reader()
        reader.receive_data(whole[:split])
        complete = split >= 4 + len(body)
        assert (reader.frame is not None) == complete, "no frame from a prefix"
        reader.receive_data(whole[split:])
        assert (reader.frame, reader.rest) == (body, b"first bytes of the flow")


@pytest.mark.parametrize("name", HEADERS)
def test_t37_one_byte_at_a_time(name: str) -> None:
    reader = header_reader()
    for byte in _encode(HEADERS[name]) + b"rest":
        reader.receive_data(bytes([byte]))
    assert reader.frame is not None
    assert parse_header_untrusted(reader.frame) == HEADERS[name]
    assert reader.rest == b"rest"


@given(st.lists(st.binary(max_size=6), max_size=12), st.binary(max_size=30))
def test_t37_any_pieces(pieces: list[bytes], body: bytes) -> None:
    whole = encode_frame(body) + b"".join(pieces)
    reader = FrameReader(30)
    at = 0
    for piece in pieces:
        reader.receive_data(whole[at : at + len(piece)])
        at += len(piece)
    reader.receive_data(whole[at:])
    assert (reader.frame, reader.rest) == (body, b"".join(pieces))


def test_empty_frame_is_a_frame() -> None:
    reader = FrameReader(10)
    reader.receive_data(b"\0\0\0\0x")
    assert (reader.frame, reader.rest) == (b"", b"x")


@pytest.mark.parametrize(
    ("reader", "limit"), [(header_reader(), PROOF_MAX_BYTES + 4096), (answer_reader(), OPEN_HEADER_MAX_BYTES)]
)
def test_limit_is_checked_before_the_body(reader: FrameReader, limit: int) -> None:
    with pytest.raises(RemoteProtocolError, match=str(limit + 1)):
        reader.receive_data((limit + 1).to_bytes(4, "big"))


def test_limit_itself_is_allowed() -> None:
    reader = FrameReader(3)
    reader.receive_data(encode_frame(b"abc"))
    assert reader.frame == b"abc"


def _changed(name: str, **changes: object) -> bytes:
    return json.dumps(json.loads(_encode(HEADERS[name])[4:]) | changes).encode()


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 4000,
        _changed("proof", number=0),
        _changed("proof", number=True),
        _changed("proof", number=1.0),
        _changed("proof", number=2**32),
        _changed("proof", signature="zz"),
        _changed("proof", signature="A" * 128),
        _changed("proof", signature="a"),
        _changed("proof", signature="aa bb"),
        _changed("proof", token=None),
        _changed("proof", token="ä.b.c"),
        _changed("tcp", kind="sctp"),
        _changed("tcp", kind=1),
        _changed("tcp", port=0),
        _changed("tcp", port=65536),
        _changed("tcp", port=True),
        _changed("tcp", port="80"),
        _changed("tcp", port=80.0),
        _changed("tcp", host=7),
        _changed("tcp", flow="flw_x"),
        _changed("tcp", flow=RESOURCE),
        _changed("tcp", flow=FLOW + "\n"),
        _changed("tcp", resource=""),
        _changed("tcp", resource=FLOW),
        _changed("tcp", padding="x" * OPEN_HEADER_MAX_BYTES),
    ],
    ids=lambda frame: ascii(frame[:40]),
)
def test_header_refused(frame: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_header_untrusted(frame)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reason": 1},
        {"reason": []},
        {"reason": None, "rcode": True, "ttl": 1, "families": []},
        {"reason": None, "rcode": 4096, "ttl": 1, "families": []},
        {"reason": None, "rcode": -1, "ttl": 1, "families": []},
        {"reason": None, "rcode": 0, "ttl": -1, "families": []},
        {"reason": None, "rcode": 0, "ttl": True, "families": []},
        {"reason": None, "rcode": 0, "ttl": 2**31, "families": []},
        {"reason": None, "rcode": 0, "ttl": 1, "families": ["v5"]},
        {"reason": None, "rcode": 0, "ttl": 1, "families": [["v4"]]},
        {"reason": None, "rcode": 0, "ttl": 1},
    ],
)
def test_answer_refused(body: dict[str, object]) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_answer_untrusted(json.dumps(body).encode())


def test_unknown_members_are_ignored() -> None:
    assert parse_header_untrusted(_changed("tcp", later=1)) == HEADERS["tcp"]
    assert parse_answer_untrusted(b'{"reason": null, "later": 1}') == StreamAnswer()


@settings(max_examples=200)
@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_ours_or_our_error(frame: bytes) -> None:
    for parse in (parse_header_untrusted, parse_answer_untrusted):
        try:
            parse(frame)
        except RemoteProtocolError:
            continue


@settings(max_examples=200)
@given(st.sampled_from(sorted(HEADERS)), st.data())
def test_any_change_of_a_good_header_is_ours_or_our_error(name: str, data: Any) -> None:
    body = json.loads(_encode(HEADERS[name])[4:])
    body[data.draw(st.sampled_from(sorted(body)))] = data.draw(JSON)
    try:
        header = parse_header_untrusted(json.dumps(body).encode())
    except RemoteProtocolError:
        return
    assert parse_header_untrusted(_encode(header)[4:]) == header


@settings(max_examples=100)
@given(
    st.none() | st.sampled_from(["no_grant", "from_the_future"]),
    st.dictionaries(st.sampled_from(["reason", "rcode", "ttl", "families", "x"]), JSON),
)
def test_any_change_of_a_good_answer_is_ours_or_our_error(reason: str | None, changes: dict[str, object]) -> None:
    body = {"reason": reason, "rcode": 0, "ttl": 60, "families": ["v4"]} | changes
    try:
        answer = parse_answer_untrusted(json.dumps(body).encode())
    except RemoteProtocolError:
        return
    assert parse_answer_untrusted(encode_answer(answer)[4:]) == answer
