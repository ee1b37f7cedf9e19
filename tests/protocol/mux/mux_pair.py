"""Two sessions joined in memory, and hand-made frames for a hostile peer."""

from protocol.mux import DataReceived, Event, Session
from protocol.mux.frames import encode_header


def drain(session: Session) -> list[Event]:
    """All events that are waiting."""
    events: list[Event] = []
    while (event := session.next_event()) is not None:
        events.append(event)
    return events


def flush(session: Session, limit: int = 1 << 18) -> bytes:
    """All bytes that can leave."""
    out = []
    while data := session.data_to_send(limit):
        out.append(data)
    return b"".join(out)


class Pair:
    """``a`` is the client, ``b`` the server; ``a_events`` and ``b_events`` collect what they say."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.a = Session(client=True, now=now)
        self.b = Session(client=False, now=now)
        self.a_events: list[Event] = []
        self.b_events: list[Event] = []

    def settle(self, *, consume: bool = False) -> None:
        """Carries bytes both ways until nothing moves; with ``consume`` all data is taken at once."""
        moved = True
        while moved:
            moved = False
            for source, sink, source_events, sink_events in (
                (self.a, self.b, self.a_events, self.b_events),
                (self.b, self.a, self.b_events, self.a_events),
            ):
                data = source.data_to_send()
                if data:
                    moved = True
                    sink.receive_data(data, self.now)
                source_events += drain(source)
                for event in drain(sink):
                    sink_events.append(event)
                    if consume and isinstance(event, DataReceived):
                        sink.consume(event.stream, len(event.data), self.now)


def received(events: list[Event], stream: int) -> bytes:
    """The bytes of a stream among events."""
    return b"".join(event.data for event in events if isinstance(event, DataReceived) and event.stream == stream)


def without_data(events: list[Event]) -> list[Event]:
    """The events that are not data."""
    return [event for event in events if not isinstance(event, DataReceived)]


def frame(kind: int, flags: int, stream: int, length: int | None = None, body: bytes = b"") -> bytes:
    """A frame as a hostile peer may make it; ``length`` may lie."""
    return encode_header(kind, flags, stream, len(body) if length is None else length) + body
