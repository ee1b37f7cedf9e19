"""Datagrams on a mux stream: a 2-byte length in front of each (protocol.streams; C21).

There is no reliability to preserve: while the stream has no budget, datagrams wait in a short queue whose oldest is dropped.
"""

from collections import deque
from collections.abc import Callable

from protocol.errors import RemoteProtocolError
from protocol.limits import DATAGRAM_MAX_BYTES
from protocol.reasons import Reason
from runtime.tunnel import TunnelStream

_ICMP_HEADER = 4


class DatagramReader:
    """Takes the byte stream apart."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive_data(self, data: bytes) -> list[bytes]:
        """Returns the datagrams that are complete. Raises RemoteProtocolError for one that is too long."""
        buffer = self._buffer
        buffer += data
        found = []
        start = 0
        while len(buffer) - start >= 2:
            length = buffer[start] << 8 | buffer[start + 1]
            if length > DATAGRAM_MAX_BYTES + _ICMP_HEADER:
                raise RemoteProtocolError(f"datagram of {length} bytes")
            end = start + 2 + length
            if len(buffer) < end:
                break
            found.append(bytes(buffer[start + 2 : end]))
            start = end
        if start:
            del buffer[:start]
        return found


class DatagramStream:
    """Receiver of a udp or icmp stream after its answer.

    Args:
        stream: the stream.
        outgoing: datagrams that wait; somebody else appends and drops, then calls ``send``.
        deliver: takes each datagram from the connector.
        on_end: called once with the reason when the connector, or the tunnel, ended the stream.
    """

    def __init__(
        self,
        stream: TunnelStream,
        outgoing: "deque[bytes]",
        deliver: Callable[[bytes], None],
        on_end: Callable[[Reason], None],
    ) -> None:
        self._stream = stream
        self._outgoing = outgoing
        self._deliver = deliver
        self._on_end = on_end
        self._reader = DatagramReader()
        self._paused = False

    def start(self) -> None:
        """Takes the stream over and sends what waits."""
        self._stream.set_receiver(self)
        self.send()

    def send(self) -> None:
        """Sends what waits, as far as there is credit."""
        outgoing, stream = self._outgoing, self._stream
        while outgoing and not self._paused and not stream.paused and not stream.ended:
            datagram = outgoing.popleft()
            if len(datagram) <= DATAGRAM_MAX_BYTES + _ICMP_HEADER and len(datagram) < 65_536:
                stream.write(len(datagram).to_bytes(2, "big") + datagram)

    def close(self, reason: Reason) -> None:
        """Ends the stream from our side."""
        if reason is Reason.NORMAL:
            self._stream.write_eof()
        self._stream.reset(reason)

    def data_received(self, data: bytes) -> None:
        """From the connector. What the application does not take is lost, as datagrams are."""
        self._stream.consumed(len(data))
        for datagram in self._reader.receive_data(data):
            self._deliver(datagram)

    def eof_received(self) -> None:
        """The connector has ended the association, most likely because it was silent for long."""
        self._stream.reset(Reason.NORMAL)
        self._on_end(Reason.NORMAL)

    def stream_reset(self, reason: Reason) -> None:
        """The stream is gone."""
        self._on_end(reason)

    def pause_writing(self) -> None:
        """No credit."""
        self._paused = True

    def resume_writing(self) -> None:
        """Credit again."""
        self._paused = False
        self.send()
