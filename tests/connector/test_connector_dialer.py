"""The dialer: truthful about what the kernel says (F-33)."""

import asyncio
import contextlib
import errno
import ipaddress
import os
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.dialer import (
    PingSocket,
    connect_at_once,
    connected,
    dial_tcp,
    internet_checksum,
    keep_asking,
    open_udp,
    watch_for_vanished_host,
)
from protocol.acl.model import IPAddress
from protocol.errors import RemoteError
from protocol.reasons import Reason

LOOPBACK = ipaddress.ip_address("127.0.0.1")


class Contact(asyncio.Protocol):
    """Remembers where it got to."""

    def __init__(self, address: IPAddress) -> None:
        self.address = address
        self.options: list[int] = []
        self.lost = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        watch_for_vanished_host(transport)
        sock = transport.get_extra_info("socket")
        self.options = [
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
        ]
        transport.close()


async def listening() -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def test_connects_and_watches_for_vanished_hosts() -> None:
    server, port = await listening()
    async with server:
        contact = await dial_tcp([LOOPBACK], port, Contact)
        assert contact.address == LOOPBACK
        assert contact.options == [1, 1]
        await contact.lost.wait()


async def test_the_next_address_is_tried_when_the_first_refuses() -> None:
    server, port = await listening()
    async with server:
        contact = await dial_tcp([ipaddress.ip_address("127.0.0.99"), LOOPBACK], port, Contact)
        assert contact.address == LOOPBACK
        assert contact.options == [1, 1]
        await contact.lost.wait()


async def test_what_the_resource_says_at_once_is_not_lost() -> None:
    class Banner(Contact):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.heard = b""
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.heard += data

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-test")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for addresses in ([LOOPBACK], [LOOPBACK, ipaddress.ip_address("127.0.0.2")]):
            banner = await dial_tcp(addresses, port, Banner)
            await banner.lost.wait()
            assert banner.heard == b"SSH-2.0-test"


async def test_refused() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(RemoteError) as caught:
            await dial_tcp([LOOPBACK], unused.getsockname()[1], Contact)
        assert caught.value.reason is Reason.CONNECTION_REFUSED
        with pytest.raises(RemoteError) as caught:
            await dial_tcp([LOOPBACK, ipaddress.ip_address("127.0.0.2")], unused.getsockname()[1], Contact)
    assert caught.value.reason is Reason.CONNECTION_REFUSED


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENETUNREACH, Reason.NETWORK_UNREACHABLE),
        (errno.EHOSTUNREACH, Reason.HOST_UNREACHABLE),
        (errno.EMFILE, Reason.LIMIT_EXCEEDED),
    ],
)
async def test_what_the_kernel_says(number: int, reason: Reason, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_args: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", fail)
    for addresses in ([LOOPBACK], [LOOPBACK, ipaddress.ip_address("::1")]):
        with pytest.raises(RemoteError) as caught:
            await dial_tcp(addresses, 80, Contact)
        assert caught.value.reason is reason


async def test_no_answer_within_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_args: object, **_options: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", hang)
    for addresses in ([LOOPBACK], [LOOPBACK, ipaddress.ip_address("::1")]):
        with pytest.raises(RemoteError) as caught:
            await dial_tcp(addresses, 80, Contact, deadline_s=0.05)
        assert caught.value.reason is Reason.CONNECT_TIMEOUT


async def test_a_resource_that_is_near_has_accepted_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock, accepted = connect_at_once(LOOPBACK, server.getsockname()[1])
        with sock:
            assert accepted
            assert not sock.getblocking()
            assert sock.getpeername() == server.getsockname()
            keep_asking(sock)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


async def test_f33_what_a_near_kernel_says_is_heard_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(RemoteError) as caught:
            connect_at_once(LOOPBACK, unused.getsockname()[1])
    assert caught.value.reason is Reason.CONNECTION_REFUSED


async def test_f33_a_resource_that_does_not_answer_at_once_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, contextlib.ExitStack() as stack:
        port = server.getsockname()[1]
        for _ in range(8):
            sock, accepted = connect_at_once(LOOPBACK, port)
            stack.enter_context(sock)
            if not accepted:
                break  # the queue is full: the kernel drops what asks for more
        assert not accepted
        with pytest.raises(RemoteError) as caught:
            await connected(sock, LOOPBACK, port, deadline_s=0.05)
        assert caught.value.reason is Reason.CONNECT_TIMEOUT
        assert sock.fileno() < 0
        late, accepted = connect_at_once(LOOPBACK, port)
        stack.enter_context(late)
        assert not accepted
        server.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                stack.enter_context(server.accept()[0])
        await connected(late, LOOPBACK, port)
        assert late.getpeername() == server.getsockname()


def test_f33_a_wake_without_a_reason_is_not_the_resources_acceptance() -> None:
    """Event loops may call a socket writable that is not (libuv says so of its own). Taken for an acceptance, it let the
    application connect to a host that was down, and reset it three seconds later."""
    # asyncio's own loop lets a test say so, too.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(_woken_without_a_reason())


async def _woken_without_a_reason() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, contextlib.ExitStack() as stack:
        port = server.getsockname()[1]
        accepted = True
        while accepted:
            sock, accepted = connect_at_once(LOOPBACK, port)
            stack.enter_context(sock)
        waiting = asyncio.create_task(connected(sock, LOOPBACK, port))
        loop = asyncio.get_running_loop()
        for _ in range(3):
            while (watched := loop._selector.get_map().get(sock.fileno())) is None:  # type: ignore[attr-defined]
                await asyncio.sleep(0)
            watched.data[1]._run()
            for _ in range(5):
                await asyncio.sleep(0)
            assert not waiting.done()
        server.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                stack.enter_context(server.accept()[0])
        await waiting
        assert sock.getpeername() == server.getsockname()


def test_udp_sockets_are_connected() -> None:
    with open_udp(LOOPBACK, 9) as sock:
        assert sock.getpeername() == ("127.0.0.1", 9)
    with pytest.raises(RemoteError):
        open_udp(ipaddress.ip_address("255.255.255.255"), 9)


def test_pinging_without_permission_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_args: object) -> socket.socket:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("connector.dialer._open_ping", forbidden)
    with pytest.raises(RemoteError, match="ping_group_range") as caught:
        PingSocket(LOOPBACK, 1)
    assert caught.value.reason is Reason.UNAVAILABLE


@settings(deadline=None)
@given(st.binary(min_size=2, max_size=200))
def test_the_checksum_makes_the_sum_zero(data: bytes) -> None:
    padded = data + b"\0" * (len(data) % 2)
    assert internet_checksum(padded + internet_checksum(padded).to_bytes(2, "big")) == 0


def test_the_checksum_of_a_known_message() -> None:
    assert internet_checksum(bytes.fromhex("0800000000010001")) == 0xF7FD
