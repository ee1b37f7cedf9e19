"""One stream of a session: its state, its receive window and its send queue."""

from collections import deque
from typing import Final

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import MUX_WINDOW_INITIAL
from protocol.mux.frames import CREDIT_MAX
from protocol.mux.state import ENDING, TABLE, UNACCEPTED, Effect, Input, State, illegal
from protocol.mux.window import ReceiveWindow

SEND_QUEUE: Final = 256 * 1024
"""What a stream should queue for sending, in bytes: one read of a socket."""
SEND_QUEUE_HARD: Final = 2 * 1024 * 1024
"""What it may queue: an access token of the largest size on top of a full queue. More is a bug of the caller."""
SEND_ROOM_MIN: Final = 64 * 1024
"""Smaller room is not worth a wake-up, unless the queue is empty."""


class Stream:
    """Plain data with the arithmetic of one stream; the session and its outbox decide."""

    __slots__ = ("id", "opened_at", "own", "queue", "queued", "ready", "send_window", "state", "waiting", "window")

    def __init__(self, number: int, *, own: bool, window: ReceiveWindow, now: float) -> None:
        self.id = number
        self.own = own
        self.opened_at = now
        self.state = State.OPENED if own else State.OFFERED
        self.window = window
        self.send_window = MUX_WINDOW_INITIAL
        self.queue: deque[bytes | memoryview] = deque()
        self.queued = 0
        self.ready = False
        """It is in the outbox's round and has something that may leave."""
        self.waiting = False
        """Its owner was told a budget of 0 and waits for Writable."""

    def step(self, signal: Input) -> Effect:
        """Goes through the table. Raises RemoteProtocolError or LocalProtocolError for a pair that is missing."""
        # The lookup is written out here, and not behind a call, because it runs for every frame.
        found = TABLE.get((self.state, signal))
        if found is None:
            raise illegal(self.state, signal)
        effect, self.state = found
        return effect

    @property
    def accepted(self) -> bool:
        """Whether the side that did not open it has accepted it (a closed stream counts as accepted)."""
        return self.state not in UNACCEPTED

    @property
    def sendable(self) -> bool:
        """Whether a frame of it could leave."""
        return self.send_window > 0 if self.queued else self.state in ENDING

    def room(self) -> int:
        """How many bytes it makes sense to queue: no more than the peer has given credit for, so that all that is queued
        can leave and a peer that does not read costs us nothing (T-40)."""
        room = min(SEND_QUEUE, self.send_window) - self.queued
        return room if room >= SEND_ROOM_MIN or (room > 0 and not self.queued) else 0

    def add_credit(self, credit: int) -> None:
        """Raises RemoteProtocolError if the sum cannot be meant."""
        self.send_window += credit
        if self.send_window > CREDIT_MAX:
            raise RemoteProtocolError(f"mux credit of {self.send_window} bytes")

    def push(self, data: bytes | memoryview) -> None:
        """Queues bytes. Raises LocalProtocolError if the caller ignores the budget."""
        size = len(data)
        if self.queued + size > SEND_QUEUE_HARD:
            raise LocalProtocolError(f"{self.queued + size} bytes queued on a mux stream")
        self.queue.append(data)
        self.queued += size

    def pull(self, size: int, parts: list[bytes | memoryview]) -> None:
        """Moves ``size`` queued bytes to ``parts`` without copying them, and spends credit for them."""
        self.queued -= size
        self.send_window -= size
        queue = self.queue
        while size:
            piece = queue.popleft()
            length = len(piece)
            if length > size:
                view = memoryview(piece)
                parts.append(view[:size])
                queue.appendleft(view[size:])
                return
            parts.append(piece)
            size -= length
