"""SOCKS5 UDP ASSOCIATE (RFC 1928 section 7): through the tunnel, directly, refused, and the end of it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from client_world import World, entry, online

from client.daemon import proxy_udp
from client.daemon.proxy_wire import (
    SocksAssociate,
    SocksDatagram,
    parse_socks_datagram_untrusted,
    parse_socks_untrusted,
)
from protocol.acl.model import PortRange, Ports
from protocol.reasons import Reason

ONLY_53 = Ports(udp=(PortRange(53, 53),))


def to(host: str, port: int, payload: bytes) -> bytes:
    """A datagram by name, as a program sends it."""
    return b"\0\0\0\x03" + bytes([len(host)]) + host.encode() + port.to_bytes(2, "big") + payload


class Program(asyncio.DatagramProtocol):
    """A program with an association."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, _: object) -> None:
        self.received.put_nowait(data)

    async def ask(self, data: bytes) -> bytes:
        self.transport.sendto(data)
        return await asyncio.wait_for(self.received.get(), 20)


async def associate(world: World) -> tuple[tuple[str, int], asyncio.StreamWriter]:
    """The greeting; returns where datagrams go, and the connection on which the association hangs."""
    reader, writer = await asyncio.open_connection(*world.proxy)
    writer.write(b"\x05\x01\x00\x05\x03\x00\x01" + bytes(6))
    reply = await asyncio.wait_for(reader.readexactly(12), 20)
    assert reply[:6] == b"\x05\x00\x05\x00\x00\x01"
    return (socket.inet_ntoa(reply[6:10]), int.from_bytes(reply[10:], "big")), writer


@asynccontextmanager
async def program(world: World) -> AsyncIterator[Program]:
    """A program that has greeted; its association ends with the block."""
    address, writer = await associate(world)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Program, remote_addr=address)
    try:
        yield protocol
    finally:
        transport.close()
        writer.close()


async def until_flows(world: World, count: int) -> None:
    async with asyncio.timeout(60):
        while (await world.ask("status"))["flows"] != count:
            await asyncio.sleep(0.02)


async def test_datagrams_reach_a_resource_by_name_and_come_back(tmp_path: Path) -> None:
    async with online(tmp_path, entry("dns.corp.internal")) as world:
        async with program(world) as one:
            for text in (b"first", b"second"):
                assert await one.ask(to("dns.corp.internal", 53, text)) == to("dns.corp.internal", 53, text)
            assert (await world.ask("status"))["flows"] == 1
        # The association ends with its TCP connection, and the flow with the association.
        await until_flows(world, 0)


async def test_what_is_no_resource_is_sent_directly(tmp_path: Path) -> None:
    class Upper(Program):
        def datagram_received(self, data: bytes, addr: object) -> None:
            self.transport.sendto(data.upper(), cast("tuple[str, int]", addr))

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Upper, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    async with online(tmp_path, entry("dns.corp.internal")) as world, program(world) as one:
        head = b"\0\0\0\x01\x7f\0\0\x01" + port.to_bytes(2, "big")
        assert await one.ask(head + b"hello") == head + b"HELLO"
        assert world.edge.opened == []
    transport.close()


async def test_a_port_outside_the_resource_is_dropped_and_shown(tmp_path: Path) -> None:
    async with online(tmp_path, entry("dns.corp.internal", ports=ONLY_53)) as world, program(world) as one:
        for _ in range(3):
            one.transport.sendto(to("dns.corp.internal", 54, b"x"))
        assert await one.ask(to("dns.corp.internal", 53, b"y")) == to("dns.corp.internal", 53, b"y")
        (shown,) = (await world.ask("status"))["denials"]
        assert (shown["reason"], shown["transport"], shown["port"], shown["count"]) == (
            "port_not_allowed",
            "udp",
            54,
            1,
        )


async def test_a_refusal_of_the_connector_is_shown_and_asked_again_later(tmp_path: Path) -> None:
    async with online(tmp_path, entry("dns.corp.internal")) as world, program(world) as one:
        world.edge.refuse_open["udp"] = Reason.HOST_UNREACHABLE
        async with asyncio.timeout(60):
            while not (await world.ask("status"))["denials"]:
                one.transport.sendto(to("dns.corp.internal", 53, b"x"))
                await asyncio.sleep(0.02)
        world.edge.refuse_open.clear()
        async with asyncio.timeout(60):
            while one.received.empty():
                one.transport.sendto(to("dns.corp.internal", 53, b"x"))
                await asyncio.sleep(0.1)


async def test_t50_others_are_not_heard(tmp_path: Path) -> None:
    async with online(tmp_path, entry("dns.corp.internal")) as world, program(world) as one:
        assert await one.ask(to("dns.corp.internal", 53, b"mine")) == to("dns.corp.internal", 53, b"mine")
        address = one.transport.get_extra_info("peername")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(to("dns.corp.internal", 53, b"theirs"), address)
            assert await one.ask(to("dns.corp.internal", 53, b"again")) == to("dns.corp.internal", 53, b"again")
            assert one.received.empty()


async def test_t58_any_datagram_is_survived(tmp_path: Path) -> None:
    async with online(tmp_path, entry("dns.corp.internal")) as world, program(world) as one:
        for data in (
            b"",
            b"\0\0\1" + to("a", 1, b"")[3:],
            b"\0\0\0\x05abc",
            b"\0\0\0\x03\xffshort",
            to("dns.corp.internal", 0, b"x"),
        ):
            one.transport.sendto(data)
        assert await one.ask(to("dns.corp.internal", 53, b"x")) == to("dns.corp.internal", 53, b"x")


async def test_all_associations_together_have_a_bound_and_a_quiet_destination_gives_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_udp, "ASSOCIATIONS_MAX", 2)
    async with online(tmp_path, entry("dns.corp.internal")) as world, program(world) as one, program(world) as two:
        for who, port in ((one, 1), (two, 2)):
            assert await who.ask(to("dns.corp.internal", port, b"x")) == to("dns.corp.internal", port, b"x")
        # Nobody is quiet yet: what would be one more is dropped.
        two.transport.sendto(to("dns.corp.internal", 3, b"x"))
        assert await two.ask(to("dns.corp.internal", 2, b"y")) == to("dns.corp.internal", 2, b"y")
        assert (await world.ask("status"))["flows"] == 2
        monkeypatch.setattr(proxy_udp, "QUIET_S", 0.0)
        assert await two.ask(to("dns.corp.internal", 3, b"x")) == to("dns.corp.internal", 3, b"x")
        await until_flows(world, 2)


async def test_what_has_ended_takes_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_udp, "ASSOCIATIONS_MAX", 1)
    async with online(tmp_path, entry("dns.corp.internal")) as world:
        for _ in range(3):
            async with program(world) as one:
                assert await one.ask(to("dns.corp.internal", 53, b"x")) == to("dns.corp.internal", 53, b"x")
            await until_flows(world, 0)


def test_requests_and_datagrams_byte_by_byte() -> None:
    request = b"\x05\x03\x00\x01" + bytes(6)
    assert parse_socks_untrusted(request) == (SocksAssociate(), len(request))
    data = to("wiki", 80, b"payload")
    assert parse_socks_datagram_untrusted(data) == SocksDatagram("wiki", 80, data[:-7], b"payload")
    v6 = b"\0\0\0\x04" + bytes(15) + b"\x01\x00\x35"
    assert parse_socks_datagram_untrusted(v6) == SocksDatagram("::1", 53, v6, b"")
    for cut in range(len(data) - 7):
        assert parse_socks_datagram_untrusted(data[:cut]) is None
