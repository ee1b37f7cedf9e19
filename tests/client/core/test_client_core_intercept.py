"""The whole packet machine: total, counting what it drops (T-35, T-58)."""

import ipaddress

import pytest
from client_packets import APP, LISTEN_PORTS, PEER, SERVER, World, icmp_codes
from hypothesis import given, settings
from hypothesis import strategies as st
from packet_reference import Tcp, echo, udp

from client.core.addresses import plan_addresses
from client.core.commands import WriteFrame
from client.core.intercept import Interceptor
from client.packet.model import PacketDrop
from protocol.limits import ICMP_IDLE_S, UDP_IDLE_S


def test_dropped_packets_are_counted() -> None:
    world = World()
    fragment = bytearray(udp(APP[4], SERVER[4], 1, 2, b"x"))
    fragment[6] = 0x20
    for packet in (bytes(fragment), bytes(fragment), b"", udp(APP[4], "224.0.0.251", 1, 2, b"")):
        assert world.send_packet(packet) == ()
    assert world.interceptor.dropped == {
        PacketDrop.FRAGMENT: 2,
        PacketDrop.TRUNCATED: 1,
        PacketDrop.MULTICAST: 1,
    }


def test_frame_shorter_than_its_header_is_counted() -> None:
    world = World()
    assert world.interceptor.handle(b"\0\0", 0.0) == []
    assert world.interceptor.dropped[PacketDrop.TRUNCATED] == 1


@pytest.mark.parametrize(("pool_v6", "ports"), [(None, LISTEN_PORTS), ("plan", {4: 40004})])
def test_ipv6_without_a_listener_is_dropped(pool_v6: str | None, ports: dict[int, int]) -> None:
    world = World()
    plan = world.plan if pool_v6 else plan_addresses([], pool_v6=None)
    interceptor = Interceptor(world.classifier, plan, ports)
    assert interceptor.handle(world.segment(6).frame(), 0.0) == []
    assert interceptor.dropped[PacketDrop.PROTOCOL_UNKNOWN] == 1
    assert len(interceptor.handle(world.segment(4).frame(), 0.0)) == 1


def test_earliest_deadline_of_all() -> None:
    world = World()
    assert world.interceptor.deadline() is None
    world.send_udp(b"")
    assert world.interceptor.deadline() == (world.now + UDP_IDLE_S, "udp_idle")
    world.send_echo(b"")
    assert world.interceptor.deadline() == (world.now + ICMP_IDLE_S, "icmp_idle")
    world.hold()
    deadline = world.interceptor.deadline()
    assert deadline is not None
    assert deadline[1] == "hold"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=100), max_size=5))
def test_t58_any_frames_are_survived(frames: list[bytes]) -> None:
    world = World()
    world.open()
    for raw in frames:
        frame = bytearray(raw)
        if not world.interceptor.forward(frame, len(frame)):
            world.interceptor.handle(bytes(frame), world.now)
        world.interceptor.tick(world.now)
    assert len(world.send(world.segment(flags=0x10))) == 1  # the connection works all the same


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([4, 6]),
    st.lists(st.tuples(st.integers(0, 79), st.integers(0, 255)), max_size=3),
    st.integers(0, 100),
    st.integers(0, 63),
)
def test_t58_damaged_frames_are_survived(version: int, damage: list[tuple[int, int]], length: int, flags: int) -> None:
    world = World()
    world.open(version)
    frame = bytearray(Tcp(APP[version], SERVER[version], 50000, 443, b"data", flags=flags).frame())
    for place, value in damage:
        frame[place % len(frame)] = value
    del frame[length:]
    if not world.interceptor.forward(frame, len(frame)):
        world.interceptor.handle(bytes(frame), world.now)


@pytest.mark.parametrize(("version", "kind"), [(4, (11, 0)), (6, (3, 0))])
def test_a_packet_whose_hops_are_used_up_is_answered_as_by_a_router(version: int, kind: tuple[int, int]) -> None:
    world = World()
    place = 8 if version == 4 else 7
    for packet in (
        udp(APP[version], SERVER[version], 5000, 53, b"x"),
        echo(APP[version], SERVER[version], 7, 1, b"x"),
        world.segment(version).frame()[10:],
    ):
        raw = bytearray(packet)
        raw[place] = 1
        commands = world.send_packet(bytes(raw))
        assert icmp_codes(commands) == [kind]
        (error,) = [each.frame[10:] for each in commands if isinstance(each, WriteFrame)]
        hop = ipaddress.ip_address(error[12:16] if version == 4 else error[8:24])
        assert str(hop) == PEER[version]
        raw[place] = 2
        assert icmp_codes(world.send_packet(bytes(raw))) == []
