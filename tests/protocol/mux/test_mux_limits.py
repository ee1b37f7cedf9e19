"""What a hostile peer cannot make a session spend (T-39, T-40)."""

from collections.abc import Callable

import pytest
from mux_pair import Pair, drain, flush, frame, received

from protocol.errors import LocalError, RemoteProtocolError
from protocol.limits import (
    MUX_ACCEPT_BACKLOG,
    MUX_OPENS_BURST,
    MUX_PINGS_PER_SECOND,
    MUX_RESETS_BURST,
    MUX_STREAMS_MAX,
    MUX_WINDOW_INITIAL,
)
from protocol.mux import DataReceived, EofReceived, Session, StreamOpened, StreamReset
from protocol.mux.budget import BUFFERED_MAX, CONTROL_FRAMES_MAX
from protocol.mux.frames import DATA, FIN, PING, RST, SYN, WINDOW_UPDATE
from protocol.reasons import Reason


def opened(number: int) -> bytes:
    return frame(WINDOW_UPDATE, SYN, number)


def turns_until_cut_off(turn: Callable[[Session, int, int], None], match: str) -> int:
    """Repeats ``turn(session, turn number, stream)`` until the session ends, and returns how often it went well."""
    session = Session(client=False, now=0.0)
    for index in range(200_000):
        try:
            turn(session, index, 2 * index + 1)
        except RemoteProtocolError as exc:
            error = exc
            break
        drain(session)
    assert error.reason is Reason.LIMIT_EXCEEDED
    assert match in error.detail
    return index


def test_t39_rapid_resets_close_the_tunnel() -> None:
    # CVE-2023-44487: open and reset, never many at once.
    def turn(session: Session, index: int, stream: int) -> None:
        session.receive_data(opened(stream) + frame(WINDOW_UPDATE, RST, stream), index / 5_000)

    assert turns_until_cut_off(turn, "reset per second") < MUX_RESETS_BURST * 1.3


def test_t39_resets_that_the_peer_provokes_count_too() -> None:
    # CVE-2025-8671: the peer makes us reset.
    def turn(session: Session, index: int, stream: int) -> None:
        session.receive_data(opened(stream), index / 5_000)
        session.reset(stream, Reason.NO_GRANT)
        flush(session)

    assert turns_until_cut_off(turn, "reset per second") < MUX_RESETS_BURST * 1.3


def test_t39_opens_per_second_are_limited_even_if_each_ends_in_order() -> None:
    def turn(session: Session, index: int, stream: int) -> None:
        session.receive_data(opened(stream) + frame(DATA, FIN, stream), 0.0)
        session.send_eof(stream)
        flush(session)

    assert turns_until_cut_off(turn, "opened per second") == MUX_OPENS_BURST


def test_t39_a_peer_that_does_not_read_its_answers_is_cut_off() -> None:
    # Slowly enough for every rate; one answer a turn.
    def turn(session: Session, index: int, stream: int) -> None:
        session.receive_data(opened(stream), index / 900)
        session.accept(stream)
        session.receive_data(frame(WINDOW_UPDATE, RST, stream), index / 900)

    assert turns_until_cut_off(turn, "does not read") > CONTROL_FRAMES_MAX / 2


def test_t39_beyond_the_backlog_streams_are_refused_and_leave_nothing() -> None:
    session = Session(client=False, now=0.0)
    for number in range(1, 2 * MUX_ACCEPT_BACKLOG + 1, 2):
        session.receive_data(opened(number), 0.0)
    assert len(drain(session)) == MUX_ACCEPT_BACKLOG
    refused = 2 * MUX_ACCEPT_BACKLOG + 1
    session.receive_data(frame(DATA, SYN, refused, body=b"ignored") + frame(DATA, 0, refused, body=b"too"), 0.0)
    assert drain(session) == []
    assert flush(session) == frame(WINDOW_UPDATE, RST, refused, Reason.LIMIT_EXCEEDED.number)
    assert session.stream_count == MUX_ACCEPT_BACKLOG
    session.accept(1)
    session.receive_data(opened(refused + 2), 0.0)
    assert drain(session) == [StreamOpened(refused + 2)]


def test_t39_streams_at_once_are_limited() -> None:
    session = Session(client=False, now=0.0)
    for index in range(MUX_STREAMS_MAX + 1):
        session.receive_data(opened(2 * index + 1), index / 1_000)
        session.accept(2 * index + 1)
        drain(session)
        flush_last = flush(session)
    assert session.stream_count == MUX_STREAMS_MAX
    assert flush_last == frame(WINDOW_UPDATE, RST, 2 * MUX_STREAMS_MAX + 1, Reason.LIMIT_EXCEEDED.number)


def test_t39_resetting_old_accepted_streams_is_no_flood() -> None:
    # A change of policy may reset thousands at once.
    session = Session(client=False, now=0.0)
    count = MUX_RESETS_BURST + 2_000
    numbers = range(1, 2 * count, 2)
    for number in numbers:
        session.receive_data(opened(number), number / 2_000)
        session.accept(number)
    session.tick(100.0)
    session.receive_data(b"".join(frame(WINDOW_UPDATE, RST, number) for number in numbers), 100.0)
    session.receive_data(opened(2 * count + 1), 100.0)
    assert drain(session)[-1] == StreamOpened(2 * count + 1)


def test_t39_an_honest_session_throttles_itself_before_the_peer_has_to() -> None:
    pair = Pair()
    refused = 0
    for turn in range(20_000):
        pair.now = turn / 4_000
        pair.a.tick(pair.now)
        if pair.a.can_open:
            pair.a.reset(pair.a.open_stream(pair.now), Reason.CANCELLED)
        else:
            refused += 1
            with pytest.raises(LocalError):
                pair.a.open_stream(pair.now)
        pair.b.receive_data(flush(pair.a), pair.now)
        drain(pair.b)
    assert refused > 10_000
    pair.now += 10.0
    assert pair.a.open_stream(pair.now)


def test_t39_pings_are_limited() -> None:
    session = Session(client=False, now=0.0)
    session.receive_data(frame(PING, SYN, 0, 7) * MUX_PINGS_PER_SECOND, 0.0)
    session.receive_data(frame(PING, SYN, 0, 7), 1.0)
    with pytest.raises(RemoteProtocolError) as caught:
        session.receive_data(frame(PING, SYN, 0, 7) * MUX_PINGS_PER_SECOND, 1.0)
    assert caught.value.reason is Reason.LIMIT_EXCEEDED


def test_t40_data_beyond_the_window_is_a_violation() -> None:
    session = Session(client=False, now=0.0)
    session.receive_data(opened(1) + frame(DATA, 0, 1, body=bytes(MUX_WINDOW_INITIAL)), 0.0)
    with pytest.raises(RemoteProtocolError):
        session.receive_data(frame(DATA, 0, 1, body=b"x"), 0.0)


def test_t40_the_announced_length_alone_is_enough_to_refuse() -> None:
    session = Session(client=False, now=0.0)
    with pytest.raises(RemoteProtocolError):
        session.receive_data(opened(1) + frame(DATA, 0, 1, MUX_WINDOW_INITIAL + 1), 0.0)
    assert drain(session) == [StreamOpened(1)]


def test_t40_a_stream_that_is_not_read_does_not_hold_up_the_others() -> None:
    pair = Pair()
    streams = [pair.a.open_stream() for _ in range(21)]
    stalled, others = streams[0], streams[1:]
    sent = dict.fromkeys(streams, 0)
    for _ in range(40):
        for stream in streams:
            while (budget := pair.a.send_budget(stream)) > 0:
                pair.a.send(stream, bytes(budget))
                sent[stream] += budget
        while data := pair.a.data_to_send():
            pair.b.receive_data(data, 0.0)
        for event in drain(pair.b):
            pair.b_events.append(event)
            if isinstance(event, DataReceived) and event.stream != stalled:
                pair.b.consume(event.stream, len(event.data), 0.0)
        pair.a.receive_data(flush(pair.b), 0.0)
    assert sent[stalled] == MUX_WINDOW_INITIAL
    assert min(len(received(pair.b_events, stream)) for stream in others) == 40 * MUX_WINDOW_INITIAL


def test_t40_what_all_streams_hold_is_bounded_and_the_greediest_pays() -> None:
    session = Session(client=False, now=0.0)
    number = 1
    resets: list[StreamReset] = []
    body = bytes(MUX_WINDOW_INITIAL // 2)
    session.receive_data(opened(1) + frame(DATA, 0, 1, body=bytes(MUX_WINDOW_INITIAL)), 0.0)
    held = MUX_WINDOW_INITIAL
    while not resets:
        number += 2
        session.receive_data(opened(number) + frame(DATA, 0, number, body=body), number / 1_000)
        session.accept(number)
        held += len(body)
        resets = [event for event in drain(session) if isinstance(event, StreamReset)]
    assert BUFFERED_MAX < held <= BUFFERED_MAX + len(body)
    assert resets == [StreamReset(1, Reason.LIMIT_EXCEEDED)]
    assert frame(WINDOW_UPDATE, RST, 1, Reason.LIMIT_EXCEEDED.number) in flush(session)
    # The others go on.
    session.receive_data(frame(DATA, FIN, number), 10.0)
    assert drain(session) == [EofReceived(number)]


def test_t40_consumed_bytes_no_longer_count() -> None:
    session = Session(client=False, now=0.0)
    session.receive_data(opened(1), 0.0)
    session.accept(1)
    total = 0
    while total <= BUFFERED_MAX + MUX_WINDOW_INITIAL:
        session.receive_data(frame(DATA, 0, 1, body=bytes(MUX_WINDOW_INITIAL)), 0.0)
        session.consume(1, MUX_WINDOW_INITIAL, 0.0)
        total += MUX_WINDOW_INITIAL
        assert not [event for event in drain(session) if isinstance(event, StreamReset)]
