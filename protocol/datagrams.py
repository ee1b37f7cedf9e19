"""Datagrams on a mux stream: 2 bytes of length in front of each, most significant first (C21)."""

from collections.abc import Iterable, Iterator, Sequence

from protocol.errors import RemoteProtocolError
from protocol.limits import DATAGRAM_MAX_BYTES

ICMP_HEAD_BYTES = 4
"""Identifier and sequence number, in front of an echo message's payload."""


def encode_datagram(datagram: bytes) -> bytes:
    """Puts the length in front; ``datagram`` holds at most DATAGRAM_MAX_BYTES."""
    return len(datagram).to_bytes(2, "big") + datagram


def encode_datagrams(datagrams: Iterable[bytes]) -> bytes:
    """Encodes several at once."""
    parts: list[bytes] = []
    for datagram in datagrams:
        parts.append(len(datagram).to_bytes(2, "big"))
        parts.append(datagram)
    return b"".join(parts)


def bursts(datagrams: Sequence[bytes], most: int, most_bytes: int) -> Iterator[Sequence[bytes]]:
    """Cuts ``datagrams`` into runs that segmentation offload can carry as one: equal sizes, only the last may be shorter.

    Args:
        datagrams: in the order in which they go out.
        most: datagrams of a run.
        most_bytes: of payload of a run.
    """
    start, count = 0, len(datagrams)
    while start < count:
        size = len(datagrams[start])
        end = start + 1
        if size:
            limit = min(count, start + min(most, most_bytes // size or 1))
            while end < limit and len(datagrams[end]) == size:
                end += 1
            if end < limit and 0 < len(datagrams[end]) < size:
                end += 1
        yield datagrams[start:end]
        start = end


class DatagramReader:
    """Takes the byte stream apart.

    Args:
        smallest: bytes that each datagram has at least.
    """

    def __init__(self, *, smallest: int = 0) -> None:
        self._smallest = smallest
        self._buffer = b""

    def receive_data(self, data: bytes) -> list[bytes]:
        """Returns the datagrams that are complete. Raises RemoteProtocolError for one of a length that is not allowed."""
        buffer = self._buffer + data if self._buffer else data
        found = []
        start, end = 0, len(buffer)
        while end - start >= 2:
            length = buffer[start] << 8 | buffer[start + 1]
            if not self._smallest <= length <= DATAGRAM_MAX_BYTES:
                raise RemoteProtocolError(f"datagram of {length} bytes")
            if end - start - 2 < length:
                break
            found.append(buffer[start + 2 : start + 2 + length])
            start += 2 + length
        self._buffer = buffer[start:]
        return found
