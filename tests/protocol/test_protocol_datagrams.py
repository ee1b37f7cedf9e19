"""Datagrams on a stream: whole ones come out however the bytes are cut, and no length is believed beyond the limit."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.datagrams import ICMP_HEAD_BYTES, DatagramReader, bursts, encode_datagram, encode_datagrams
from protocol.errors import RemoteProtocolError
from protocol.limits import DATAGRAM_MAX_BYTES


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_what_was_sent_arrives_however_it_is_cut(sent: list[bytes], size: int) -> None:
    wire = b"".join(encode_datagram(datagram) for datagram in sent)
    assert encode_datagrams(sent) == wire
    reader = DatagramReader()
    pieces = [wire[start : start + size] for start in range(0, len(wire), size)]
    assert [datagram for piece in pieces for datagram in reader.receive_data(piece)] == sent


def test_the_largest_passes_and_one_byte_more_does_not() -> None:
    largest = bytes(DATAGRAM_MAX_BYTES)
    assert DatagramReader().receive_data(encode_datagram(largest)) == [largest]
    with pytest.raises(RemoteProtocolError, match="65508"):
        DatagramReader().receive_data((DATAGRAM_MAX_BYTES + 1).to_bytes(2, "big"))


def test_an_echo_message_has_its_head() -> None:
    reader = DatagramReader(smallest=ICMP_HEAD_BYTES)
    assert reader.receive_data(encode_datagram(b"\0\1\0\2")) == [b"\0\1\0\2"]
    with pytest.raises(RemoteProtocolError):
        reader.receive_data(encode_datagram(b"abc"))


@given(st.lists(st.integers(0, 5).map(bytes), max_size=30), st.integers(1, 6), st.integers(1, 20))
@settings(max_examples=200, deadline=None)
def test_bursts_are_what_segmentation_makes_again(sent: list[bytes], most: int, most_bytes: int) -> None:
    cut = list(bursts(sent, most, most_bytes))
    assert [datagram for burst in cut for datagram in burst] == sent
    for burst in cut:
        assert 0 < len(burst) <= most
        whole, size = b"".join(burst), len(burst[0])
        assert len(burst) == 1 or len(whole) <= most_bytes
        if len(burst) > 1:
            assert [whole[start : start + size] for start in range(0, len(whole), size)] == burst
    for before, after in pairwise(cut):
        # No burst ends early: the next datagram would have been too long for it, or one too many, or its last was short.
        size = len(before[0])
        fits = len(before) < most and size * (len(before) + 1) <= most_bytes and len(before[-1]) == size
        assert not (fits and 0 < len(after[0]) <= size)
