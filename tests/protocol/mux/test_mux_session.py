"""Dialogues between two sessions."""

import pytest
from mux_pair import Pair, drain, flush, frame, received, without_data

from protocol.errors import LocalError, LocalProtocolError, RefusedError, RemoteProtocolError
from protocol.limits import MUX_ACCEPT_BACKLOG, MUX_WINDOW_INITIAL
from protocol.mux import (
    DataReceived,
    EofReceived,
    GoneAway,
    Pong,
    Session,
    StreamAccepted,
    StreamFinished,
    StreamOpened,
    StreamReset,
)
from protocol.mux.frames import ACK, DATA, FIN, RST, SYN, WINDOW_UPDATE
from protocol.reasons import Reason


def test_data_follows_the_open_at_once_and_both_halves_end() -> None:
    pair = Pair()
    stream = pair.a.open_stream()
    pair.a.send(stream, b"question")
    pair.a.send_eof(stream)
    pair.b.receive_data(pair.a.data_to_send(), 0.0)
    assert drain(pair.b) == [StreamOpened(1), DataReceived(1, b"question"), EofReceived(1)]
    pair.b.send(stream, memoryview(b"answer"))
    pair.b.send_eof(stream)
    pair.a.receive_data(pair.b.data_to_send(), 0.0)
    assert drain(pair.a) == [StreamAccepted(1), DataReceived(1, b"answer"), EofReceived(1), StreamFinished(1)]
    assert drain(pair.b) == [StreamFinished(1)]
    assert pair.a.stream_count == pair.b.stream_count == 0


def test_ids_of_both_sides_rise_by_two() -> None:
    pair = Pair()
    assert [pair.a.open_stream(), pair.a.open_stream(), pair.b.open_stream(), pair.b.open_stream()] == [1, 3, 2, 4]
    pair.settle()
    assert pair.a_events == [StreamOpened(2), StreamOpened(4)]
    assert pair.b_events == [StreamOpened(1), StreamOpened(3)]


def test_half_close_leaves_the_other_half_open() -> None:
    pair = Pair()
    stream = pair.a.open_stream()
    pair.a.send_eof(stream)
    pair.settle()
    pair.b.accept(stream)
    pair.settle()
    for piece in (b"one ", b"two ", b"three"):
        pair.b.send(stream, piece)
        pair.settle(consume=True)
    assert received(pair.a_events, stream) == b"one two three"
    pair.b.send_eof(stream)
    pair.settle()
    assert pair.a_events[-2:] == [EofReceived(stream), StreamFinished(stream)]
    assert pair.b_events == [StreamOpened(stream), EofReceived(stream), StreamFinished(stream)]


def test_accept_is_told_once_and_accepting_again_does_nothing() -> None:
    pair = Pair()
    stream = pair.a.open_stream()
    pair.settle()
    pair.b.accept(stream)
    pair.b.accept(stream)
    pair.settle()
    assert pair.a_events == [StreamAccepted(stream)]


@pytest.mark.parametrize("reason", [Reason.NORMAL, Reason.NOT_A_RESOURCE, Reason.ACCESS_REVOKED])
def test_reset_carries_its_reason_and_drops_what_is_queued(reason: Reason) -> None:
    pair = Pair()
    stream = pair.a.open_stream()
    pair.settle()
    pair.b.send(stream, b"x" * 1000)
    pair.b.reset(stream, reason)
    pair.settle()
    assert pair.a_events[-1] == StreamReset(stream, reason)
    assert received(pair.a_events, stream) == b""
    assert pair.a.stream_count == pair.b.stream_count == 0


def test_an_unknown_reason_of_a_newer_peer_is_internal() -> None:
    session = Session(client=True, now=0.0)
    session.open_stream()
    session.receive_data(frame(WINDOW_UPDATE, RST, 1, 60_000), 0.0)
    assert drain(session) == [StreamReset(1, Reason.INTERNAL)]


def test_resets_that_cross_and_late_frames_are_tolerated() -> None:
    pair = Pair()
    stream = pair.a.open_stream()
    pair.settle()
    pair.b.accept(stream)
    pair.settle()
    pair.a.send(stream, b"late")
    late = flush(pair.a)
    pair.a.reset(stream, Reason.CANCELLED)
    pair.b.reset(stream, Reason.TIMEOUT)
    pair.b.receive_data(late, 0.0)
    pair.settle()
    late_frames = frame(WINDOW_UPDATE, 0, stream, 5) + frame(DATA, FIN, stream, body=b"zz") + frame(DATA, RST, stream)
    pair.b.receive_data(late_frames + frame(WINDOW_UPDATE, RST, stream, 7), 0.0)
    assert without_data(drain(pair.b)) == []


def test_calls_for_an_ended_stream_do_nothing() -> None:
    pair = Pair()
    stream = pair.a.open_stream()
    pair.a.reset(stream, Reason.CANCELLED)
    flush(pair.a)
    pair.a.send(stream, b"x")
    pair.a.send_eof(stream)
    pair.a.consume(stream, 5, 0.0)
    pair.a.accept(stream)
    pair.a.reset(stream, Reason.CANCELLED)
    assert pair.a.send_budget(stream) == 0
    assert not pair.a.has_data_to_send


def test_calls_for_a_stream_that_never_was_are_errors() -> None:
    session = Session(client=True, now=0.0)
    for number in (0, 1, 2):
        with pytest.raises(LocalProtocolError):
            session.send(number, b"x")


def test_sending_after_the_end_is_an_error() -> None:
    session = Session(client=True, now=0.0)
    stream = session.open_stream()
    session.send_eof(stream)
    with pytest.raises(LocalProtocolError):
        session.send(stream, b"x")
    with pytest.raises(LocalProtocolError):
        session.send_eof(stream)


def test_partial_payload_is_handed_on_as_it_arrives() -> None:
    pair = Pair()
    stream = pair.a.open_stream()
    pair.a.send(stream, b"abcdef")
    pair.a.send_eof(stream)
    data = flush(pair.a)
    pair.b.receive_data(data[:-4], 0.0)
    assert drain(pair.b) == [StreamOpened(1), DataReceived(1, b"ab")]
    pair.b.receive_data(data[-4:-1], 0.0)
    assert drain(pair.b) == [DataReceived(1, b"cde")]
    pair.b.receive_data(data[-1:], 0.0)
    assert drain(pair.b) == [DataReceived(1, b"f"), EofReceived(1)]


def test_a_reset_in_the_middle_of_a_frame_drops_its_rest() -> None:
    pair = Pair()
    pair.b.receive_data(frame(WINDOW_UPDATE, SYN, 1) + frame(DATA, FIN, 1, body=b"abcd")[:-2], 0.0)
    pair.b.reset(1, Reason.TIMEOUT)
    drain(pair.b)
    pair.b.receive_data(b"cd" + frame(WINDOW_UPDATE, SYN, 3), 0.0)
    assert drain(pair.b) == [StreamOpened(3)]


def test_frames_that_combine_flags() -> None:
    # What other implementations send and we do not: data with SYN, FIN on a window update, RST on data.
    session = Session(client=False, now=0.0)
    session.receive_data(frame(DATA, SYN, 1, body=b"hi") + frame(WINDOW_UPDATE, FIN, 1, 5), 0.0)
    assert drain(session) == [StreamOpened(1), DataReceived(1, b"hi"), EofReceived(1)]
    session.receive_data(frame(DATA, SYN | FIN, 3, body=b"yo") + frame(DATA, RST, 3, body=b"gone"), 0.0)
    assert drain(session) == [
        StreamOpened(3),
        DataReceived(3, b"yo"),
        EofReceived(3),
        StreamReset(3, Reason.CANCELLED),
    ]
    client = Session(client=True, now=0.0)
    client.open_stream()
    client.receive_data(frame(DATA, ACK | FIN, 1, body=b"all"), 0.0)
    assert drain(client) == [StreamAccepted(1), DataReceived(1, b"all"), EofReceived(1)]


@pytest.mark.parametrize(
    "frames",
    [
        frame(DATA, 0, 1, body=b"x"),
        frame(WINDOW_UPDATE, SYN, 2),
        frame(WINDOW_UPDATE, SYN, 1) * 2,
        frame(WINDOW_UPDATE, SYN, 3) + frame(WINDOW_UPDATE, SYN, 1),
        frame(WINDOW_UPDATE, SYN, 1) + frame(WINDOW_UPDATE, ACK, 1),
        frame(WINDOW_UPDATE, SYN, 1) + frame(DATA, FIN, 1) + frame(DATA, 0, 1, body=b"x"),
        frame(WINDOW_UPDATE, SYN, 1) + frame(DATA, FIN, 1) * 2,
        frame(WINDOW_UPDATE, SYN, 1, 0xFFFFFFFF),
        frame(WINDOW_UPDATE, SYN, 1) + frame(WINDOW_UPDATE, RST, 1) + frame(DATA, 0, 1, 1 << 31),
        frame(2, ACK, 0, 1),
    ],
    ids=[
        "data before the open",
        "an id of ours",
        "the same id twice",
        "an id that goes back",
        "ACK by the opener",
        "data after the end",
        "two ends",
        "credit that overflows",
        "a huge frame for a closed stream",
        "an answer to no ping",
    ],
)
def test_violations_end_the_session_and_tell_the_peer(frames: bytes) -> None:
    session = Session(client=False, now=0.0)
    with pytest.raises(RemoteProtocolError) as caught:
        session.receive_data(frames, 0.0)
    assert caught.value.reason is Reason.PROTOCOL_ERROR
    assert session.deadline() is None
    assert not session.can_open
    session.ping(1.0)
    session.go_away(Reason.NORMAL)
    peer = Session(client=True, now=0.0)
    peer.receive_data(flush(session), 0.0)
    assert drain(peer) == [GoneAway(Reason.PROTOCOL_ERROR)]
    with pytest.raises(LocalProtocolError):
        session.receive_data(b"", 0.0)


@pytest.mark.parametrize("kind", [DATA, WINDOW_UPDATE])
def test_the_acceptor_may_not_speak_before_it_accepts(kind: int) -> None:
    session = Session(client=True, now=0.0)
    session.open_stream()
    with pytest.raises(RemoteProtocolError):
        session.receive_data(frame(kind, 0, 1, 1), 0.0)


def test_a_large_first_message_gets_credit_before_any_answer() -> None:
    # A proof may be larger than the initial window; the credit for it accepts the stream.
    pair = Pair()
    stream = pair.a.open_stream()
    pair.a.send(stream, bytes(MUX_WINDOW_INITIAL * 3))
    pair.settle(consume=True)
    assert len(received(pair.b_events, stream)) == MUX_WINDOW_INITIAL * 3
    assert StreamAccepted(stream) in pair.a_events


def test_consuming_after_the_peers_end_sends_no_credit() -> None:
    pair = Pair()
    stream = pair.a.open_stream()
    pair.a.send(stream, bytes(MUX_WINDOW_INITIAL))
    pair.a.send_eof(stream)
    pair.settle()
    pair.b.consume(stream, MUX_WINDOW_INITIAL, 0.0)
    assert not pair.b.has_data_to_send
    with pytest.raises(LocalProtocolError):
        pair.b.consume(stream, 1, 0.0)


def test_credit_after_our_own_end_changes_nothing() -> None:
    pair = Pair()
    stream = pair.a.open_stream()
    pair.a.send_eof(stream)
    pair.settle()
    pair.b.accept(stream)
    pair.settle()
    pair.a.receive_data(frame(WINDOW_UPDATE, 0, stream, 0xFFFFFFFF), 0.0)
    assert pair.a.send_budget(stream) == 0
    assert not pair.a.has_data_to_send


def test_go_away_refuses_new_streams_and_keeps_the_open_ones() -> None:
    pair = Pair()
    old = pair.a.open_stream()
    pair.settle()
    pair.b.go_away(Reason.SHUTTING_DOWN)
    pair.b.go_away(Reason.NORMAL)
    crossing = pair.a.open_stream()
    pair.settle()
    assert pair.a_events == [GoneAway(Reason.SHUTTING_DOWN), StreamReset(crossing, Reason.SHUTTING_DOWN)]
    with pytest.raises(RefusedError) as caught:
        pair.a.open_stream()
    assert caught.value.reason is Reason.SHUTTING_DOWN
    assert not pair.a.can_open
    pair.a.send(old, b"still here")
    pair.settle()
    assert received(pair.b_events, old) == b"still here"
    pair.a.receive_data(frame(3, 0, 0, 2), 0.0)
    assert drain(pair.a) == []


def test_our_own_opens_stay_inside_the_peers_backlog() -> None:
    pair = Pair()
    for _ in range(MUX_ACCEPT_BACKLOG):
        pair.a.open_stream()
    assert not pair.a.can_open
    with pytest.raises(LocalError) as caught:
        pair.a.open_stream()
    assert caught.value.reason is Reason.LIMIT_EXCEEDED
    pair.settle()
    assert StreamReset not in {type(event) for event in pair.a_events}
    pair.b.accept(1)
    pair.b.reset(3, Reason.NO_GRANT)
    pair.settle()
    assert [pair.a.open_stream(), pair.a.open_stream()] == [2 * MUX_ACCEPT_BACKLOG + 1, 2 * MUX_ACCEPT_BACKLOG + 3]
    assert not pair.a.can_open


def test_rtt_is_measured_at_first_traffic_and_then_every_ten_seconds() -> None:
    pair = Pair(now=100.0)
    assert pair.a.deadline() is None
    assert Session(client=True, now=0.0).rtt is None
    pair.a.open_stream()
    assert pair.a.deadline() == (100.0, "rtt-ping")
    pair.a.tick(100.0)
    assert pair.a.deadline() is None
    pair.b.receive_data(flush(pair.a), 100.0)
    pair.a.receive_data(flush(pair.b), 100.25)
    assert drain(pair.a) == [Pong(0.25)]
    assert pair.a.rtt == 0.25
    pair.a.send(1, b"x")
    assert pair.a.deadline() == (110.0, "rtt-ping")
    pair.a.tick(109.0)
    assert flush(pair.a) == frame(DATA, 0, 1, body=b"x")
    pair.a.tick(110.0)
    pair.b.receive_data(flush(pair.a), 110.0)
    pair.a.receive_data(flush(pair.b), 110.0)
    assert drain(pair.a) == [Pong(0.0)]
    assert pair.a.rtt == 0.25 * 7 / 8


def test_pings_that_are_asked_for_too_often_are_left_out() -> None:
    session = Session(client=True, now=0.0)
    for _ in range(100):
        session.ping(0.0)
    assert len(flush(session)) == 10 * 12
    for second in range(1, 100):
        session.ping(float(second))
    assert len(flush(session)) == 6 * 12


def test_an_honest_session_grows_its_window_end_to_end() -> None:
    pair = Pair()
    stream = pair.a.open_stream()
    pair.b.ping(0.0)
    ping = flush(pair.b)
    pair.a.receive_data(ping, 0.1)
    pair.b.receive_data(flush(pair.a), 0.2)
    pair.now = 0.2
    pair.a.send(stream, bytes(1 << 20))
    pair.settle(consume=True)
    # More than the initial window is on its way without a turn of the peer.
    pair.a.send(stream, bytes(1 << 20))
    assert len(flush(pair.a)) > 2 * MUX_WINDOW_INITIAL
