"""One stream: its queue keeps every byte, spends credit for it, and asks for no more than may leave (T-40)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import MUX_WINDOW_INITIAL
from protocol.mux.budget import WindowBudget
from protocol.mux.frames import CREDIT_MAX
from protocol.mux.state import Effect, Input, State
from protocol.mux.stream import SEND_QUEUE, SEND_QUEUE_HARD, SEND_ROOM_MIN, Stream
from protocol.mux.window import ReceiveWindow


def make(*, own: bool = True) -> Stream:
    return Stream(1, own=own, window=ReceiveWindow(WindowBudget(), 0.0), now=3.0)


def pulled(stream: Stream, size: int) -> list[bytes | memoryview]:
    parts: list[bytes | memoryview] = []
    stream.pull(size, parts)
    return parts


def test_new_stream_waits_for_the_other_side() -> None:
    own, offered = make(), make(own=False)
    assert (own.state, offered.state) == (State.OPENED, State.OFFERED)
    assert not own.accepted
    assert not offered.accepted
    assert own.opened_at == 3.0
    assert own.send_window == MUX_WINDOW_INITIAL


def test_steps_follow_the_table_and_what_is_missing_there_is_an_error_of_whoever_did_it() -> None:
    stream = make()
    assert (stream.step(Input.SEND), stream.accepted) == (Effect.QUEUE, False)
    assert (stream.step(Input.RECV_ACK), stream.accepted) == (Effect.TELL_ACCEPTED, True)
    with pytest.raises(RemoteProtocolError):
        stream.step(Input.RECV_ACK)
    assert stream.step(Input.SEND_EOF) is Effect.QUEUE_EOF
    with pytest.raises(LocalProtocolError):
        stream.step(Input.SEND_EOF)
    assert stream.state is State.ENDING, "an illegal input changes nothing"


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=50), max_size=20),
    sizes=st.lists(st.integers(1, 40), max_size=60),
    as_views=st.booleans(),
)
def test_bytes_leave_as_they_came(pieces: list[bytes], sizes: list[int], as_views: bool) -> None:
    stream = make()
    for piece in pieces:
        stream.push(memoryview(piece) if as_views else piece)
    whole = b"".join(pieces)
    out = bytearray()
    for wanted in sizes:
        size = min(wanted, stream.queued)
        parts = pulled(stream, size)
        assert sum(map(len, parts)) == size
        for part in parts:
            out += part
        assert stream.queued == len(whole) - len(out)
        assert stream.send_window == MUX_WINDOW_INITIAL - len(out)
    assert whole.startswith(out)
    for part in pulled(stream, stream.queued):
        out += part
    assert out == whole


def test_pulling_copies_nothing() -> None:
    stream = make()
    data = bytes(100)
    stream.push(data)
    (first,) = pulled(stream, 40)
    assert isinstance(first, memoryview)
    assert first.obj is data
    (rest,) = pulled(stream, 60)
    assert isinstance(rest, memoryview)
    assert rest.obj is data
    stream.push(data)
    assert pulled(stream, 100)[0] is data


def test_frame_may_leave_when_there_is_credit_for_data_or_an_end_behind_it() -> None:
    stream = make()
    seen = [stream.sendable]
    stream.push(bytes(MUX_WINDOW_INITIAL))
    seen.append(stream.sendable)
    pulled(stream, MUX_WINDOW_INITIAL)
    seen.append(stream.sendable)
    assert seen == [False, True, False], "data makes it so, an empty queue does not"
    stream.push(b"x")
    seen = [stream.sendable]
    stream.step(Input.SEND_EOF)
    seen.append(stream.sendable)
    stream.add_credit(1)
    pulled(stream, 1)
    seen.append(stream.sendable)
    assert seen == [False, False, True], "data needs credit, the end waits behind it and needs none itself"


def test_t40_room_never_exceeds_what_the_peer_gave_credit_for() -> None:
    stream = make()
    assert stream.room() == min(SEND_QUEUE, MUX_WINDOW_INITIAL)
    stream.push(bytes(SEND_QUEUE - SEND_ROOM_MIN))
    assert stream.room() == SEND_ROOM_MIN
    stream.push(b"x")
    assert stream.room() == 0, "less is not worth a wake-up"
    pulled(stream, stream.queued)
    assert stream.room() == stream.send_window == SEND_ROOM_MIN - 1, "unless the queue is empty"
    rest = stream.send_window
    stream.push(bytes(rest))
    pulled(stream, rest)
    assert stream.room() == 0


@given(st.integers(0, 2 * SEND_QUEUE), st.integers(0, 2 * SEND_QUEUE))
def test_t40_room_is_bounded_whatever_the_credit(credit: int, queued: int) -> None:
    stream = make()
    stream.add_credit(credit)
    stream.push(bytes(queued))
    room = stream.room()
    assert 0 <= room <= SEND_QUEUE
    assert room == 0 or queued + room <= min(SEND_QUEUE, stream.send_window)


def test_caller_that_ignores_the_budget_is_stopped() -> None:
    stream = make()
    stream.push(bytes(SEND_QUEUE_HARD))
    with pytest.raises(LocalProtocolError, match="queued"):
        stream.push(b"x")
    assert stream.queued == SEND_QUEUE_HARD, "what was refused is not queued"


def test_t40_credit_that_cannot_be_meant_is_a_violation() -> None:
    stream = make()
    stream.add_credit(CREDIT_MAX - MUX_WINDOW_INITIAL)
    assert stream.send_window == CREDIT_MAX
    with pytest.raises(RemoteProtocolError, match="credit"):
        stream.add_credit(1)
