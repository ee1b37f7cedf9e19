"""Datagrams in a byte stream: framing, backpressure, drop-oldest."""

from collections import deque
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.daemon.datagrams import DatagramStream
from protocol.datagrams import DatagramReader
from protocol.errors import RemoteProtocolError
from protocol.reasons import Reason
from runtime.tunnel import TunnelStream


def framed(*datagrams: bytes) -> bytes:
    return b"".join(len(each).to_bytes(2, "big") + each for each in datagrams)


@given(st.lists(st.binary(max_size=300), max_size=20), st.lists(st.integers(1, 50), max_size=60))
def test_any_pieces_give_the_same_datagrams(datagrams: list[bytes], cuts: list[int]) -> None:
    data, reader, found = framed(*datagrams), DatagramReader(), []
    for cut in [*cuts, len(data)]:
        piece, data = data[:cut], data[cut:]
        found += reader.receive_data(piece)
    assert found == datagrams


def test_the_largest_datagram_passes_and_a_longer_one_does_not() -> None:
    assert DatagramReader().receive_data(framed(bytes(65_507))) == [bytes(65_507)]
    with pytest.raises(RemoteProtocolError):
        DatagramReader().receive_data(b"\xff\xff")


class FakeStream:
    """A TunnelStream as far as DatagramStream looks."""

    def __init__(self) -> None:
        self.paused = False
        self.ended = False
        self.written = b""
        self.credit = 0
        self.reset_with: Reason | None = None

    def set_receiver(self, receiver: object) -> None:
        self.receiver = receiver

    def write(self, data: bytes) -> None:
        self.written += data

    def write_eof(self) -> None: ...

    def consumed(self, count: int) -> None:
        self.credit += count

    def reset(self, reason: Reason) -> None:
        self.ended = True
        self.reset_with = reason


def datagram_stream(
    outgoing: "deque[bytes]",
) -> tuple[FakeStream, DatagramStream, list[bytes], list[Reason]]:
    stream, got, ends = FakeStream(), [], []  # type: ignore[var-annotated]
    return stream, DatagramStream(cast(TunnelStream, stream), outgoing, got.extend, ends.append), got, ends


def test_what_waits_is_sent_at_start_and_while_there_is_credit() -> None:
    outgoing = deque([b"one", b"two"])
    stream, datagrams, _, _ = datagram_stream(outgoing)
    datagrams.start()
    assert stream.written == framed(b"one", b"two")
    datagrams.pause_writing()
    outgoing.append(b"three")
    datagrams.send()
    assert stream.written == framed(b"one", b"two")
    datagrams.resume_writing()
    assert stream.written == framed(b"one", b"two", b"three")


def test_credit_goes_back_for_everything_and_datagrams_are_delivered() -> None:
    stream, datagrams, got, _ = datagram_stream(deque())
    datagrams.start()
    datagrams.data_received(framed(b"a", b"")[:2])
    datagrams.data_received(framed(b"a", b"")[2:])
    assert got == [b"a", b""]
    assert stream.credit == 5


def test_the_connectors_end_is_told_once_as_normal() -> None:
    stream, datagrams, _, ends = datagram_stream(deque())
    datagrams.start()
    datagrams.eof_received()
    assert ends == [Reason.NORMAL]
    assert stream.ended


def test_a_reset_is_told_with_its_reason() -> None:
    _, datagrams, _, ends = datagram_stream(deque())
    datagrams.start()
    datagrams.stream_reset(Reason.ACCESS_REVOKED)
    assert ends == [Reason.ACCESS_REVOKED]
