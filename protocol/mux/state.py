"""The life of one stream as a table: (state, input) -> (effect, next state).

A pair that is missing fails closed: from the peer it ends the session, from our own code it is a LocalProtocolError.
Two things are strict beyond the yamux text: the acceptor's first frame carries ACK or is a reset, and nothing but
credit and a reset may follow a FIN.
"""

from enum import IntEnum
from typing import Final

from protocol.errors import LocalProtocolError, RemoteProtocolError


class State(IntEnum):
    """Where a stream stands. *Ending*: our end is queued behind our data; *ended*: our FIN is out."""

    OPENED = 0
    """We opened it, the peer has not accepted."""
    OPENED_ENDING = 1
    OPENED_ENDED = 2
    OFFERED = 3
    """The peer opened it, we have not accepted."""
    OFFERED_REMOTE_EOF = 4
    OPEN = 5
    ENDING = 6
    LOCAL_EOF = 7
    REMOTE_EOF = 8
    REMOTE_EOF_ENDING = 9
    CLOSED = 10


class Input(IntEnum):
    """What can happen to a stream: RECV_* by the peer, the others by us (FIN_SENT when the FIN left the queue)."""

    RECV_ACK = 0
    RECV_DATA = 1
    RECV_CREDIT = 2
    RECV_EOF = 3
    RECV_RESET = 4
    ACCEPT = 5
    SEND = 6
    SEND_EOF = 7
    FIN_SENT = 8
    CONSUME = 9
    RESET = 10


class Effect(IntEnum):
    """What the session does about it."""

    IGNORE = 0
    TELL_ACCEPTED = 1
    DELIVER = 2
    ADD_CREDIT = 3
    TELL_EOF = 4
    TELL_EOF_FINISH = 5
    TELL_RESET = 6
    ACKNOWLEDGE = 7
    QUEUE = 8
    QUEUE_EOF = 9
    FINISH = 10
    ADVERTISE = 11
    RELEASE = 12
    """Only account for consumed bytes: the peer has ended and needs no credit."""
    SEND_RESET = 13


S, I, E = State, Input, Effect  # noqa: E741  one letter each, so that the table reads as a table

TABLE: Final[dict[tuple[State, Input], tuple[Effect, State]]] = {
    (S.OPENED, I.RECV_ACK): (E.TELL_ACCEPTED, S.OPEN),
    (S.OPENED, I.RECV_RESET): (E.TELL_RESET, S.CLOSED),
    (S.OPENED, I.SEND): (E.QUEUE, S.OPENED),
    (S.OPENED, I.SEND_EOF): (E.QUEUE_EOF, S.OPENED_ENDING),
    (S.OPENED, I.RESET): (E.SEND_RESET, S.CLOSED),
    (S.OPENED_ENDING, I.RECV_ACK): (E.TELL_ACCEPTED, S.ENDING),
    (S.OPENED_ENDING, I.RECV_RESET): (E.TELL_RESET, S.CLOSED),
    (S.OPENED_ENDING, I.FIN_SENT): (E.IGNORE, S.OPENED_ENDED),
    (S.OPENED_ENDING, I.RESET): (E.SEND_RESET, S.CLOSED),
    (S.OPENED_ENDED, I.RECV_ACK): (E.TELL_ACCEPTED, S.LOCAL_EOF),
    (S.OPENED_ENDED, I.RECV_RESET): (E.TELL_RESET, S.CLOSED),
    (S.OPENED_ENDED, I.RESET): (E.SEND_RESET, S.CLOSED),
    (S.OFFERED, I.RECV_DATA): (E.DELIVER, S.OFFERED),
    (S.OFFERED, I.RECV_CREDIT): (E.ADD_CREDIT, S.OFFERED),
    (S.OFFERED, I.RECV_EOF): (E.TELL_EOF, S.OFFERED_REMOTE_EOF),
    (S.OFFERED, I.RECV_RESET): (E.TELL_RESET, S.CLOSED),
    (S.OFFERED, I.ACCEPT): (E.ACKNOWLEDGE, S.OPEN),
    (S.OFFERED, I.CONSUME): (E.ADVERTISE, S.OFFERED),
    (S.OFFERED, I.RESET): (E.SEND_RESET, S.CLOSED),
    (S.OFFERED_REMOTE_EOF, I.RECV_CREDIT): (E.ADD_CREDIT, S.OFFERED_REMOTE_EOF),
    (S.OFFERED_REMOTE_EOF, I.RECV_RESET): (E.TELL_RESET, S.CLOSED),
    (S.OFFERED_REMOTE_EOF, I.ACCEPT): (E.ACKNOWLEDGE, S.REMOTE_EOF),
    (S.OFFERED_REMOTE_EOF, I.CONSUME): (E.RELEASE, S.OFFERED_REMOTE_EOF),
    (S.OFFERED_REMOTE_EOF, I.RESET): (E.SEND_RESET, S.CLOSED),
    (S.OPEN, I.RECV_DATA): (E.DELIVER, S.OPEN),
    (S.OPEN, I.RECV_CREDIT): (E.ADD_CREDIT, S.OPEN),
    (S.OPEN, I.RECV_EOF): (E.TELL_EOF, S.REMOTE_EOF),
    (S.OPEN, I.RECV_RESET): (E.TELL_RESET, S.CLOSED),
    (S.OPEN, I.ACCEPT): (E.IGNORE, S.OPEN),
    (S.OPEN, I.SEND): (E.QUEUE, S.OPEN),
    (S.OPEN, I.SEND_EOF): (E.QUEUE_EOF, S.ENDING),
    (S.OPEN, I.CONSUME): (E.ADVERTISE, S.OPEN),
    (S.OPEN, I.RESET): (E.SEND_RESET, S.CLOSED),
    (S.ENDING, I.RECV_DATA): (E.DELIVER, S.ENDING),
    (S.ENDING, I.RECV_CREDIT): (E.ADD_CREDIT, S.ENDING),
    (S.ENDING, I.RECV_EOF): (E.TELL_EOF, S.REMOTE_EOF_ENDING),
    (S.ENDING, I.RECV_RESET): (E.TELL_RESET, S.CLOSED),
    (S.ENDING, I.ACCEPT): (E.IGNORE, S.ENDING),
    (S.ENDING, I.FIN_SENT): (E.IGNORE, S.LOCAL_EOF),
    (S.ENDING, I.CONSUME): (E.ADVERTISE, S.ENDING),
    (S.ENDING, I.RESET): (E.SEND_RESET, S.CLOSED),
    (S.LOCAL_EOF, I.RECV_DATA): (E.DELIVER, S.LOCAL_EOF),
    (S.LOCAL_EOF, I.RECV_CREDIT): (E.IGNORE, S.LOCAL_EOF),
    (S.LOCAL_EOF, I.RECV_EOF): (E.TELL_EOF_FINISH, S.CLOSED),
    (S.LOCAL_EOF, I.RECV_RESET): (E.TELL_RESET, S.CLOSED),
    (S.LOCAL_EOF, I.ACCEPT): (E.IGNORE, S.LOCAL_EOF),
    (S.LOCAL_EOF, I.CONSUME): (E.ADVERTISE, S.LOCAL_EOF),
    (S.LOCAL_EOF, I.RESET): (E.SEND_RESET, S.CLOSED),
    (S.REMOTE_EOF, I.RECV_CREDIT): (E.ADD_CREDIT, S.REMOTE_EOF),
    (S.REMOTE_EOF, I.RECV_RESET): (E.TELL_RESET, S.CLOSED),
    (S.REMOTE_EOF, I.ACCEPT): (E.IGNORE, S.REMOTE_EOF),
    (S.REMOTE_EOF, I.SEND): (E.QUEUE, S.REMOTE_EOF),
    (S.REMOTE_EOF, I.SEND_EOF): (E.QUEUE_EOF, S.REMOTE_EOF_ENDING),
    (S.REMOTE_EOF, I.CONSUME): (E.RELEASE, S.REMOTE_EOF),
    (S.REMOTE_EOF, I.RESET): (E.SEND_RESET, S.CLOSED),
    (S.REMOTE_EOF_ENDING, I.RECV_CREDIT): (E.ADD_CREDIT, S.REMOTE_EOF_ENDING),
    (S.REMOTE_EOF_ENDING, I.RECV_RESET): (E.TELL_RESET, S.CLOSED),
    (S.REMOTE_EOF_ENDING, I.ACCEPT): (E.IGNORE, S.REMOTE_EOF_ENDING),
    (S.REMOTE_EOF_ENDING, I.FIN_SENT): (E.FINISH, S.CLOSED),
    (S.REMOTE_EOF_ENDING, I.CONSUME): (E.RELEASE, S.REMOTE_EOF_ENDING),
    (S.REMOTE_EOF_ENDING, I.RESET): (E.SEND_RESET, S.CLOSED),
} | {(S.CLOSED, signal): (E.IGNORE, S.CLOSED) for signal in Input if signal is not I.FIN_SENT}
# After the end frames of both sides cross on the wire, so whatever comes for a closed stream is dropped in silence.

ENDING: Final = frozenset({S.OPENED_ENDING, S.ENDING, S.REMOTE_EOF_ENDING})
"""Our end is queued: a FIN follows the last queued byte."""
UNACCEPTED: Final = frozenset({S.OPENED, S.OPENED_ENDING, S.OPENED_ENDED, S.OFFERED, S.OFFERED_REMOTE_EOF})


def illegal(state: State, signal: Input) -> RemoteProtocolError | LocalProtocolError:
    """Returns the error for a pair that is missing, by whose fault it is."""
    detail = f"{signal.name} on a mux stream that is {state.name}"
    return (RemoteProtocolError if signal <= Input.RECV_RESET else LocalProtocolError)(detail)
