"""Outgoing sockets: truthful reasons, families in turns."""

import asyncio
import errno
import socket

import pytest

from protocol.errors import RemoteError
from protocol.reasons import Reason
from runtime.sockets import _interleave, connect_first, connect_socket, reason_of_os_error


async def test_connects_by_name() -> None:
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        sock = await connect_socket("localhost", port, deadline_s=5)
        with sock:
            assert sock.getpeername()[1] == port
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_refusal_is_the_callers_reason_with_a_detail() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(RemoteError) as caught:
            await connect_socket("127.0.0.1", port, deadline_s=5, what=Reason.RELAY_UNREACHABLE)
    assert caught.value.reason is Reason.RELAY_UNREACHABLE
    assert str(port) in caught.value.detail


async def test_an_unknown_name_is_no_crash() -> None:
    with pytest.raises(RemoteError) as caught:
        await connect_socket("nobody.invalid", 443, deadline_s=10)
    assert caught.value.reason is Reason.CONTROLLER_UNREACHABLE


async def test_no_address_is_an_os_error() -> None:
    with pytest.raises(OSError, match="no address"):
        await connect_first([])


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ECONNREFUSED, ""), Reason.CONNECTION_REFUSED),
        (OSError(errno.EHOSTUNREACH, ""), Reason.HOST_UNREACHABLE),
        (OSError(errno.ENETUNREACH, ""), Reason.NETWORK_UNREACHABLE),
        (OSError(errno.ETIMEDOUT, ""), Reason.CONNECT_TIMEOUT),
        (TimeoutError(), Reason.CONNECT_TIMEOUT),
        (OSError(errno.ECONNRESET, ""), Reason.CONNECTION_RESET),
        (OSError(errno.EMFILE, ""), Reason.LIMIT_EXCEEDED),
        (OSError(errno.EIO, ""), Reason.HOST_UNREACHABLE),
        (OSError("no number"), Reason.HOST_UNREACHABLE),
    ],
)
def test_f33_what_the_kernel_says_is_told_truthfully(error: OSError, reason: Reason) -> None:
    assert reason_of_os_error(error) is reason


def test_families_take_turns_beginning_with_the_resolvers_favourite() -> None:
    six = [("2001:db8::1", 1, 0, 0), ("2001:db8::2", 1, 0, 0)]
    four = [("192.0.2.1", 1), ("192.0.2.1", 1), ("192.0.2.2", 1), ("192.0.2.3", 1)]
    assert _interleave(six + four) == [six[0], four[0], six[1], four[2], four[3]]
    assert _interleave([]) == []
