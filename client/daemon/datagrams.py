"""The client's end of a udp or icmp stream (C21).

There is no reliability to preserve: while the stream has no budget, datagrams wait in a short queue whose oldest is dropped.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from protocol.datagrams import DatagramReader, encode_datagrams
from protocol.limits import DATAGRAM_MAX_BYTES
from protocol.reasons import Reason
from runtime.tunnel import TunnelStream

BATCH_BYTES: Final = 32 * 1024
"""Datagrams that are handed to the stream at once; credit is looked at between batches."""


class DatagramStream:
    """Receiver of a udp or icmp stream after its answer.

    Args:
        stream: the stream.
        outgoing: datagrams that wait; somebody else appends and drops, then calls ``send``.
        deliver: takes the datagrams that came together from the connector.
        on_end: called once with the reason when the connector, or the tunnel, ended the stream.
    """

    def __init__(
        self,
        stream: TunnelStream,
        outgoing: "deque[bytes]",
        deliver: Callable[[Sequence[bytes]], None],
        on_end: Callable[[Reason], None],
    ) -> None:
        self._stream = stream
        self._outgoing = outgoing
        self._deliver = deliver
        self._on_end = on_end
        self._reader = DatagramReader()
        self._paused = False
        self._bytes_up = 0
        self._bytes_down = 0

    def traffic(self) -> tuple[int, int]:
        """Returns bytes of datagrams sent and received so far, also behind the end."""
        return self._bytes_up, self._bytes_down

    def start(self) -> None:
        """Takes the stream over and sends what waits."""
        self._stream.set_receiver(self)
        self.send()

    def send(self) -> None:
        """Sends what waits, as far as there is credit."""
        outgoing, stream = self._outgoing, self._stream
        while outgoing and not self._paused and not stream.paused and not stream.ended:
            batch: list[bytes] = []
            size = 0
            while outgoing and size < BATCH_BYTES:
                datagram = outgoing.popleft()
                if len(datagram) <= DATAGRAM_MAX_BYTES:
                    batch.append(datagram)
                    size += len(datagram)
            self._bytes_up += size
            stream.write(encode_datagrams(batch))

    def close(self, reason: Reason) -> None:
        """Ends the stream from our side."""
        if reason is Reason.NORMAL:
            self._stream.write_eof()
        self._stream.reset(reason)

    def data_received(self, data: bytes) -> None:
        """From the connector. What the application does not take is lost, as datagrams are."""
        self._stream.consumed(len(data))
        datagrams = self._reader.receive_data(data)
        if datagrams:
            self._bytes_down += sum(map(len, datagrams))
            self._deliver(datagrams)

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
