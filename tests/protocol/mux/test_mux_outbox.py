"""What leaves in which order, and how much a stream may queue."""

import pytest
from mux_pair import Pair, drain, flush, frame

from protocol.errors import LocalProtocolError
from protocol.limits import MUX_FRAME_DATA_MAX, MUX_FRAME_DATA_SHARED, MUX_WINDOW_INITIAL
from protocol.mux import Session, Writable
from protocol.mux.frames import ACK, DATA, HEADER_BYTES, WINDOW_UPDATE, parse_header_untrusted
from protocol.mux.outbox import BATCH, SEND_QUEUE_TOTAL
from protocol.mux.stream import SEND_QUEUE, SEND_QUEUE_HARD
from protocol.reasons import Reason


def headers(data: bytes) -> list[tuple[int, int, int]]:
    """(type, stream, length) of each frame."""
    found, position = [], 0
    while position < len(data):
        kind, _, stream, length = parse_header_untrusted(data, position)
        found.append((kind, stream, length))
        position += HEADER_BYTES + (length if kind == DATA else 0)
    assert position == len(data)
    return found


def client(streams: int) -> Session:
    """A session with accepted streams 1, 3, ... and nothing to send."""
    session = Session(client=True, now=0.0)
    for _ in range(streams):
        session.receive_data(frame(WINDOW_UPDATE, ACK, session.open_stream(), 0), 0.0)
    flush(session)
    drain(session)
    return session


def test_a_stream_alone_sends_large_frames() -> None:
    session = client(1)
    session.send(1, bytes(150_000))
    assert headers(session.data_to_send()) == [
        (DATA, 1, MUX_FRAME_DATA_MAX),
        (DATA, 1, MUX_FRAME_DATA_MAX),
        (DATA, 1, 150_000 - 2 * MUX_FRAME_DATA_MAX),
    ]
    assert not session.has_data_to_send
    assert session.data_to_send() == b""


def test_small_writes_share_a_frame() -> None:
    session = client(1)
    for piece in (b"a", b"", b"bc", memoryview(b"def")):
        session.send(1, piece)
    assert flush(session) == frame(DATA, 0, 1, body=b"abcdef")


def test_waiting_streams_take_turns_with_small_frames() -> None:
    session = client(3)
    for stream in (1, 3, 5):
        session.send(stream, bytes(2 * MUX_FRAME_DATA_SHARED))
    sent = headers(flush(session))
    assert [stream for _, stream, _ in sent] == [1, 3, 5, 1, 3, 5]
    assert {length for _, _, length in sent} == {MUX_FRAME_DATA_SHARED}


def test_a_newcomer_waits_for_one_turn_not_for_the_queue() -> None:
    session = client(2)
    session.send(1, bytes(SEND_QUEUE))
    session.data_to_send(MUX_FRAME_DATA_MAX + HEADER_BYTES)
    session.send(3, b"interactive")
    assert (DATA, 3, 11) in headers(session.data_to_send(2 * (MUX_FRAME_DATA_SHARED + HEADER_BYTES)))


def test_control_frames_go_first() -> None:
    session = client(2)
    session.send(1, bytes(100_000))
    session.reset(3, Reason.CANCELLED)
    session.ping(0.0)
    session.open_stream()
    kinds = [kind for kind, _, _ in headers(flush(session))]
    assert kinds == [WINDOW_UPDATE, 2, WINDOW_UPDATE, DATA, DATA]


@pytest.mark.parametrize("limit", [HEADER_BYTES + 1, 100, 5_000, 70_000, BATCH])
def test_a_batch_never_exceeds_its_limit(limit: int) -> None:
    session = client(2)
    session.send(1, bytes(30_000 if limit > 100 else 300))
    session.send(3, bytes(1_000))
    session.send_eof(3)
    session.ping(0.0)
    total = 0
    while data := session.data_to_send(limit):
        assert len(data) <= limit
        total += sum(length for kind, _, length in headers(data) if kind == DATA)
    assert total == (31_000 if limit > 100 else 1_300)


def test_a_limit_without_room_for_a_frame_is_an_error() -> None:
    with pytest.raises(LocalProtocolError):
        client(1).data_to_send(HEADER_BYTES)


def test_nothing_leaves_beyond_the_peers_credit() -> None:
    session = client(1)
    session.send(1, bytes(MUX_WINDOW_INITIAL + 1000))
    session.send_eof(1)
    assert sum(length for _, _, length in headers(flush(session))) == MUX_WINDOW_INITIAL
    assert not session.has_data_to_send
    session.receive_data(frame(WINDOW_UPDATE, 0, 1, 400), 0.0)
    assert headers(flush(session)) == [(DATA, 1, 400)]
    session.receive_data(frame(WINDOW_UPDATE, 0, 1, 600), 0.0)
    assert headers(flush(session)) == [(DATA, 1, 600)]


def test_budget_is_a_queue_full_and_writable_follows_a_zero() -> None:
    session = client(1)
    assert session.send_budget(1) == SEND_QUEUE
    session.send(1, bytes(SEND_QUEUE))
    assert session.send_budget(1) == 0
    flush(session)
    # All credit is spent: only credit makes it writable.
    assert drain(session) == []
    session.receive_data(frame(WINDOW_UPDATE, 0, 1, 100_000), 0.0)
    assert drain(session) == [Writable(1)]
    assert session.send_budget(1) == 100_000


def test_writable_follows_when_the_tunnel_took_enough() -> None:
    session = client(1)
    session.receive_data(frame(WINDOW_UPDATE, 0, 1, 1 << 20), 0.0)
    session.send(1, bytes(SEND_QUEUE))
    assert session.send_budget(1) == 0
    session.data_to_send(1000)
    assert drain(session) == []
    session.data_to_send(MUX_FRAME_DATA_MAX + HEADER_BYTES)
    assert drain(session) == [Writable(1)]
    # It is said once, and only to who was told 0.
    flush(session)
    assert drain(session) == []


def test_a_tiny_window_still_makes_progress() -> None:
    session = client(1)
    session.send(1, bytes(MUX_WINDOW_INITIAL))
    flush(session)
    assert session.send_budget(1) == 0
    session.receive_data(frame(WINDOW_UPDATE, 0, 1, 10), 0.0)
    assert drain(session) == [Writable(1)]
    assert session.send_budget(1) == 10


def test_no_writable_after_our_own_end() -> None:
    session = client(1)
    session.send(1, bytes(SEND_QUEUE))
    assert session.send_budget(1) == 0
    session.send_eof(1)
    assert session.send_budget(1) == 0
    session.receive_data(frame(WINDOW_UPDATE, 0, 1, 1 << 20), 0.0)
    flush(session)
    assert drain(session) == []


def test_all_queues_together_are_bounded() -> None:
    count = SEND_QUEUE_TOTAL // SEND_QUEUE
    session = client(count + 2)
    for stream in range(1, 2 * count, 2):
        session.send(stream, bytes(session.send_budget(stream)))
    late, other = 2 * count + 1, 2 * count + 3
    assert session.send_budget(late) == session.send_budget(other) == 0
    session.reset(other, Reason.CANCELLED)
    session.data_to_send()
    assert drain(session) == [Writable(late)]
    assert session.send_budget(late) == SEND_QUEUE


def test_credit_does_not_lift_the_common_bound() -> None:
    count = SEND_QUEUE_TOTAL // SEND_QUEUE
    session = client(count + 1)
    starved = 2 * count + 1
    session.send(starved, bytes(MUX_WINDOW_INITIAL))
    flush(session)
    assert session.send_budget(starved) == 0
    for stream in range(1, 2 * count, 2):
        session.send(stream, bytes(SEND_QUEUE))
    session.receive_data(frame(WINDOW_UPDATE, 0, starved, 1 << 20), 0.0)
    assert drain(session) == []
    session.data_to_send()
    assert drain(session) == [Writable(starved)]


def test_ignoring_the_budget_altogether_is_an_error() -> None:
    session = client(1)
    session.send(1, bytes(SEND_QUEUE_HARD))
    with pytest.raises(LocalProtocolError):
        session.send(1, b"x")


def test_a_reset_stream_leaves_the_round() -> None:
    session = client(2)
    session.send(1, b"one")
    session.send(3, b"two")
    session.reset(1, Reason.CANCELLED)
    assert headers(flush(session)) == [(WINDOW_UPDATE, 1, Reason.CANCELLED.number), (DATA, 3, 3)]
    session.send(3, b"x")
    session.reset(3, Reason.CANCELLED)
    assert headers(flush(session)) == [(WINDOW_UPDATE, 3, Reason.CANCELLED.number)]
    assert not session.has_data_to_send


def test_a_memoryview_is_cut_without_being_changed() -> None:
    pair = Pair()
    stream = pair.a.open_stream()
    whole = bytes(range(256)) * 2000
    pair.a.send(stream, memoryview(whole)[1:])
    pair.settle(consume=True)
    assert b"".join(e.data for e in pair.b_events if hasattr(e, "data")) == whole[1:]


def test_a_stream_without_credit_is_not_woken_by_the_common_bound() -> None:
    count = SEND_QUEUE_TOTAL // SEND_QUEUE
    session = client(count + 1)
    starved = 2 * count + 1
    session.send(starved, bytes(MUX_WINDOW_INITIAL))
    flush(session)
    for stream in range(1, 2 * count, 2):
        session.send(stream, bytes(SEND_QUEUE))
    assert session.send_budget(starved) == 0
    session.data_to_send()
    assert drain(session) == []
    session.receive_data(frame(WINDOW_UPDATE, 0, starved, 1 << 20), 0.0)
    assert drain(session) == [Writable(starved)]
