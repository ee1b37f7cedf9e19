"""RFC 6455 frames of a leg, checked against the websockets package and against hostile bytes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from protocol.limits import LEG_MESSAGE_MAX_BYTES
from protocol.reasons import Reason
from protocol.rendezvous import CONTROL_MAX_BYTES
from runtime.leg_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    CloseReceived,
    FrameError,
    FrameEvent,
    FrameReader,
    PingReceived,
    TextReceived,
    encode_close,
    encode_frame,
    frame_header,
)

MASK = b"\x01\x80\xff\x5a"


def read(reader: FrameReader, data: bytes, cuts: list[int] | None = None) -> tuple[bytes, list[FrameEvent]]:
    """Feeds ``data``, cut at ``cuts``; returns all payload and all events."""
    payload, events = b"", list[FrameEvent]()
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts or [])})
    for start, end in itertools.pairwise(edges):
        payload += b"".join(bytes(piece) for piece in reader.receive_data(data[start:end]))
        while (event := reader.next_event()) is not None:
            events.append(event)
    return payload, events


def close_code(masked: bool, data: bytes) -> int:
    """Returns the close code with which ``data`` is answered."""
    reader = FrameReader(masked=masked)
    with pytest.raises(FrameError) as caught:
        read(reader, data)
    return caught.value.close_code


@given(
    masked=st.booleans(),
    sizes=st.lists(st.sampled_from([0, 1, 125, 126, 127, 65535, 65536, 70_001]), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 300_000), max_size=12),
)
def test_any_cut_of_any_frames_gives_the_same_bytes(masked: bool, sizes: list[int], cuts: list[int]) -> None:
    payloads = [bytes((index + size) % 251 for index in range(size)) for size in sizes]
    wire = b"".join(encode_frame(BINARY, payload, MASK if masked else b"") for payload in payloads)
    assert read(FrameReader(masked=masked), wire, cuts) == (b"".join(payloads), [])


@given(
    masked=st.booleans(), size=st.sampled_from([0, 5, 125, 126, 65535, 65536]), mask=st.binary(min_size=4, max_size=4)
)
def test_frames_are_those_of_the_websockets_package(masked: bool, size: int, mask: bytes) -> None:
    payload = bytes(size)
    ours = encode_frame(BINARY, payload, mask if masked else b"")
    theirs = Frame(Opcode.BINARY, payload).serialize(mask=masked)
    header = len(ours) - size - (4 if masked else 0)
    assert ours[:header] == theirs[:header]
    assert len(ours) == len(theirs)
    assert read(FrameReader(masked=masked), theirs)[0] == payload


def test_unmasked_payload_is_not_copied() -> None:
    wire = encode_frame(BINARY, b"x" * 1000)
    (piece,) = FrameReader(masked=False).receive_data(wire)
    assert isinstance(piece, memoryview)
    assert piece.obj is wire


def test_payload_is_handed_out_before_its_frame_is_whole() -> None:
    wire = encode_frame(BINARY, b"a" * 100_000)
    reader = FrameReader(masked=False)
    assert len(b"".join(reader.receive_data(wire[:5000]))) == 5000 - 10


def test_a_ping_between_two_fragments_of_a_text() -> None:
    first = bytes([TEXT, 3]) + b"abc"
    last = bytes([0x80 | CONTINUATION, 3]) + b"def"
    ping = encode_frame(PING, b"now")
    assert read(FrameReader(masked=False), first + ping + last)[1] == [PingReceived(b"now"), TextReceived("abcdef")]


def test_fragments_of_a_binary_message_are_one_stream() -> None:
    wire = bytes([BINARY, 2]) + b"ab" + bytes([CONTINUATION, 0]) + bytes([0x80 | CONTINUATION, 2]) + b"cd"
    assert read(FrameReader(masked=False), wire) == (b"abcd", [])


def test_a_flood_of_pings_costs_one_pong() -> None:
    wire = b"".join(encode_frame(PING, str(number).encode()) for number in range(1000))
    reader = FrameReader(masked=False)
    reader.receive_data(wire)
    assert reader.next_event() == PingReceived(b"999")
    assert reader.next_event() is None


@pytest.mark.parametrize("bits", [0x40, 0x20, 0x10])
def test_t28_reserved_bits_are_1002(bits: int) -> None:
    wire = bytearray(encode_frame(BINARY, b"x" * 200))
    wire[0] |= bits
    assert close_code(False, bytes(wire)) == 1002


EMPTY = {
    "pings": encode_frame(PING, b"", MASK),
    "pongs": encode_frame(PONG, b"", MASK),
    "fragments": bytes((CONTINUATION, 0x80)) + MASK,
    "small fragments": bytes((CONTINUATION, 0x81)) + MASK + b"x",
    "binary messages": encode_frame(BINARY, b"", MASK),
    "small binary messages": encode_frame(BINARY, b"x", MASK),
}


@pytest.mark.parametrize("kind", EMPTY)
def test_t28_frames_that_bring_no_text_are_counted_where_a_bound_is_set(kind: str) -> None:
    begun = bytes((TEXT, 0x80)) + MASK if "fragments" in kind else b""
    many = begun + EMPTY[kind] * 50
    FrameReader(masked=True).receive_data(many)
    reader = FrameReader(masked=True, textless_max=40)
    with pytest.raises(FrameError) as caught:
        reader.receive_data(many)
    assert caught.value.close_code == 1008
    assert len(reader.events) <= 1


def test_t28_a_text_begins_the_count_anew() -> None:
    reader = FrameReader(masked=True, textless_max=4)
    text = encode_frame(TEXT, b"a text that is long enough", MASK)
    fragments = bytes((TEXT, 0x81)) + MASK + b"a" + bytes((0x80, 0x81)) + MASK + b"b"
    for _ in range(5):
        reader.receive_data(EMPTY["pings"] * 4 + text)
        reader.receive_data(EMPTY["pings"] * 4)
        assert reader.only_text(text) is not None
        reader.receive_data(EMPTY["pongs"] * 2 + fragments)
    reader.receive_data(EMPTY["pings"] * 4)
    with pytest.raises(FrameError):
        reader.receive_data(EMPTY["pings"])


@pytest.mark.parametrize("opcode", [3, 7, 11, 15])
def test_reserved_opcodes_are_1002(opcode: int) -> None:
    assert close_code(False, bytes([0x80 | opcode, 0])) == 1002


def test_masking_is_the_dialling_sides_duty() -> None:
    assert close_code(True, encode_frame(BINARY, b"x" * 200)) == 1002
    assert close_code(False, encode_frame(BINARY, b"x" * 200, MASK)) == 1002


@pytest.mark.parametrize(
    "wire",
    [
        bytes([PING, 0]),  # a control frame without FIN
        bytes([0x80 | PING, 126, 0, 126]) + bytes(126),
        bytes([0x80 | CONTINUATION, 0]),  # nothing to continue
        bytes([BINARY, 1, 0]) + bytes([0x80 | BINARY, 1, 0]),  # a message inside a message
        bytes([0x80 | BINARY, 126, 0, 125]) + bytes(125),  # not the shortest length
        bytes([0x80 | BINARY, 127, 0, 0, 0, 0, 0, 0, 255, 255]),
        bytes([0x80 | BINARY, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        bytes([0x88, 1, 3]),  # half a close code
        bytes([0x88, 2, 0x03, 0xED]),  # 1005 never travels
        bytes([0x88, 2, 0x13, 0x88]),  # 5000
    ],
)
def test_what_rfc_6455_forbids_is_1002(wire: bytes) -> None:
    assert close_code(False, wire) == 1002


def test_too_large_is_1009_before_any_payload_arrives() -> None:
    assert close_code(False, frame_header(BINARY, LEG_MESSAGE_MAX_BYTES + 1)) == 1009
    assert close_code(True, frame_header(BINARY, 2**40, MASK)) == 1009
    assert close_code(False, frame_header(TEXT, CONTROL_MAX_BYTES + 1)) == 1009


def test_text_in_many_fragments_is_bounded_too() -> None:
    half = bytes([TEXT, 126]) + (40_000).to_bytes(2, "big") + b"a" * 40_000
    more = bytes([CONTINUATION, 126]) + (40_000).to_bytes(2, "big") + b"a" * 40_000
    assert close_code(False, half + more) == 1009


def test_text_that_is_not_utf8_is_1007() -> None:
    assert close_code(False, encode_frame(TEXT, b"\xff")) == 1007


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_travels_in_a_close_frame(reason: Reason) -> None:
    assert read(FrameReader(masked=False), encode_close(reason)) == (b"", [CloseReceived(reason)])


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", Reason.NORMAL),
        (b"\x03\xe8bye", Reason.NORMAL),
        (b"\x03\xf1", Reason.TUNNEL_LOST),
        (b"\x0b\xb8limit_exceeded", Reason.LIMIT_EXCEEDED),
        (b"\x0b\xb8\xff", Reason.INTERNAL),
    ],
)
def test_close_frames_of_others(payload: bytes, reason: Reason) -> None:
    assert read(FrameReader(masked=False), encode_frame(CLOSE, payload))[1] == [CloseReceived(reason)]


def test_nothing_is_read_behind_a_close_frame() -> None:
    wire = encode_close(Reason.NORMAL) + encode_frame(BINARY, b"late")
    assert read(FrameReader(masked=False), wire) == (b"", [CloseReceived(Reason.NORMAL)])


@given(masked=st.booleans(), data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=5))
def test_any_bytes_are_read_or_refused(masked: bool, data: bytes, cuts: list[int]) -> None:
    try:
        payload, _ = read(FrameReader(masked=masked), data, cuts)
    except FrameError:
        return
    assert len(payload) <= len(data)


@given(
    payload=st.one_of(st.text(max_size=200).map(str.encode), st.binary(max_size=200), st.just(b"x" * 70_000)),
    mask=st.sampled_from([MASK, b"\0\0\0\0", b""]),
    opcode=st.sampled_from([TEXT, BINARY, PING]),
    behind=st.binary(max_size=3),
    flip=st.none() | st.tuples(st.integers(0, 9), st.integers(1, 255)),
)
def test_the_fast_path_for_texts_never_differs_from_the_slow_one(
    payload: bytes, mask: bytes, opcode: int, behind: bytes, flip: tuple[int, int] | None
) -> None:
    wire = bytearray(encode_frame(opcode, payload[: 125 if opcode == PING else None], mask) + behind)
    if flip is not None and flip[0] < len(wire):
        wire[flip[0]] ^= flip[1]
    data = bytes(wire)
    refused = 0
    quick = None
    try:
        quick = FrameReader(masked=True).only_text(data)
    except FrameError as error:
        refused = error.close_code
    if refused:
        assert close_code(True, data) == refused
    if quick is not None:
        assert read(FrameReader(masked=True), data) == (b"", [TextReceived(quick)])


def test_the_fast_path_leaves_a_message_in_progress_alone() -> None:
    whole = encode_frame(TEXT, b"a whole message", MASK)
    assert FrameReader(masked=True).only_text(whole) == "a whole message"
    for begun in (whole[:1], whole[:9], bytes((TEXT, 0x80)) + MASK):
        reader = FrameReader(masked=True)
        reader.receive_data(begun)
        assert reader.only_text(whole) is None
    bounded = FrameReader(masked=True, text_max=8)
    assert bounded.only_text(whole) is None
    with pytest.raises(FrameError):
        bounded.receive_data(whole)
    assert FrameReader(masked=False).only_text(whole) is None
