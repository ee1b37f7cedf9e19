"""What a mux session tells its owner."""

from dataclasses import dataclass

from protocol.reasons import Reason


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer opened a stream. It counts against the backlog until it is accepted, written to or reset."""

    stream: int


@dataclass(frozen=True, slots=True)
class StreamAccepted:
    """The peer accepted a stream of ours."""

    stream: int


@dataclass(slots=True, unsafe_hash=True)
class DataReceived:
    """The next bytes of a stream, cut wherever they arrived. Give their credit back with ``Session.consume``.

    Not frozen, because it is the one event on the hot path (a frozen dataclass costs three times as much to make).
    """

    stream: int
    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class EofReceived:
    """The peer will send no more on this stream; our half may go on."""

    stream: int


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The stream is gone at once, both ways: by the peer, or by the session itself to keep its bounds."""

    stream: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class StreamFinished:
    """Both halves ended in order. The last event of a stream."""

    stream: int


@dataclass(frozen=True, slots=True)
class Writable:
    """``send_budget`` of a stream is above 0 again after it was 0."""

    stream: int


@dataclass(frozen=True, slots=True)
class Pong:
    """An answer to one of our pings; ``rtt`` in seconds."""

    rtt: float


@dataclass(frozen=True, slots=True)
class GoneAway:
    """The peer takes no more streams; those that are open go on."""

    reason: Reason


Event = (
    StreamOpened
    | StreamAccepted
    | DataReceived
    | EofReceived
    | StreamReset
    | StreamFinished
    | Writable
    | Pong
    | GoneAway
)
