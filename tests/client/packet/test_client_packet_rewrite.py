"""Turning packets around in place equals building them anew with all sums from scratch."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packet_reference import Tcp, assert_valid, packed

from client.packet.model import endpoints
from client.packet.rewrite import make_rewrite

ports = st.integers(1, 65535)
payloads = st.binary(max_size=70)
addresses = st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str)


@st.composite
def turns(draw: st.DrawFn) -> tuple[Tcp, Tcp]:
    """A segment and what it has to look like when it is turned around."""
    address = draw(st.sampled_from(addresses))
    segment = Tcp(
        draw(address),
        draw(address),
        draw(ports),
        draw(ports),
        draw(payloads),
        flags=draw(st.integers(0, 255)),
        sequence=draw(st.integers(0, 0xFFFFFFFF)),
        acknowledgement=draw(st.integers(0, 0xFFFFFFFF)),
        options=draw(st.sampled_from([b"", bytes(4), bytes(range(40))])),
        needs_csum=draw(st.booleans()),
        ttl=draw(st.integers(1, 255)),
        identification=draw(st.integers(0, 65535)),
        gso_size=draw(st.sampled_from([0, 1448])),
    )
    return segment, segment.turned(draw(address), draw(ports), draw(address), draw(ports))


def key(segment: Tcp) -> bytes:
    return endpoints(packed(segment.source), packed(segment.destination), segment.source_port, segment.destination_port)


@settings(max_examples=250, deadline=None)
@given(turns())
def test_equals_the_slow_reference(pair: tuple[Tcp, Tcp]) -> None:
    segment, expected = pair
    frame = bytearray(segment.frame())
    make_rewrite(key(segment), key(expected)).apply(frame)
    assert frame == expected.frame()


@settings(deadline=None)
@given(turns())
def test_there_and_back_is_the_same_frame(pair: tuple[Tcp, Tcp]) -> None:
    segment, other = pair
    frame = bytearray(segment.frame())
    make_rewrite(key(segment), key(other)).apply(frame)
    make_rewrite(key(other), key(segment)).apply(frame)
    assert frame == segment.frame()


@settings(deadline=None)
@given(turns())
def test_complete_checksums_stay_complete(pair: tuple[Tcp, Tcp]) -> None:
    segment, other = pair
    frame = bytearray(segment.frame())
    make_rewrite(key(segment), key(other)).apply(frame)
    if not segment.needs_csum:
        assert_valid(bytes(frame[10:]))


@pytest.mark.parametrize("addresses", [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")])
@pytest.mark.parametrize("needs_csum", [False, True])
def test_super_packet_passes_unsplit_in_a_larger_buffer(addresses: tuple[str, str], needs_csum: bool) -> None:
    segment = Tcp(*addresses, 1, 2, b"\x5a" * 64_000, needs_csum=needs_csum, gso_size=1448)
    expected = segment.turned(addresses[1], 7, addresses[0], 8)
    frame = segment.frame()
    buffer = bytearray(frame + bytes(1000))
    make_rewrite(key(segment), key(expected)).apply(buffer)
    assert buffer[: len(frame)] == expected.frame()
    assert len(buffer) == len(frame) + 1000


def test_the_ip_version_never_changes() -> None:
    with pytest.raises(ValueError, match="IP version"):
        make_rewrite(bytes(12), bytes(36))
