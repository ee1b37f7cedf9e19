"""Built packets are valid, and answer what they say they answer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packet_reference import Tcp, assert_valid, echo, finished, packed, udp

from client.packet import build
from client.packet.build import UdpTemplate, Unreachable
from client.packet.model import Echo, TcpFlag, TcpSegment, UdpDatagram
from client.packet.parse import parse

V4 = ("10.1.2.3", "10.99.0.5")
V6 = ("fd00::1", "fd99::5")
PAIRS = [V4, V6]

ports = st.integers(1, 65535)
numbers = st.integers(0, 0xFFFFFFFF)
pairs = st.sampled_from(PAIRS)


def segment_of(packet: bytes) -> TcpSegment:
    parsed = parse(packet)
    assert isinstance(parsed, TcpSegment)
    return parsed


@settings(deadline=None)
@given(pairs, ports, ports, numbers, st.binary(max_size=5))
def test_reset_of_a_syn_acknowledges_it(
    pair: tuple[str, str], source: int, destination: int, sequence: int, payload: bytes
) -> None:
    syn = Tcp(*pair, source, destination, payload, flags=int(TcpFlag.SYN), sequence=sequence)
    reset = build.tcp_reset(segment_of(syn.frame()[10:]))
    assert_valid(reset)
    answer = segment_of(reset)
    assert (answer.source_port, answer.destination_port) == (destination, source)
    assert (answer.source, answer.destination) == (packed(pair[1]), packed(pair[0]))
    assert answer.flags == TcpFlag.RST | TcpFlag.ACK
    assert answer.sequence == 0
    assert answer.acknowledgement == (sequence + 1 + len(payload)) & 0xFFFFFFFF


@settings(deadline=None)
@given(pairs, numbers, numbers)
def test_reset_of_an_acknowledgement_takes_its_number(pair: tuple[str, str], sequence: int, acknowledged: int) -> None:
    packet = Tcp(*pair, 1, 2, b"x", sequence=sequence, acknowledgement=acknowledged)
    reset = build.tcp_reset(segment_of(packet.frame()[10:]))
    assert_valid(reset)
    answer = segment_of(reset)
    assert answer.flags == TcpFlag.RST
    assert answer.sequence == acknowledged


def test_reset_counts_a_fin() -> None:
    packet = Tcp(*V4, 1, 2, b"abc", flags=int(TcpFlag.FIN), sequence=0xFFFFFFFF)
    assert segment_of(build.tcp_reset(segment_of(packet.frame()[10:]))).acknowledgement == 3


@settings(deadline=None)
@given(pairs, ports, ports, st.lists(st.binary(max_size=80), max_size=3))
def test_template_makes_valid_packets(
    pair: tuple[str, str], source: int, destination: int, payloads: list[bytes]
) -> None:
    template = UdpTemplate(packed(pair[0]), packed(pair[1]), source, destination)
    for payload in payloads:
        packet = finished(template.frame(payload))
        assert_valid(packet)
        assert parse(packet) == UdpDatagram(packed(pair[0]), packed(pair[1]), source, destination, payload)


@pytest.mark.parametrize("pair", PAIRS)
def test_template_takes_the_largest_payload(pair: tuple[str, str]) -> None:
    template = UdpTemplate(packed(pair[0]), packed(pair[1]), 1, 2)
    assert_valid(finished(template.frame(b"\xa5" * template.payload_max)))


@settings(deadline=None)
@given(pairs, st.integers(0, 65535), st.integers(0, 65535), st.binary(max_size=60))
def test_echo_reply(pair: tuple[str, str], identifier: int, sequence: int, payload: bytes) -> None:
    request = parse(echo(*pair, identifier, sequence, payload))
    assert isinstance(request, Echo)
    reply = build.echo(packed(pair[1]), packed(pair[0]), identifier, sequence, payload, reply=True)
    assert_valid(reply)
    assert parse(reply) == Echo(packed(pair[1]), packed(pair[0]), identifier, sequence, payload, reply=True)


def test_echo_request() -> None:
    packet = build.echo(packed(V4[0]), packed(V4[1]), 1, 2, b"x", reply=False)
    assert packet[20:] == echo(*V4, 1, 2, b"x")[20:]


@pytest.mark.parametrize(
    ("why", "code_v4", "code_v6"),
    [
        (Unreachable.NETWORK, 0, 0),
        (Unreachable.HOST, 1, 3),
        (Unreachable.PORT, 3, 4),
        (Unreachable.PROHIBITED, 13, 1),
    ],
)
@pytest.mark.parametrize("payload", [b"", b"odd", b"long" * 1000])
def test_unreachable_quotes_the_original(why: Unreachable, code_v4: int, code_v6: int, payload: bytes) -> None:
    for pair, kind, code, limit, header in ((V4, 3, code_v4, 576, 20), (V6, 1, code_v6, 1280, 40)):
        original = udp(*pair, 1, 2, payload)
        error = build.unreachable(original, why)
        assert_valid(error)
        assert len(error) <= limit
        assert error[header : header + 2] == bytes([kind, code])
        assert original.startswith(error[header + 8 :])
        assert len(error) >= min(header + 8 + len(original), limit)


@pytest.mark.parametrize("pair", PAIRS)
def test_unreachable_comes_from_the_destination(pair: tuple[str, str]) -> None:
    error = build.unreachable(memoryview(udp(*pair, 1, 2, b"")), Unreachable.HOST)
    source, destination = (error[12:16], error[16:20]) if pair == V4 else (error[8:24], error[24:40])
    assert (source, destination) == (packed(pair[1]), packed(pair[0]))


def test_framed_puts_an_empty_header_in_front() -> None:
    assert build.framed(b"packet") == bytes(10) + b"packet"
