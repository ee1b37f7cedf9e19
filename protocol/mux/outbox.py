"""What leaves a session, in which order: control frames first, then the ready streams take turns.

A stream alone sends frames of 64 KiB; when others wait, 16 KiB, so that none waits long behind another's. No stream is
cut into a shared buffer ahead of time: the order is decided when the tunnel takes the bytes.
"""

from collections import deque
from typing import Final

from protocol.errors import LocalProtocolError
from protocol.limits import MUX_FRAME_DATA_MAX, MUX_FRAME_DATA_SHARED
from protocol.mux.events import Event, Writable
from protocol.mux.frames import DATA, FIN, HEADER_BYTES, encode_header
from protocol.mux.state import ENDING
from protocol.mux.stream import SEND_QUEUE, Stream

BATCH: Final = 4 * (HEADER_BYTES + MUX_FRAME_DATA_MAX)
"""Default size of one ``data_to_send``: four full frames."""
SEND_QUEUE_TOTAL: Final = 8 * 1024 * 1024
"""All streams' queues together; above it every budget is 0, until the tunnel has taken some."""


class Outbox:
    """Control frames, the round of ready streams, and who waits for room."""

    def __init__(self, events: deque[Event]) -> None:
        self._events = events
        self._control: deque[bytes] = deque()
        self._round: deque[Stream] = deque()
        self._ready = 0
        self._queued = 0
        self._crowded: dict[int, Stream] = {}

    def __bool__(self) -> bool:
        return bool(self._control) or self._ready > 0

    @property
    def control_frames(self) -> int:
        """How many control frames wait."""
        return len(self._control)

    def put_control(self, kind: int, flags: int, stream: int, length: int) -> None:
        """Queues a frame that goes ahead of all data."""
        self._control.append(encode_header(kind, flags, stream, length))

    def push(self, stream: Stream, data: bytes | memoryview) -> None:
        """Queues data of a stream."""
        stream.push(data)
        self._queued += len(data)
        self.enter(stream)

    def enter(self, stream: Stream) -> None:
        """Puts a stream into the round if it has something that may leave."""
        if not stream.ready and stream.sendable:
            stream.ready = True
            self._ready += 1
            self._round.append(stream)

    def drop(self, stream: Stream) -> None:
        """Forgets a stream that has ended. Its place in the round is skipped when its turn comes."""
        if stream.ready:
            stream.ready = False
            self._ready -= 1
        self._queued -= stream.queued
        stream.queue.clear()
        stream.queued = 0
        stream.waiting = False
        self._crowded.pop(stream.id, None)

    def abandon(self) -> None:
        """Forgets everything that waits (the session failed)."""
        self._control.clear()
        self._round.clear()
        self._ready = 0
        self._crowded.clear()

    def budget(self, stream: Stream) -> int:
        """Returns how much a stream may queue; at 0 a Writable will follow."""
        if self._queued >= SEND_QUEUE_TOTAL:
            self._crowded[stream.id] = stream
            room = 0
        else:
            room = stream.room()
        stream.waiting = room == 0
        return room

    def finish(self, stream: Stream) -> None:
        """The stream's owner queued its end: a FIN follows the last byte, and no Writable is due."""
        stream.waiting = False
        self._crowded.pop(stream.id, None)
        self.enter(stream)

    def credited(self, stream: Stream) -> None:
        """The peer gave credit."""
        self.enter(stream)
        if stream.waiting:
            self._wake(stream)

    def data_to_send(self, limit: int) -> tuple[bytes, list[Stream]]:
        """Returns at most ``limit`` bytes of whole frames, and the streams whose FIN is among them."""
        if limit <= HEADER_BYTES:
            raise LocalProtocolError(f"a mux batch of {limit} bytes holds no frame")
        parts: list[bytes | memoryview] = []
        ended: list[Stream] = []
        control = self._control
        if control:
            count = min(len(control), limit // HEADER_BYTES)
            parts.extend(control.popleft() for _ in range(count))
            limit -= count * HEADER_BYTES
        line = self._round
        while line:
            stream = line[0]
            if stream.ready:
                largest = MUX_FRAME_DATA_MAX if self._ready == 1 else MUX_FRAME_DATA_SHARED
                size = min(stream.queued, stream.send_window, largest)
                if HEADER_BYTES + size > limit:
                    if parts:
                        break
                    size = limit - HEADER_BYTES
                limit -= HEADER_BYTES + size
                if self._append_frame(stream, size, parts):
                    ended.append(stream)
            line.popleft()
            if stream.ready:
                line.append(stream)
        if self._crowded:
            self._wake_crowded()
        return (b"".join(parts) if parts else b""), ended

    def _append_frame(self, stream: Stream, size: int, parts: list[bytes | memoryview]) -> bool:
        last = size == stream.queued and stream.state in ENDING
        parts.append(encode_header(DATA, FIN if last else 0, stream.id, size))
        stream.pull(size, parts)
        self._queued -= size
        if last or not stream.sendable:
            stream.ready = False
            self._ready -= 1
        if stream.waiting:
            self._wake(stream)
        return last

    def _wake(self, stream: Stream) -> None:
        if stream.room() == 0:
            return
        if self._queued >= SEND_QUEUE_TOTAL:
            self._crowded[stream.id] = stream
            return
        stream.waiting = False
        self._events.append(Writable(stream.id))

    def _wake_crowded(self) -> None:
        # Each that wakes will queue about one socket read: wake no more than there is room for.
        promised = self._queued
        while self._crowded and promised < SEND_QUEUE_TOTAL:
            stream = self._crowded.pop(next(iter(self._crowded)))
            if stream.waiting and stream.room():
                stream.waiting = False
                self._events.append(Writable(stream.id))
                promised += SEND_QUEUE
