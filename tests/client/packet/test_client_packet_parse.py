"""The parser is total and refuses what hides ports from a policy (T-35, T-58)."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packet_reference import Tcp, echo, ip, packed, udp

from client.packet.model import Echo, PacketDrop, TcpSegment, UdpDatagram
from client.packet.parse import parse

V4 = ("10.1.2.3", "10.99.0.5")
V6 = ("fd00::1", "fd99::5")
PAIRS = [V4, V6]
SOURCE, DESTINATION = packed(V4[0]), packed(V4[1])


def tcp_packet(pair: tuple[str, str] = V4, **fields: object) -> bytes:
    return Tcp(*pair, 40000, 443, **fields).frame()[10:]  # type: ignore[arg-type]


def changed(packet: bytes, **bytes_at: int) -> bytes:
    """Replaces single bytes: ``b9=17`` sets byte 9."""
    copy = bytearray(packet)
    for place, value in bytes_at.items():
        copy[int(place[1:])] = value
    return bytes(copy)


@pytest.mark.parametrize("pair", PAIRS)
def test_tcp(pair: tuple[str, str]) -> None:
    packet = tcp_packet(pair, payload=b"hello", flags=0x18, options=bytes(12))
    expected = TcpSegment(packed(pair[0]), packed(pair[1]), 40000, 443, 1000, 2000, 0x18, 5)
    assert parse(packet) == expected
    assert parse(memoryview(packet + b"trailing bytes of the link")) == expected


@pytest.mark.parametrize("pair", PAIRS)
def test_udp(pair: tuple[str, str]) -> None:
    packet = udp(*pair, 5000, 53, b"question")
    assert parse(bytearray(packet)) == UdpDatagram(packed(pair[0]), packed(pair[1]), 5000, 53, b"question")


def test_udp_length_bounds_the_payload() -> None:
    body = struct.pack("!HHHH", 5000, 53, 10, 0) + b"abcdef"
    parsed = parse(ip(SOURCE, DESTINATION, 17, body))
    assert isinstance(parsed, UdpDatagram)
    assert parsed.payload == b"ab"


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("reply", [False, True])
def test_echo(pair: tuple[str, str], reply: bool) -> None:
    expected = Echo(packed(pair[0]), packed(pair[1]), 77, 3, b"abc", reply)
    assert parse(echo(*pair, 77, 3, b"abc", reply=reply)) == expected


# Bytes of an IPv4 header: 0 version and length, 2-3 total length, 6-7 flags and fragment offset, 9 protocol.
@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"", PacketDrop.TRUNCATED),
        (tcp_packet()[:19], PacketDrop.TRUNCATED),
        (tcp_packet()[:39], PacketDrop.TRUNCATED),
        (tcp_packet(V6)[:39], PacketDrop.TRUNCATED),
        (tcp_packet(V6)[:59], PacketDrop.TRUNCATED),
        (changed(tcp_packet(), b0=0x55), PacketDrop.NOT_IP),
        (changed(tcp_packet(), b0=0x44), PacketDrop.MALFORMED),
        (changed(tcp_packet(), b2=0, b3=19), PacketDrop.MALFORMED),
        (ip(SOURCE, DESTINATION, 6, bytes(19)), PacketDrop.TRUNCATED),
        (ip(SOURCE, DESTINATION, 17, bytes(7)), PacketDrop.TRUNCATED),
        (ip(SOURCE, DESTINATION, 1, b"\x08" + bytes(6)), PacketDrop.TRUNCATED),
        (changed(tcp_packet(), b32=0x40), PacketDrop.MALFORMED),  # TCP header of 16 bytes
        (changed(tcp_packet(), b32=0xF0), PacketDrop.TRUNCATED),  # TCP header of 60 bytes
        (changed(tcp_packet(), b20=0, b21=0), PacketDrop.MALFORMED),  # port 0
        (changed(udp(*V4, 1, 2, b"abcd"), b24=0, b25=7), PacketDrop.MALFORMED),
        (changed(udp(*V4, 1, 2, b"abcd"), b24=0, b25=13), PacketDrop.TRUNCATED),
        (changed(udp(*V4, 1, 2, b"abcd"), b22=0, b23=0), PacketDrop.MALFORMED),
        (changed(tcp_packet(), b9=47), PacketDrop.PROTOCOL_UNKNOWN),
        (changed(echo(*V4, 1, 1, b""), b9=58), PacketDrop.PROTOCOL_UNKNOWN),  # ICMPv6 in IPv4
        (changed(echo(*V6, 1, 1, b""), b6=1), PacketDrop.PROTOCOL_UNKNOWN),  # ICMP in IPv6
        (changed(tcp_packet(V6), b6=59), PacketDrop.PROTOCOL_UNKNOWN),
        (changed(echo(*V4, 1, 1, b""), b20=3), PacketDrop.ICMP_OTHER),
        (changed(echo(*V4, 1, 1, b""), b21=1), PacketDrop.ICMP_OTHER),
        (changed(echo(*V6, 1, 1, b""), b40=135), PacketDrop.ICMP_OTHER),
        (udp("10.1.2.3", "224.0.0.251", 5353, 5353, b""), PacketDrop.MULTICAST),
        (udp("0.0.0.0", "10.99.0.5", 68, 67, b""), PacketDrop.MULTICAST),
        (udp("240.0.0.1", "10.99.0.5", 68, 67, b""), PacketDrop.MULTICAST),
        (udp("fd00::1", "ff02::fb", 5353, 5353, b""), PacketDrop.MULTICAST),
        (udp("::", "fd99::5", 5353, 5353, b""), PacketDrop.MULTICAST),
        (udp("ff02::1", "fd99::5", 5353, 5353, b""), PacketDrop.MULTICAST),
    ],
)
def test_refused_with_reason(packet: bytes, reason: PacketDrop) -> None:
    assert parse(packet) is reason


def test_t35_ipv4_options_are_refused() -> None:
    packet = tcp_packet()
    loose_source_route = b"\x83\x03\x04\x00"
    routed = bytearray(packet[:20] + loose_source_route + packet[20:])
    routed[0] = 0x46
    routed[2:4] = len(routed).to_bytes(2, "big")
    assert parse(routed) is PacketDrop.IP_OPTIONS


@pytest.mark.parametrize(("flags", "offset"), [(0x20, 0), (0x20, 1), (0x00, 1), (0x01, 0), (0x1F, 0xFF)])
def test_t35_fragments_are_refused_first_middle_and_last(flags: int, offset: int) -> None:
    assert parse(changed(tcp_packet(), b6=flags, b7=offset)) is PacketDrop.FRAGMENT


def test_t35_dont_fragment_is_no_fragment() -> None:
    assert isinstance(parse(changed(tcp_packet(), b6=0x40, b7=0)), TcpSegment)


@pytest.mark.parametrize("kind", [0, 43, 50, 51, 60, 135, 139, 140, 253, 254])
def test_t35_extension_headers_are_refused(kind: int) -> None:
    inner = tcp_packet(V6)[40:]
    extended = ip(packed(V6[0]), packed(V6[1]), kind, bytes([6, 0, 1, 4, 0, 0, 0, 0]) + inner)
    assert parse(extended) is PacketDrop.EXTENSION_HEADER


def test_t35_eight_extension_headers_before_tcp_are_refused() -> None:
    body = bytes([60, 0, 1, 4, 0, 0, 0, 0]) * 7 + bytes([6, 0, 1, 4, 0, 0, 0, 0]) + tcp_packet(V6)[40:]
    assert parse(ip(packed(V6[0]), packed(V6[1]), 60, body)) is PacketDrop.EXTENSION_HEADER


def test_t35_ipv6_fragment_is_refused() -> None:
    assert parse(changed(tcp_packet(V6), b6=44)) is PacketDrop.FRAGMENT


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120))
def test_t58_any_bytes_give_a_packet_or_a_reason(data: bytes) -> None:
    assert isinstance(parse(data), TcpSegment | UdpDatagram | Echo | PacketDrop)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        [tcp_packet(), tcp_packet(V6), udp(*V4, 1, 2, b"abc"), udp(*V6, 1, 2, b"abc"), echo(*V4, 1, 2, b"x")]
    ),
    st.lists(st.tuples(st.integers(0, 63), st.integers(0, 255)), max_size=4),
    st.integers(0, 70),
)
def test_t58_damaged_packets_give_a_packet_or_a_reason(
    packet: bytes, damage: list[tuple[int, int]], length: int
) -> None:
    damaged = bytearray(packet)
    for place, value in damage:
        damaged[place % len(damaged)] = value
    assert isinstance(parse(damaged[:length]), TcpSegment | UdpDatagram | Echo | PacketDrop)
