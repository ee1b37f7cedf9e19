"""The stream multiplexer of a tunnel: yamux wire format, sans-I/O.

``Session`` is the machine; the rest are its events. See ``session`` for how to drive it.
"""

from protocol.mux.events import (
    DataReceived,
    EofReceived,
    Event,
    GoneAway,
    Pong,
    StreamAccepted,
    StreamFinished,
    StreamOpened,
    StreamReset,
    Writable,
)
from protocol.mux.session import Session

__all__ = [
    "DataReceived",
    "EofReceived",
    "Event",
    "GoneAway",
    "Pong",
    "Session",
    "StreamAccepted",
    "StreamFinished",
    "StreamOpened",
    "StreamReset",
    "Writable",
]
