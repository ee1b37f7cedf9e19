"""The virtio-net header."""

import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from client.packet.vnet import GSO_TCPV4, NEEDS_CSUM, NO_OFFLOAD, OFFSET, VnetHeader, parse_vnet

byte, word = st.integers(0, 255), st.integers(0, 65535)


@settings(deadline=None)
@given(byte, byte, word, word, word, word, st.binary(max_size=20))
def test_encode_and_parse_are_inverse(
    flags: int, gso: int, length: int, size: int, start: int, offset: int, packet: bytes
) -> None:
    header = VnetHeader(flags, gso, length, size, start, offset)
    assert len(header.encode()) == OFFSET
    assert parse_vnet(header.encode() + packet) == header


def test_layout_is_the_kernels() -> None:
    header = VnetHeader(NEEDS_CSUM, GSO_TCPV4, 54, 1448, 34, 16).encode()
    assert header[:2] == b"\x01\x01"
    assert header[4:6] == (1448).to_bytes(2, sys.byteorder)


def test_empty_header_is_zeros() -> None:
    assert VnetHeader().encode() == NO_OFFLOAD


def test_short_frame_has_no_header() -> None:
    assert parse_vnet(bytes(9)) is None
