"""UDP as packets: super-packets are taken apart, replies have the ends swapped."""

import pytest
from client_packets import APP, SERVER, World, opened, written
from hypothesis import given, settings
from hypothesis import strategies as st
from packet_reference import assert_valid, finished, packed, udp

from client.core.association_table import SEND_AT
from client.core.commands import SendDatagrams, WriteFrame
from client.packet.model import UdpDatagram
from client.packet.parse import parse
from client.packet.vnet import GSO_UDP_L4, NEEDS_CSUM, VnetHeader, parse_vnet

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


@pytest.mark.parametrize("version", VERSIONS)
def test_replies_that_came_together_travel_together(version: int) -> None:
    world = World()
    association = opened(world.send_udp(b"question", version, port=5000, to_port=53)).association
    table = world.interceptor.udp
    table.opened(association)
    datagrams = [b"a" * 9, b"b" * 9, b"c" * 4, b"d" * 9]
    assert len(table.replies(association, datagrams, world.now)) == 4, "one by one, where the device takes no bursts"
    table.super_packets = True
    burst, single = table.replies(association, datagrams, world.now)
    assert isinstance(burst, WriteFrame)
    vnet = parse_vnet(burst.frame)
    assert vnet is not None
    assert (vnet.gso_type, vnet.gso_size) == (GSO_UDP_L4, 9)
    assert_valid(finished(burst.frame))
    ends = (packed(SERVER[version]), packed(APP[version]), 53, 5000)
    assert written([burst, single]) == [UdpDatagram(*ends, b"".join(datagrams[:3])), UdpDatagram(*ends, datagrams[3])]


def test_a_burst_is_no_larger_than_a_packet() -> None:
    world = World()
    association = opened(world.send_udp(b"question", 4)).association
    table = world.interceptor.udp
    table.opened(association)
    table.super_packets = True
    commands = table.replies(association, [bytes(30_000)] * 5 + [bytes(100)] * 70, world.now)
    payloads = [each.payload for each in written(commands) if isinstance(each, UdpDatagram)]
    assert [len(payload) for payload in payloads] == [60_000, 60_000, 30_100, 6_400, 500]


def test_many_that_wait_are_sent_at_once() -> None:
    world = World()
    association = opened(world.send_udp(b"one", 4)).association
    world.interceptor.udp.opened(association)
    urgent = []
    for _ in range(SEND_AT - 1):
        urgent += [command for command in world.send_udp(b"more", 4) if isinstance(command, SendDatagrams)]
    assert urgent == [SendDatagrams(association, urgent=True)]
