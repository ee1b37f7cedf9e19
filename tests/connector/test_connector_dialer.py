"""The dialer: truthful about what the kernel says (F-33)."""

import asyncio
import errno
import ipaddress
import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.dialer import PingSocket, dial_tcp, internet_checksum, open_udp
from protocol.errors import RemoteError
from protocol.reasons import Reason

LOOPBACK = ipaddress.ip_address("127.0.0.1")


async def listening() -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def test_connects_and_watches_for_vanished_hosts() -> None:
    server, port = await listening()
    async with server:
        sock, address = await dial_tcp([LOOPBACK], port)
        with sock:
            assert address == LOOPBACK
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_the_next_address_is_tried_when_the_first_refuses() -> None:
    server, port = await listening()
    async with server:
        sock, address = await dial_tcp([ipaddress.ip_address("127.0.0.99"), LOOPBACK], port)
        sock.close()
        assert address == LOOPBACK


async def test_refused() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(RemoteError) as caught:
            await dial_tcp([LOOPBACK], unused.getsockname()[1])
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
    async def fail(_address: object) -> socket.socket:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("connector.dialer.connect_one", fail)
    for addresses in ([LOOPBACK], [LOOPBACK, ipaddress.ip_address("::1")]):
        with pytest.raises(RemoteError) as caught:
            await dial_tcp(addresses, 80)
        assert caught.value.reason is reason


async def test_no_answer_within_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_address: object) -> socket.socket:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("connector.dialer.connect_one", hang)
    with pytest.raises(RemoteError) as caught:
        await dial_tcp([LOOPBACK], 80, deadline_s=0.05)
    assert caught.value.reason is Reason.CONNECT_TIMEOUT


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


@given(st.binary(min_size=2, max_size=200))
def test_the_checksum_makes_the_sum_zero(data: bytes) -> None:
    padded = data + b"\0" * (len(data) % 2)
    assert internet_checksum(padded + internet_checksum(padded).to_bytes(2, "big")) == 0


def test_the_checksum_of_a_known_message() -> None:
    assert internet_checksum(bytes.fromhex("0800000000010001")) == 0xF7FD
