"""First bytes in the head of an upgrade: they come before all others, are bounded, and go with a refusal (T-25 to T-27)."""

import asyncio

import pytest
from leg_server import LegServer, leg_server
from recorders import Recorder
from tls_material import tls_material

from protocol.errors import RefusedError
from protocol.limits import FIRST_MAX_BYTES
from protocol.reasons import Reason
from protocol.rendezvous import FIRST_HEADER, encode_first
from runtime.leg import open_line
from runtime.leg_accept import LegAcceptor, UpgradeRequest
from runtime.trust import client_context

BOTH_LOOPS = True

UPGRADE = (
    "GET /relay/v1/connect HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
)


async def answer_to(server: LegServer, request: str) -> bytes:
    """The answer's head."""
    context = client_context(tls_material().ca_pem)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context, server_hostname="localhost")
    try:
        writer.write(request.encode())
        async with asyncio.timeout(60):
            return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("size", [1, 1_447, FIRST_MAX_BYTES, FIRST_MAX_BYTES + 1])
async def test_first_bytes_come_first_wherever_they_travelled(size: int) -> None:
    first = bytes(index % 251 for index in range(size))
    async with leg_server() as server:
        dialled, accepted = await server.pair(first=first)
        (request,) = server.requests
        assert request.first == (first if size <= FIRST_MAX_BYTES else b"")
        receiver = Recorder()
        accepted.set_receiver(receiver)
        dialled.write(b"and the rest")
        assert await receiver.received(size + 12) == first + b"and the rest"
        dialled.close()


async def test_a_ticket_that_leaves_no_room_in_the_head_is_no_failure() -> None:
    async with leg_server() as server:
        dialled, accepted = await server.pair(first=b"hello", ticket="t" * 4_000)
        assert server.requests[0].first == b""
        receiver = Recorder()
        accepted.set_receiver(receiver)
        assert await receiver.received(5) == b"hello"
        dialled.close()


async def test_a_relay_that_does_not_know_first_bytes_gets_them_behind_its_answer() -> None:
    async with leg_server() as server:

        def older(acceptor: LegAcceptor, _request: UpgradeRequest) -> None:
            acceptor._first = b""  # an older relay: it looks at no such header, and says nothing of it
            server._accept(acceptor, _request)

        server.answer = older
        dialled, accepted = await server.pair(first=b"hello")
        receiver = Recorder()
        accepted.set_receiver(receiver)
        dialled.write(b" again")
        assert await receiver.received(11) == b"hello again"
        dialled.close()


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (f"{FIRST_HEADER}: not+base64url\r\n", Reason.PROTOCOL_ERROR),
        (f"{FIRST_HEADER}: QQ==\r\n", Reason.PROTOCOL_ERROR),
        (f"{FIRST_HEADER}: QR\r\n", Reason.PROTOCOL_ERROR),
        (f"{FIRST_HEADER}:\r\n", Reason.PROTOCOL_ERROR),
        (f"{FIRST_HEADER}: QQ\r\n{FIRST_HEADER}: QQ\r\n", Reason.PROTOCOL_ERROR),
        (f"{FIRST_HEADER}: {encode_first(bytes(FIRST_MAX_BYTES + 1))}\r\n", Reason.LIMIT_EXCEEDED),
    ],
    ids=["alphabet", "padding", "trailing bits", "none", "twice", "too long"],
)
async def test_t25_t27_first_bytes_out_of_form_are_refused_before_anybody_looks(headers: str, reason: Reason) -> None:
    async with leg_server() as server:
        answer = await answer_to(server, f"{UPGRADE}{headers}\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert f"Ostiary-Reason: {reason.code}".encode() in answer
        assert server.requests == []


async def test_first_bytes_of_a_plain_request_are_refused() -> None:
    async with leg_server() as server:
        answer = await answer_to(server, f"GET /healthz HTTP/1.1\r\nHost: relay\r\n{FIRST_HEADER}: QQ\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert server.requests == []


async def test_only_a_request_with_first_bytes_is_told_that_they_were_taken() -> None:
    async with leg_server() as server:
        assert b"Ostiary-First: taken" in await answer_to(server, f"{UPGRADE}{FIRST_HEADER}: QQ\r\n\r\n")
        assert b"Ostiary-First" not in await answer_to(server, f"{UPGRADE}\r\n")


async def test_a_refusal_takes_the_first_bytes_along() -> None:
    async with leg_server() as server:
        server.answer = lambda acceptor, _: acceptor.refuse(503, Reason.CONNECTOR_NOT_ATTACHED)
        with pytest.raises(RefusedError) as caught:
            await server.dial(first=b"hello")
        assert caught.value.reason is Reason.CONNECTOR_NOT_ATTACHED
        assert server.legs.empty()


# A line that waits for its ticket


async def test_a_line_asks_for_nothing_until_it_is_upgraded() -> None:
    async with leg_server() as server:
        context = client_context(tls_material().ca_pem)
        line = await open_line(host="localhost", port=server.port, context=context, address="127.0.0.1")
        assert line.usable
        assert server.requests == []
        leg = await line.upgrade("/relay/v1/connect", "ticket", deadline=30, first=b"hello")
        assert server.requests == [UpgradeRequest("/relay/v1/connect", "ticket", upgrade=True, first=b"hello")]
        leg.close()


async def test_a_line_that_nobody_needs_leaves_no_connection() -> None:
    async with leg_server() as server:
        context = client_context(tls_material().ca_pem)
        line = await open_line(host="localhost", port=server.port, context=context, address="127.0.0.1")
        async with asyncio.timeout(60):
            # TLS is up here before it is there, and an acceptor whose TLS does not come up never hears of its end.
            while not any(acceptor._transport for acceptor in server._acceptors):
                await asyncio.sleep(0.005)
            line.close()
            while not server.closed:
                await asyncio.sleep(0.005)
        assert server.requests == []
        assert not line.usable
