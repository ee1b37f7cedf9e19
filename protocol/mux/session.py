"""One multiplexed session over any reliable byte stream, without I/O (threats T-39, T-40).

Feed it with ``receive_data`` and ``tick``; after every call into it drain ``next_event`` (``data_to_send`` makes events
too) and write ``data_to_send`` while the transport takes more. It copies payload once on each way: into the batch that
is sent, and out of the buffer that was received; partial frames are handed on as they arrive.

Invariant: what the session holds for its peer is bounded, whatever the peer does.
"""

from collections import deque
from typing import Final

from protocol.errors import LocalError, LocalProtocolError, RefusedError, RemoteProtocolError
from protocol.limits import MUX_WINDOW_MAX
from protocol.mux import frames
from protocol.mux.budget import BUFFERED_MAX, CONTROL_FRAMES_MAX, FloodGuard
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
)
from protocol.mux.frames import ACK, DATA, FIN, GO_AWAY, HEADER_BYTES, PING, RST, SYN, WINDOW_UPDATE
from protocol.mux.outbox import BATCH, Outbox
from protocol.mux.pinger import Pinger
from protocol.mux.registry import Registry
from protocol.mux.state import Effect, Input, State
from protocol.mux.stream import Stream
from protocol.reasons import Reason, reason_from_number

_WRITABLE_STATES: Final = frozenset(
    {State.OPENED, State.OFFERED, State.OPEN, State.REMOTE_EOF, State.OFFERED_REMOTE_EOF}
)


class Session:
    """Both roles of the multiplexer; only the parity of stream ids differs (the client opens odd ones).

    Calls for a stream that has ended are ignored, because its end may be an event that the caller has yet to drain; calls
    for a stream that never was raise LocalProtocolError.
    """

    def __init__(self, *, client: bool, now: float) -> None:
        self._now = now
        self._events: deque[Event] = deque()
        self._registry = Registry(client=client)
        self._streams = self._registry.streams
        self._held = 0
        self._outbox = Outbox(self._events)
        self._pinger = Pinger(now)
        self._guard = FloodGuard(now)
        self._header = b""
        self._body_left = 0
        self._body_stream: Stream | None = None
        self._body_ends = False
        self._going_away = False
        self._peer_gone: Reason | None = None
        self._failed = False

    # Inputs

    def receive_data(self, data: bytes | memoryview, now: float) -> None:
        """Takes the next bytes from the peer, cut anywhere.

        Raises RemoteProtocolError (also LIMIT_EXCEEDED): the tunnel must be closed; ``data_to_send`` then holds a
        go-away with the reason.
        """
        if self._failed:
            raise LocalProtocolError("the mux session has failed")
        self._now = now
        try:
            self._receive(data)
        except RemoteProtocolError as exc:
            self._failed = True
            self._outbox.abandon()
            self._outbox.put_control(GO_AWAY, 0, 0, exc.reason.number)
            raise

    def tick(self, now: float) -> None:
        """Does what is due (see ``deadline``)."""
        self._now = now
        due = self._pinger.deadline()
        if due is not None and now >= due:
            self.ping(now)

    def deadline(self) -> tuple[float, str] | None:
        """When ``tick`` is due, and what for."""
        due = self._pinger.deadline()
        return None if due is None or self._failed else (due, "rtt-ping")

    def open_stream(self, now: float | None = None) -> int:
        """Opens a stream and returns its id; data may follow at once.

        Raises LocalError (LIMIT_EXCEEDED) where ``can_open`` is false, RefusedError with the peer's reason after GoneAway.
        """
        if now is not None:
            self._now = now
        if self._peer_gone is not None:
            raise RefusedError(self._peer_gone, "the peer takes no more streams")
        if not self.can_open:
            raise LocalError(Reason.LIMIT_EXCEEDED, "too many streams on this tunnel, or opened too fast")
        number = self._registry.open(self._now).id
        self._guard.opened()
        self._outbox.put_control(WINDOW_UPDATE, SYN, number, 0)
        self._pinger.saw_traffic()
        return number

    def accept(self, stream: int) -> None:
        """Accepts a stream that the peer opened. The first ``send`` does so too, and so does credit for its data."""
        found = self._find(stream)
        if found is not None:
            self._accept(found)

    def send(self, stream: int, data: bytes | memoryview) -> None:
        """Queues data without copying it; a memoryview (of bytes) must stay as it is until it has been sent.

        Raises LocalProtocolError after ``send_eof``, or when ``send_budget`` is ignored altogether (2 MiB queued).
        """
        found = self._find(stream)
        if found is None:
            return
        if found.state in (State.OFFERED, State.OFFERED_REMOTE_EOF):
            self._accept(found)
        if found.step(Input.SEND) is Effect.QUEUE and len(data):
            self._outbox.push(found, data)
            self._pinger.saw_traffic()

    def send_budget(self, stream: int) -> int:
        """Returns how many bytes it makes sense to queue now; at 0 a Writable(stream) follows when there is room again."""
        found = self._find(stream)
        if found is None or found.state not in _WRITABLE_STATES:
            return 0
        return self._outbox.budget(found)

    def send_eof(self, stream: int) -> None:
        """Ends our half behind what is queued. Raises LocalProtocolError the second time."""
        found = self._find(stream)
        if found is None:
            return
        if found.state in (State.OFFERED, State.OFFERED_REMOTE_EOF):
            self._accept(found)
        found.step(Input.SEND_EOF)
        self._outbox.finish(found)

    def reset(self, stream: int, reason: Reason) -> None:
        """Ends a stream at once, both ways; what is queued is dropped. It makes no event."""
        found = self._find(stream)
        if found is not None:
            self._reset(found, reason)

    def consume(self, stream: int, count: int, now: float) -> None:
        """Gives ``count`` bytes of credit back, when whoever is behind the stream has taken them.

        Raises LocalProtocolError for more than was received.
        """
        found = self._find(stream)
        if found is None or count == 0:
            return
        window = found.window
        if found.step(Input.CONSUME) is Effect.RELEASE:
            window.release(count)
            credit = 0
        else:
            credit = window.consume(count, now, self._pinger.srtt)
        self._held -= count
        if credit:
            if found.state is State.OFFERED:
                self._accept(found)
            self._outbox.put_control(WINDOW_UPDATE, 0, stream, credit)

    def ping(self, now: float) -> None:
        """Sends a ping; Pong follows. Does nothing if there were too many or too many are unanswered."""
        self._now = now
        opaque = self._pinger.ping(now)
        if opaque is not None and not self._failed:
            self._outbox.put_control(PING, SYN, 0, opaque)

    def go_away(self, reason: Reason) -> None:
        """Tells the peer to open no more streams; what it opens in the meantime is refused."""
        if not self._going_away and not self._failed:
            self._going_away = True
            self._outbox.put_control(GO_AWAY, 0, 0, reason.number)

    # Outputs

    def data_to_send(self, limit: int = BATCH) -> bytes:
        """Returns up to ``limit`` bytes of whole frames; ``b""`` if there is nothing. It may make events."""
        data, ended = self._outbox.data_to_send(limit)
        for stream in ended:
            if stream.step(Input.FIN_SENT) is Effect.FINISH:
                self._finish(stream)
        return data

    @property
    def has_data_to_send(self) -> bool:
        """Whether ``data_to_send`` returns anything."""
        return bool(self._outbox)

    def next_event(self) -> Event | None:
        """Returns the next event, or None."""
        return self._events.popleft() if self._events else None

    @property
    def can_open(self) -> bool:
        """Whether one more stream stays inside the peer's limits: streams, backlog, opens and resets per second."""
        return (
            not self._failed
            and self._peer_gone is None
            and self._registry.room_for_own()
            and self._guard.may_open(self._now)
        )

    @property
    def stream_count(self) -> int:
        """How many streams live, by either side."""
        return len(self._registry.streams)

    def lives(self, stream: int) -> bool:
        """Whether a stream has not ended; an event may still be on its way that says so."""
        return stream in self._registry.streams

    @property
    def rtt(self) -> float | None:
        """Smoothed round-trip time in seconds, or None before the first Pong."""
        return self._pinger.srtt

    # The peer's frames

    def _receive(self, data: bytes | memoryview) -> None:
        if self._outbox.control_frames > CONTROL_FRAMES_MAX:
            raise RemoteProtocolError("the peer does not read its mux control frames", Reason.LIMIT_EXCEEDED)
        position, end = 0, len(data)
        while position < end:
            if self._body_left:
                size = min(self._body_left, end - position)
                # A chunk that is nothing but payload is handed on as it is.
                chunk = data if size == end else data[position : position + size]
                position += size
                self._body_left -= size
                self._body(chunk, size)
            elif self._header or end - position < HEADER_BYTES:
                missing = HEADER_BYTES - len(self._header)
                self._header += data[position : position + missing]
                position += missing
                if len(self._header) == HEADER_BYTES:
                    header, self._header = self._header, b""
                    self._frame(*frames.parse_header_untrusted(header))
            else:
                position += HEADER_BYTES
                self._frame(*frames.parse_header_untrusted(data, position - HEADER_BYTES))

    def _body(self, chunk: bytes | memoryview, size: int) -> None:
        stream = self._body_stream
        if stream is not None and stream.state is not State.CLOSED:
            stream.window.held += size
            self._held += size
            self._events.append(DataReceived(stream.id, chunk))
            if not self._body_left and self._body_ends:
                self._eof(stream)
            if self._held > BUFFERED_MAX:
                self._shed()
        if not self._body_left:
            self._body_stream = None

    def _frame(self, kind: int, flags: int, number: int, length: int) -> None:
        if kind >= PING:
            self._session_frame(kind, flags, length)
            return
        stream = self._peer_opens(number) if flags & SYN else self._registry.find_untrusted(number)
        if stream is not None and flags & ACK and stream.step(Input.RECV_ACK) is Effect.TELL_ACCEPTED:
            self._registry.accepted(stream)
            self._events.append(StreamAccepted(number))
        if kind == DATA:
            self._data_frame(stream, flags, length)
        elif stream is not None:
            self._window_frame(stream, flags, length)

    def _data_frame(self, stream: Stream | None, flags: int, length: int) -> None:
        if flags & RST and stream is not None:
            # yamux permits it, we never send it: there is no room for a reason.
            self._reset_by_peer(stream, Reason.CANCELLED)
            stream = None
        if stream is None:
            if length > MUX_WINDOW_MAX:
                raise RemoteProtocolError(f"mux data frame of {length} bytes")
        elif length:
            stream.step(Input.RECV_DATA)
            stream.window.announce(length)
            self._pinger.saw_traffic()
        elif flags & FIN:
            self._eof(stream)
        self._body_left = length
        self._body_stream = stream
        self._body_ends = bool(flags & FIN)

    def _window_frame(self, stream: Stream, flags: int, length: int) -> None:
        if flags & RST:
            self._reset_by_peer(stream, reason_from_number(length))
            return
        if length and stream.step(Input.RECV_CREDIT) is Effect.ADD_CREDIT:
            stream.add_credit(length)
            self._outbox.credited(stream)
        if flags & FIN:
            self._eof(stream)

    def _session_frame(self, kind: int, flags: int, value: int) -> None:
        if kind == GO_AWAY:
            if self._peer_gone is None:
                self._peer_gone = reason_from_number(value)
                self._events.append(GoneAway(self._peer_gone))
        elif flags & SYN:
            self._pinger.peer_pinged(self._now)
            self._outbox.put_control(PING, ACK, 0, value)
        else:
            self._events.append(Pong(self._pinger.ponged(value, self._now)))

    def _peer_opens(self, number: int) -> Stream | None:
        self._registry.note_peer_id(number)
        self._guard.peer_opens(self._now)
        refusal = self._refusal()
        if refusal is not None:
            self._guard.stream_reset(own=False, accepted=False, opened_at=self._now, now=self._now)
            self._outbox.put_control(WINDOW_UPDATE, RST, number, refusal.number)
            return None
        stream = self._registry.admit(number, self._now)
        self._events.append(StreamOpened(number))
        self._pinger.saw_traffic()
        return stream

    def _refusal(self) -> Reason | None:
        if self._going_away:
            return Reason.SHUTTING_DOWN
        return None if self._registry.room_for_peer() else Reason.LIMIT_EXCEEDED

    def _eof(self, stream: Stream) -> None:
        effect = stream.step(Input.RECV_EOF)
        self._events.append(EofReceived(stream.id))
        if effect is Effect.TELL_EOF_FINISH:
            self._finish(stream)

    def _reset_by_peer(self, stream: Stream, reason: Reason) -> None:
        accepted = stream.accepted
        stream.step(Input.RECV_RESET)
        self._events.append(StreamReset(stream.id, reason))
        self._forget(stream, accepted=accepted)
        self._count_reset(stream, accepted=accepted)

    # Common

    def _find(self, number: int) -> Stream | None:
        found = self._streams.get(number)
        if found is None:
            self._registry.find(number)
        return None if self._failed else found

    def _accept(self, stream: Stream) -> None:
        if stream.step(Input.ACCEPT) is Effect.ACKNOWLEDGE:
            self._registry.accepted(stream)
            self._outbox.put_control(WINDOW_UPDATE, ACK, stream.id, 0)

    def _reset(self, stream: Stream, reason: Reason) -> None:
        accepted = stream.accepted
        stream.step(Input.RESET)
        self._forget(stream, accepted=accepted)
        self._count_reset(stream, accepted=accepted)
        self._outbox.put_control(WINDOW_UPDATE, RST, stream.id, reason.number)

    def _finish(self, stream: Stream) -> None:
        self._events.append(StreamFinished(stream.id))
        self._forget(stream, accepted=True)

    def _forget(self, stream: Stream, *, accepted: bool) -> None:
        self._held -= stream.window.held
        self._outbox.drop(stream)
        self._registry.forget(stream, accepted=accepted)

    def _count_reset(self, stream: Stream, *, accepted: bool) -> None:
        self._guard.stream_reset(own=stream.own, accepted=accepted, opened_at=stream.opened_at, now=self._now)

    def _shed(self) -> None:
        """Resets the stream that holds most, to stay inside BUFFERED_MAX."""
        greedy = max(self._registry.streams.values(), key=lambda stream: stream.window.held)
        self._reset(greedy, Reason.LIMIT_EXCEEDED)
        self._events.append(StreamReset(greedy.id, Reason.LIMIT_EXCEEDED))
