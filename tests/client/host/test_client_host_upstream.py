"""Questions that are not ours go to the host's own servers with their bytes untouched (C9)."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import dns.message
import pytest

from client.host.upstream import SEARCHES_MAX, forward_query, host_domain, parse_nameservers, parse_searches
from protocol.errors import RemoteError
from protocol.reasons import Reason

QUERY = dns.message.make_query("Example.COM", "A", use_edns=0).to_wire()
REPLY = QUERY[:2] + b"\x81\x80" + QUERY[4:] + b"whatever the server appends"


def test_nameservers_of_resolv_conf() -> None:
    text = (
        b"search a b\n# nameserver 192.0.2.1\nnameserver 192.0.2.2\n nameserver\tfe80::1%eth0\nnameserver not-an-address\n"
        b"nameserver 192.0.2.2\nnameserver\nnameserver ::1 comment\nnameserver 192.0.2.9\n\xff\n"
    )
    assert parse_nameservers(text) == ("192.0.2.2", "fe80::1%eth0", "::1")
    assert parse_nameservers(b"") == ()


def test_search_domains_of_resolv_conf() -> None:
    text = b"# search no\ndomain Old.example\n search\tOffice.Example. . b.example office.example bad..name \xff\n"
    assert parse_searches(text) == ("old.example", "office.example", "b.example")
    assert parse_searches(b"search .\n") == (), "said, and none: resolved writes this"
    assert parse_searches(b"nameserver 192.0.2.1\n") is None
    assert len(parse_searches(b"search " + b" ".join(b"d%d.example" % n for n in range(90))) or ()) == SEARCHES_MAX


def test_a_host_without_search_line_searches_its_own_domain() -> None:
    assert host_domain("laptop.office.example") == ("office.example",)
    assert host_domain("laptop") == ()


class UdpServer(asyncio.DatagramProtocol):
    """Answers each question with a list of datagrams."""

    def __init__(self, answers: Callable[[bytes], list[bytes]]) -> None:
        self._answers = answers
        self.asked: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append(data)
        for answer in self._answers(data):
            self._transport.sendto(answer, addr)


@asynccontextmanager
async def udp_server(
    answers: Callable[[bytes], list[bytes]], host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[tuple[UdpServer, int]]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: UdpServer(answers), local_addr=(host, port)
    )
    try:
        yield protocol, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def test_bytes_pass_untouched() -> None:
    async with udp_server(lambda _: [REPLY]) as (server, port):
        assert await forward_query(QUERY, ["127.0.0.1"], tcp=False, port=port, mark=0) == REPLY
        assert server.asked == [QUERY]


async def test_ipv6_server() -> None:
    async with udp_server(lambda _: [REPLY], "::1") as (_, port):
        assert await forward_query(QUERY, ["::1"], tcp=False, port=port, mark=0) == REPLY


async def test_forged_answers_are_ignored() -> None:
    other_id = bytes([REPLY[0] ^ 1]) + REPLY[1:]
    other_question = REPLY.replace(b"Example", b"Exbmple")
    no_response = QUERY
    forged = [b"", other_id, other_question, no_response, REPLY]
    async with udp_server(lambda _: forged) as (_, port):
        assert await forward_query(QUERY, ["127.0.0.1"], tcp=False, port=port, mark=0) == REPLY


async def test_answer_without_a_question_is_taken() -> None:
    refused = QUERY[:2] + b"\x81\x05" + bytes(8)
    async with udp_server(lambda _: [refused]) as (_, port):
        assert await forward_query(QUERY, ["127.0.0.1"], tcp=False, port=port, mark=0) == refused


async def test_next_server_is_asked_when_one_is_silent_or_gone() -> None:
    async with udp_server(lambda _: [REPLY], "127.0.0.2") as (_, port):
        servers = ["127.0.0.1", "127.0.0.2"]  # nobody listens at the first one: its port is unreachable
        assert await forward_query(QUERY, servers, tcp=False, port=port, mark=0) == REPLY


async def test_nobody_answers() -> None:
    async with udp_server(lambda _: []) as (_, port):
        with pytest.raises(RemoteError) as caught:
            await forward_query(QUERY, ["127.0.0.1"], tcp=False, port=port, mark=0, deadline_s=0.05)
        assert caught.value.reason is Reason.RESOLVER_FAILED


async def test_no_server_at_all() -> None:
    with pytest.raises(RemoteError):
        await forward_query(QUERY, [], tcp=False, mark=0)


@asynccontextmanager
async def tcp_server(answer: bytes, *, chunks: int = 1) -> AsyncIterator[tuple[list[bytes], int]]:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            length = int.from_bytes(await reader.readexactly(2), "big")
            asked.append(await reader.readexactly(length))
        size = len(answer) // chunks + 1
        for start in range(0, len(answer), size):
            writer.write(answer[start : start + size])
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield asked, server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("chunks", [1, 7])
async def test_tcp(chunks: int) -> None:
    async with tcp_server(len(REPLY).to_bytes(2, "big") + REPLY, chunks=chunks) as (asked, port):
        assert await forward_query(QUERY, ["127.0.0.1"], tcp=True, port=port, mark=0) == REPLY
        assert asked == [QUERY]


@pytest.mark.parametrize("answer", [b"", b"\x00", b"\x00\x50short", b"\x00\x0cnot an answe"])
async def test_tcp_server_that_answers_nonsense(answer: bytes) -> None:
    async with tcp_server(answer) as (_, port):
        with pytest.raises(RemoteError):
            await forward_query(QUERY, ["127.0.0.1"], tcp=True, port=port, mark=0)


async def test_server_behind_a_zone_that_is_gone_is_passed_over() -> None:
    async with udp_server(lambda _: [REPLY]) as (_, port):
        servers = ["fe80::1%nowhere0", "127.0.0.1"]
        assert await forward_query(QUERY, servers, tcp=False, port=port, mark=0) == REPLY


@pytest.mark.skipif(os.geteuid() != 0, reason="SO_MARK needs root")
async def test_t53_questions_carry_our_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = []

    class Watched(socket.socket):
        def connect(self, address: object) -> None:
            marks.append(self.getsockopt(socket.SOL_SOCKET, socket.SO_MARK))
            super().connect(address)  # type: ignore[arg-type]

    async with udp_server(lambda _: [REPLY]) as (_, port):
        monkeypatch.setattr("client.host.upstream.socket.socket", Watched)
        await forward_query(QUERY, ["127.0.0.1"], tcp=False, port=port)
    assert marks == [0x6F73]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may mark")
async def test_socket_that_may_not_be_marked_is_not_used() -> None:
    with pytest.raises(RemoteError):
        await forward_query(QUERY, ["127.0.0.1"], tcp=False, port=9)
