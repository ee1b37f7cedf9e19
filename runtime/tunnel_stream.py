"""The streams of a tunnel, as their users see them."""

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, cast

from protocol.errors import OstiaryError
from protocol.limits import MUX_ACCEPT_BACKLOG
from protocol.mux import (
    DataReceived,
    EofReceived,
    Event,
    GoneAway,
    Session,
    StreamFinished,
    StreamOpened,
    StreamReset,
    Writable,
)
from protocol.reasons import Reason
from runtime.clock import Clock

VIEW_MIN_BYTES: Final = 32 * 1024
"""A smaller piece is copied even for a receiver that takes views: a view keeps the whole read alive that it is part of, three
times as much at most."""


class StreamReceiver(Protocol):
    """Who gets what arrives on a stream. All calls come from the event loop.

    An OstiaryError that a method raises resets the stream with its reason; the tunnel goes on. A receiver with a true
    attribute ``takes_views`` may get memoryviews in place of bytes, which spares a copy; they stay valid, and keep memory
    alive that is larger than they are.
    """

    def data_received(self, data: bytes) -> None:
        """The next bytes. Give credit back with ``TunnelStream.consumed`` when whoever is behind you took them."""

    def eof_received(self) -> None:
        """The peer will send no more; our half may go on."""

    def stream_reset(self, reason: Reason) -> None:
        """The stream is gone at once, both ways, and not by our own reset(); called once, nothing follows."""

    def pause_writing(self) -> None:
        """Stop writing: the peer has given no more credit, or the tunnel is full."""

    def resume_writing(self) -> None:
        """Go on writing."""


class TunnelStream:
    """A byte stream inside a tunnel; made by ``Tunnel.open_stream`` or given to ``on_stream``.

    Calls on a stream that has ended do nothing, so that nobody must check before each write.

    Attributes:
        id: Its number in the tunnel.
        paused: Writing makes no sense at the moment; resume_writing follows.
        ended: Finished or reset; nothing more goes in or out.
    """

    __slots__ = (
        "_clock",
        "_eof",
        "_forget",
        "_held",
        "_mux",
        "_receiver",
        "_reset",
        "_views",
        "_wake",
        "ended",
        "id",
        "paused",
    )

    def __init__(
        self, number: int, mux: Session, clock: Clock, *, wake: Callable[[], None], forget: Callable[[int], None]
    ) -> None:
        self.id = number
        self.paused = False
        self.ended = False
        self._mux = mux
        self._clock = clock
        self._wake = wake
        self._forget = forget
        self._receiver: StreamReceiver | None = None
        self._views = False
        self._held: deque[bytes] | None = None
        """Arrived while there was no receiver; bounded by the window, because nobody gave credit for it."""
        self._eof = False
        self._reset: Reason | None = None

    def set_receiver(self, receiver: StreamReceiver | None) -> None:
        """Names who gets what arrives; what came earlier is handed over before this returns.

        With None the stream keeps what arrives (at most its window) for the next receiver.
        """
        self._receiver = receiver
        self._views = getattr(receiver, "takes_views", False)
        if receiver is not None and self.paused:
            receiver.pause_writing()
        self._hand_over()

    def unread(self, data: bytes) -> None:
        """Puts bytes back in front of what is to come: the next receiver gets them. Their credit is still open."""
        if data:
            if self._held is None:
                self._held = deque()
            self._held.appendleft(data)

    def write(self, data: bytes) -> None:
        """Sends ``data``; it leaves with everything else that is written in this turn of the loop."""
        if self.ended or not data:
            return
        self._mux.send(self.id, data)
        if not self.paused and self._mux.send_budget(self.id) == 0:
            self.paused = True
            if self._receiver is not None:
                self._receiver.pause_writing()
        self._wake()

    def write_eof(self) -> None:
        """Ends our half behind what was written. Call it once."""
        if not self.ended:
            self._mux.send_eof(self.id)
            self._wake()

    def reset(self, reason: Reason) -> None:
        """Ends the stream at once, both ways; the peer learns ``reason``, our receiver hears nothing more."""
        if not self.ended:
            self.ended = True
            self._receiver = None
            self._held = None
            self._mux.reset(self.id, reason)
            self._forget(self.id)
            self._wake()

    def consumed(self, count: int) -> None:
        """Gives ``count`` bytes of credit back to the peer."""
        if not self.ended and count:
            self._mux.consume(self.id, count, self._clock.monotonic())
            self._wake()

    @property
    def gone(self) -> bool:
        """Ended, or about to be told so: its reset came with what is being delivered."""
        return self.ended or not self._mux.lives(self.id)

    # For the tunnel

    def deliver(self, data: bytes | memoryview) -> None:
        """The mux received bytes."""
        if not isinstance(data, bytes) and not (self._views and len(data) >= VIEW_MIN_BYTES):
            data = bytes(data)
        if self._receiver is None or self._held is not None:
            if self._held is None:
                self._held = deque()
            self._held.append(bytes(data))
            return
        try:
            self._receiver.data_received(cast(bytes, data))
        except OstiaryError as exc:
            self._fail(exc.reason)

    def deliver_eof(self) -> None:
        """The mux received the peer's end."""
        self._eof = True
        self._hand_over()

    def deliver_reset(self, reason: Reason) -> None:
        """The stream, or its tunnel, is gone. Bytes that wait for a receiver are not worth keeping."""
        self.ended = True
        self._held = None
        self._eof = False
        self._reset = reason
        self._hand_over()

    def finish(self) -> None:
        """Both halves ended in order; what waits for a receiver still waits."""
        self.ended = True

    def deliver_writable(self) -> None:
        """There is room again."""
        self.paused = False
        if self._receiver is not None:
            self._receiver.resume_writing()

    def _hand_over(self) -> None:
        try:
            while self._receiver is not None and self._held is not None:
                data = self._held.popleft()
                if not self._held:
                    self._held = None
                self._receiver.data_received(data)
            if self._eof and self._receiver is not None:
                self._eof = False
                self._receiver.eof_received()
            if self._reset is not None and self._receiver is not None:
                receiver, self._receiver = self._receiver, None
                receiver.stream_reset(self._reset)
        except OstiaryError as exc:
            self._fail(exc.reason)

    def _fail(self, reason: Reason) -> None:
        receiver = self._receiver
        self.reset(reason)
        if receiver is not None:
            receiver.stream_reset(reason)


class StreamTable:
    """The live streams of one tunnel: hands the events of the mux to them."""

    def __init__(
        self,
        mux: Session,
        clock: Clock,
        *,
        client: bool,
        on_stream: Callable[[TunnelStream], None] | None,
        on_gone_away: Callable[[Reason], None],
        wake: Callable[[], None],
    ) -> None:
        self._mux = mux
        self._clock = clock
        self._client = client
        self._on_stream = on_stream
        self._on_gone_away = on_gone_away
        self._wake = wake
        self._streams: dict[int, TunnelStream] = {}
        self._unclaimed: deque[TunnelStream] = deque()
        self._ended = False

    def __len__(self) -> int:
        return len(self._streams)

    def adopt(self, number: int) -> TunnelStream:
        """Makes the stream that the mux opened."""
        stream = TunnelStream(number, self._mux, self._clock, wake=self._wake, forget=self._forget)
        self._streams[number] = stream
        return stream

    def set_on_stream(self, on_stream: Callable[[TunnelStream], None]) -> None:
        """Names who gets the peer's streams, also those that are waiting."""
        self._on_stream = on_stream
        while self._unclaimed:
            on_stream(self._unclaimed.popleft())

    def drain(self) -> None:
        """Hands every event of the mux to its stream, until a receiver ends the tunnel."""
        next_event = self._mux.next_event
        streams = self._streams
        while not self._ended and (event := next_event()) is not None:
            if isinstance(event, DataReceived):
                stream = streams.get(event.stream)
                if stream is not None:
                    stream.deliver(event.data)
            elif isinstance(event, Writable):
                stream = streams.get(event.stream)
                if stream is not None:
                    stream.deliver_writable()
            else:
                self._handle_rare(event)

    def end(self, reason: Reason) -> None:
        """The tunnel is gone: tells every stream's receiver."""
        self._ended = True
        self._unclaimed.clear()
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.deliver_reset(reason)

    def _handle_rare(self, event: Event) -> None:
        match event:
            case StreamOpened(number):
                self._offer(self.adopt(number))
            case EofReceived(number):
                if number in self._streams:
                    self._streams[number].deliver_eof()
            case StreamReset(number, reason):
                stream = self._streams.pop(number, None)
                if stream is not None:
                    stream.deliver_reset(reason)
            case StreamFinished(number):
                stream = self._streams.pop(number, None)
                if stream is not None:
                    stream.finish()
            case GoneAway(reason):
                self._on_gone_away(reason)

    def _offer(self, stream: TunnelStream) -> None:
        if self._client:
            # Connectors open nothing (protocol.streams): whoever does is no connector.
            stream.reset(Reason.PROTOCOL_ERROR)
        elif self._on_stream is not None:
            self._on_stream(stream)
        elif len(self._unclaimed) < MUX_ACCEPT_BACKLOG:
            self._unclaimed.append(stream)
        else:
            stream.reset(Reason.LIMIT_EXCEEDED)

    def _forget(self, number: int) -> None:
        self._streams.pop(number, None)
