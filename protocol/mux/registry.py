"""Which streams of a session live, which ids have been, and how many more there may be."""

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import MUX_ACCEPT_BACKLOG, MUX_STREAMS_MAX
from protocol.mux.budget import WindowBudget
from protocol.mux.frames import STREAM_ID_MAX
from protocol.mux.stream import Stream
from protocol.mux.window import ReceiveWindow


class Registry:
    """Ids of each side rise by two and are never used again, so that late frames of a closed stream are known as such."""

    def __init__(self, *, client: bool) -> None:
        self.streams: dict[int, Stream] = {}
        self._next_id = 1 if client else 2
        self._last_peer_id = 0
        self._budget = WindowBudget()
        self._own = 0
        self._own_unaccepted = 0
        self._peer_unaccepted = 0

    def room_for_own(self) -> bool:
        """Whether one more stream of ours stays inside the peer's limits."""
        return (
            self._own < MUX_STREAMS_MAX and self._own_unaccepted < MUX_ACCEPT_BACKLOG and self._next_id <= STREAM_ID_MAX
        )

    def room_for_peer(self) -> bool:
        """Whether the peer may have one more: all its streams, and those that we have not accepted yet (T-39)."""
        return self._peer_unaccepted < MUX_ACCEPT_BACKLOG and len(self.streams) - self._own < MUX_STREAMS_MAX

    def open(self, now: float) -> Stream:
        """Adds a stream of ours."""
        stream = self._add(self._next_id, own=True, now=now)
        self._next_id += 2
        self._own += 1
        self._own_unaccepted += 1
        return stream

    def note_peer_id(self, number: int) -> None:
        """Takes the id of a stream that the peer opens. Raises RemoteProtocolError if it is ours or not a new one."""
        if (number ^ self._next_id) & 1 == 0 or number <= self._last_peer_id:
            raise RemoteProtocolError(f"the peer opened mux stream {number} after {self._last_peer_id}")
        self._last_peer_id = number

    def admit(self, number: int, now: float) -> Stream:
        """Adds a stream of the peer's."""
        self._peer_unaccepted += 1
        return self._add(number, own=False, now=now)

    def accepted(self, stream: Stream) -> None:
        """The side that did not open it accepted it."""
        if stream.own:
            self._own_unaccepted -= 1
        else:
            self._peer_unaccepted -= 1

    def forget(self, stream: Stream, *, accepted: bool) -> None:
        """Removes a stream that has ended."""
        del self.streams[stream.id]
        stream.window.close()
        if not accepted:
            self.accepted(stream)
        if stream.own:
            self._own -= 1

    def find(self, number: int) -> Stream | None:
        """Returns None for a stream that has ended. Raises LocalProtocolError for one that never was."""
        found = self.streams.get(number)
        if found is None and not self._has_been(number):
            raise LocalProtocolError(f"mux stream {number} was never open")
        return found

    def find_untrusted(self, number: int) -> Stream | None:
        """Like ``find`` for an id in a frame of the peer's: raises RemoteProtocolError."""
        found = self.streams.get(number)
        if found is None and not self._has_been(number):
            raise RemoteProtocolError(f"mux frame for stream {number}, which was never open")
        return found

    def _add(self, number: int, *, own: bool, now: float) -> Stream:
        stream = Stream(number, own=own, window=ReceiveWindow(self._budget, now), now=now)
        self.streams[number] = stream
        return stream

    def _has_been(self, number: int) -> bool:
        if (number ^ self._next_id) & 1:
            return 0 < number <= self._last_peer_id
        return 0 < number < self._next_id
