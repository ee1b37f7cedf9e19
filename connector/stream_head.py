"""Receivers for the time before a stream has its bridge: reading the header, and waiting for a dial."""

from collections.abc import Callable

from protocol.errors import RemoteProtocolError
from protocol.reasons import Reason
from protocol.streams import FrameReader, Proof, StreamHeader, parse_header_untrusted
from runtime.tunnel import TunnelStream


class HeadReader:
    """Collects one header frame of a stream, then hands the stream on; decides nothing on a part of it (T-37).

    Args:
        stream: its receiver becomes this reader.
        limit: bytes of the frame; checked before the frame is buffered.
        on_header: called once, with no receiver set; bytes behind the frame wait in the stream.
        on_end: called when the stream ends before the frame is complete.
    """

    def __init__(
        self,
        stream: TunnelStream,
        *,
        limit: int,
        on_header: Callable[[TunnelStream, Proof | StreamHeader], None],
        on_end: Callable[[TunnelStream], None],
    ) -> None:
        self._stream = stream
        self._reader = FrameReader(limit)
        self._on_header = on_header
        self._on_end = on_end
        stream.set_receiver(self)

    def data_received(self, data: bytes) -> None:
        """More of the frame. Raises RemoteProtocolError, which resets the stream."""
        self._reader.receive_data(data)
        frame = self._reader.frame
        if frame is None:
            self._stream.consumed(len(data))
            return
        rest = self._reader.rest
        self._stream.consumed(len(data) - len(rest))
        header = parse_header_untrusted(frame)
        self._stream.set_receiver(None)
        self._stream.unread(rest)
        self._on_header(self._stream, header)

    def eof_received(self) -> None:
        """A stream that ends inside its header asked for nothing."""
        raise RemoteProtocolError("the stream ended inside its header")

    def stream_reset(self, reason: Reason) -> None:
        """The client gave up."""
        self._on_end(self._stream)

    def pause_writing(self) -> None:
        """Nothing is written before the header is complete."""

    def resume_writing(self) -> None:
        """Nothing is written before the header is complete."""


class Waiting:
    """Keeps what a client sends while its resource is dialled; the stream's window bounds it.

    Attributes:
        eof: the client's half has ended; whoever takes over must be told, the stream says it once only.
    """

    def __init__(self, stream: TunnelStream, on_gone: Callable[[Reason], None]) -> None:
        self.eof = False
        self._stream = stream
        self._on_gone = on_gone
        self._held: list[bytes] = []
        stream.set_receiver(self)

    def release(self) -> None:
        """Puts everything back into the stream, for its next receiver."""
        self._stream.set_receiver(None)
        for data in reversed(self._held):
            self._stream.unread(data)
        self._held.clear()

    def data_received(self, data: bytes) -> None:
        """Data behind the header; no credit is given for it yet."""
        self._held.append(data)

    def eof_received(self) -> None:
        """The client half-closed already."""
        self.eof = True

    def stream_reset(self, reason: Reason) -> None:
        """The client gave up, or the tunnel is gone."""
        self._on_gone(reason)

    def pause_writing(self) -> None:
        """Nothing is written while the dial is under way."""

    def resume_writing(self) -> None:
        """Nothing is written while the dial is under way."""
