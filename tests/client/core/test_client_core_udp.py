"""UDP as packets: super-packets are taken apart, replies have the ends swapped."""

import pytest
from client_packets import APP, SERVER, World, opened, written
from hypothesis import given, settings
from hypothesis import strategies as st
from packet_reference import assert_valid, finished, packed, udp

from client.core.commands import WriteFrame
from client.packet.model import UdpDatagram
from client.packet.parse import parse
from client.packet.vnet import GSO_UDP_L4, NEEDS_CSUM, VnetHeader

VERSIONS = [4, 6]


@pytest.mark.parametrize("version", VERSIONS)
def test_reply_comes_from_the_destination(version: int) -> None:
    world = World()
    association = opened(world.send_udp(b"question", version, port=5000, to_port=53)).association
    table = world.interceptor.udp
    assert table.reply(association, b"too early", world.now) == []
    table.opened(association)
    (command,) = table.reply(association, b"answer", world.now)
    assert isinstance(command, WriteFrame)
    assert_valid(finished(command.frame))
    assert written([command]) == [UdpDatagram(packed(SERVER[version]), packed(APP[version]), 53, 5000, b"answer")]
    assert association.target.port == 53


@pytest.mark.parametrize("version", VERSIONS)
def test_reply_that_fits_no_packet_is_dropped(version: int) -> None:
    world = World()
    association = opened(world.send_udp(b"", version)).association
    world.interceptor.udp.opened(association)
    assert len(world.interceptor.udp.reply(association, bytes(65507), world.now)) == 1
    assert world.interceptor.udp.reply(association, bytes(65528), world.now) == []


@settings(deadline=None)
@given(st.lists(st.binary(min_size=9, max_size=9), max_size=12), st.binary(max_size=8))
def test_super_packet_is_taken_apart(pieces: list[bytes], last: bytes) -> None:
    world = World()
    datagrams = [*pieces, last] if last or not pieces else pieces
    vnet = VnetHeader(NEEDS_CSUM, GSO_UDP_L4, 28, 9, 20, 6).encode()
    commands = world.send_packet(udp(APP[4], SERVER[4], 5000, 53, b"".join(datagrams)), vnet)
    assert list(opened(commands).association.outgoing) == datagrams


def test_super_packet_without_a_size_is_one_datagram() -> None:
    world = World()
    vnet = VnetHeader(0, GSO_UDP_L4, 0, 0, 0, 0).encode()
    commands = world.send_packet(udp(APP[4], SERVER[4], 5000, 53, b"abc"), vnet)
    assert list(opened(commands).association.outgoing) == [b"abc"]


@pytest.mark.parametrize("version", VERSIONS)
def test_known_association_needs_no_parser(version: int) -> None:
    world = World()
    association = opened(world.send_udp(b"one", version)).association
    frame = bytes(10) + udp(APP[version], SERVER[version], 5000, 53, b"two")
    assert world.interceptor.udp.handle_known(frame, world.now) == []
    assert world.interceptor.udp.handle_known(frame + b"trailing", world.now) == []
    assert list(association.outgoing) == [b"one", b"two", b"two"]


@settings(deadline=None)
@given(
    st.sampled_from(VERSIONS),
    st.binary(max_size=20),
    st.lists(st.tuples(st.integers(0, 67), st.integers(0, 255)), max_size=2),
    st.integers(0, 90),
)
def test_t35_short_cut_takes_nothing_that_the_parser_refuses(
    version: int, payload: bytes, damage: list[tuple[int, int]], length: int
) -> None:
    world = World()
    association = opened(world.send_udp(b"", version)).association
    association.outgoing.clear()
    packet = bytearray(udp(APP[version], SERVER[version], 5000, 53, payload))
    for place, value in damage:
        packet[place % len(packet)] = value
    frame = bytes(10) + bytes(packet[:length])
    if world.interceptor.udp.handle_known(frame, world.now) is not None:
        parsed = parse(frame[10:])
        assert isinstance(parsed, UdpDatagram)
        assert list(association.outgoing) == [parsed.payload]
