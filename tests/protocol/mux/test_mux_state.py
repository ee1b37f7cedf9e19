"""The stream table against what it is derived from: acceptance, and two halves that end on their own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.mux.budget import WindowBudget
from protocol.mux.state import ENDING, TABLE, UNACCEPTED, Effect, Input, State
from protocol.mux.stream import Stream
from protocol.mux.window import ReceiveWindow

# state: (who opened, accepted, our half, their half)
MEANING = {
    State.OPENED: ("us", False, "open", "open"),
    State.OPENED_ENDING: ("us", False, "ending", "open"),
    State.OPENED_ENDED: ("us", False, "ended", "open"),
    State.OFFERED: ("peer", False, "open", "open"),
    State.OFFERED_REMOTE_EOF: ("peer", False, "open", "ended"),
    State.OPEN: (None, True, "open", "open"),
    State.ENDING: (None, True, "ending", "open"),
    State.LOCAL_EOF: (None, True, "ended", "open"),
    State.REMOTE_EOF: (None, True, "open", "ended"),
    State.REMOTE_EOF_ENDING: (None, True, "ending", "ended"),
    State.CLOSED: (None, True, "ended", "ended"),
}


def is_legal(state: State, signal: Input) -> bool:
    opener, accepted, ours, theirs = MEANING[state]
    peer_may_speak = accepted or opener == "peer"
    if state is State.CLOSED:
        return signal is not Input.FIN_SENT
    return {
        Input.RECV_ACK: opener == "us",
        Input.RECV_DATA: peer_may_speak and theirs == "open",
        Input.RECV_CREDIT: peer_may_speak,
        Input.RECV_EOF: peer_may_speak and theirs == "open",
        Input.RECV_RESET: True,
        Input.ACCEPT: accepted or opener == "peer",
        Input.SEND: ours == "open" and (accepted or opener == "us"),
        Input.SEND_EOF: ours == "open" and (accepted or opener == "us"),
        Input.FIN_SENT: ours == "ending",
        Input.CONSUME: peer_may_speak,
        Input.RESET: True,
    }[signal]


def next_meaning(state: State, signal: Input) -> tuple[bool, str, str]:
    _, accepted, ours, theirs = MEANING[state]
    if signal in (Input.RECV_RESET, Input.RESET):
        return True, "ended", "ended"
    if signal in (Input.RECV_ACK, Input.ACCEPT):
        accepted = True
    elif signal is Input.RECV_EOF:
        theirs = "ended"
    elif signal is Input.SEND_EOF:
        ours = "ending"
    elif signal is Input.FIN_SENT:
        ours = "ended"
    return accepted, ours, theirs


def stream_in(state: State) -> Stream:
    stream = Stream(1, own=True, window=ReceiveWindow(WindowBudget(), 0.0), now=0.0)
    stream.state = state
    return stream


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("signal", Input)
def test_every_pair_is_as_the_halves_say_and_a_missing_one_fails_closed(state: State, signal: Input) -> None:
    stream = stream_in(state)
    if is_legal(state, signal):
        if state is State.CLOSED:
            assert stream.step(signal) is Effect.IGNORE
            assert stream.state is State.CLOSED
            return
        stream.step(signal)
        assert MEANING[stream.state][1:] == next_meaning(state, signal)
    else:
        by_peer = signal.name.startswith("RECV_")
        with pytest.raises(RemoteProtocolError if by_peer else LocalProtocolError, match=signal.name):
            stream.step(signal)
        assert stream.state is state


def test_the_sets_beside_the_table_agree_with_it() -> None:
    assert {state for state, meaning in MEANING.items() if meaning[2] == "ending"} == ENDING
    assert {state for state, meaning in MEANING.items() if not meaning[1]} == UNACCEPTED
    assert all((state, Input.RESET) in TABLE for state in State)


@given(st.booleans(), st.lists(st.sampled_from(Input), max_size=30))
def test_any_walk_keeps_to_the_table(own: bool, signals: list[Input]) -> None:
    stream = Stream(1, own=own, window=ReceiveWindow(WindowBudget(), 0.0), now=0.0)
    closed = False
    for signal in signals:
        before = stream.state
        try:
            effect = stream.step(signal)
        except (RemoteProtocolError, LocalProtocolError):
            assert not is_legal(before, signal)
            continue
        # Nothing wakes a closed stream, and it closes with an effect that tells somebody.
        assert not closed or effect is Effect.IGNORE
        if stream.state is State.CLOSED and not closed:
            closed = True
            assert effect in (Effect.TELL_RESET, Effect.SEND_RESET, Effect.FINISH, Effect.TELL_EOF_FINISH)
