"""Accepting legs: slow, long, smuggled and plain requests (T-26, T-27, T-28)."""

import asyncio

import pytest
from leg_server import LegServer, leg_server
from tls_material import tls_material

from protocol.reasons import Reason
from protocol.rendezvous import REASON_HEADER
from runtime.leg_accept import LegAcceptor, UpgradeRequest
from runtime.trust import client_context

BOTH_LOOPS = True

UPGRADE = (
    "GET /relay/v1/connect HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
)


async def ask(server: LegServer, *parts: bytes, pause: float = 0.0) -> bytes:
    """Sends ``parts`` and returns the whole answer, until the server closes."""
    context = client_context(tls_material().ca_pem)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context, server_hostname="localhost")
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            if pause:
                await asyncio.sleep(pause)
        async with asyncio.timeout(60):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


async def test_an_upgrade_is_answered_with_101_and_no_extension() -> None:
    async with leg_server() as server:

        def accept_and_close(acceptor: LegAcceptor, _request: UpgradeRequest) -> None:
            leg = acceptor.accept()
            assert leg is not None
            leg.close()

        server.answer = accept_and_close
        answer = await ask(server, (UPGRADE + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n").encode())
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert status_of(answer) == 101
    assert b"sec-websocket-accept" in head
    assert b"extensions" not in head, "T-28"


async def test_a_request_in_single_bytes_is_a_request() -> None:
    async with leg_server() as server:
        server.answer = lambda acceptor, _: acceptor.respond(200, "ok\n")
        wire = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        answer = await ask(server, *(wire[index : index + 1] for index in range(len(wire))))
    assert status_of(answer) == 200
    assert answer.endswith(b"\r\n\r\nok\n")
    assert server.requests == [UpgradeRequest("/healthz", "", upgrade=False)]


@pytest.mark.parametrize(
    "header",
    [
        "Content-Length: 50",
        "Content-Length: 0\r\nContent-Length: 5",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
    ],
)
async def test_t27_an_upgrade_with_a_body_is_refused(header: str) -> None:
    async with leg_server() as server:
        answer = await ask(server, f"{UPGRADE}{header}\r\n\r\n".encode())
    assert status_of(answer) == 400
    assert server.requests == []


async def test_t27_a_second_request_behind_the_upgrade_is_refused() -> None:
    async with leg_server() as server:
        body = b"x" * 50 + b"GET /relay/v1/attach HTTP/1.1\r\n\r\n"
        answer = await ask(server, UPGRADE.encode() + b"Content-Length: 50\r\n\r\n" + body)
        assert status_of(answer) == 400
        answer = await ask(server, UPGRADE.encode() + b"\r\n" + b"\x82\x80\x00\x00\x00\x00")
        assert status_of(answer) == 400
    assert server.requests == []


async def test_t27_bytes_before_the_answer_are_refused() -> None:
    async with leg_server() as server:
        waiting: asyncio.Queue[LegAcceptor] = asyncio.Queue()
        server.answer = lambda acceptor, _: waiting.put_nowait(acceptor)
        asking = asyncio.ensure_future(ask(server, UPGRADE.encode() + b"\r\n", b"\x82\x80abcd", pause=0.05))
        acceptor = await waiting.get()
        answer = await asking
        assert status_of(answer) == 400
        assert acceptor.accept() is None


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("POST /relay/v1/connect HTTP/1.1", 400),
        ("GET /relay/v1/connect HTTP/0.9", 400),
        ("GET  /two HTTP/1.1", 400),
        ("\x16\x03\x01", 400),
        ("GET /ümlaut HTTP/1.1", 400),
    ],
)
async def test_requests_that_are_not_get_or_not_http(request_line: str, status: int) -> None:
    async with leg_server() as server:
        answer = await ask(server, f"{request_line}\r\nHost: x\r\n\r\n".encode())
    assert status_of(answer) in (status, 405)
    assert server.requests == []


async def test_a_malformed_websocket_key_is_refused_at_accept() -> None:
    async with leg_server() as server:
        answer = await ask(server, UPGRADE.replace("AAAAAAAAAAAAAAAAAAAAAA==", "short").encode() + b"\r\n")
    assert status_of(answer) == 400


async def test_t26_a_head_above_8_kib_is_refused() -> None:
    async with leg_server() as server:
        answer = await ask(server, UPGRADE.encode(), b"X-Long: " + b"x" * 9000)
    assert status_of(answer) == 431
    assert f"{REASON_HEADER}: {Reason.LIMIT_EXCEEDED.code}".encode() in answer
    assert server.requests == []


async def test_t26_a_head_that_does_not_end_is_cut_at_the_deadline() -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with leg_server(deadline_at=start + 0.3) as server:
        answer = await ask(server, *[b"X"] * 100, pause=0.02)
    assert answer == b""
    assert 0.2 < loop.time() - start < 3


async def test_a_refusal_is_a_problem_with_a_reason() -> None:
    async with leg_server() as server:
        server.answer = lambda acceptor, _: acceptor.refuse(401, Reason.TOKEN_EXPIRED)
        answer = await ask(server, UPGRADE.encode() + b"\r\n")
    assert status_of(answer) == 401
    assert b"Ostiary-Reason: token_expired" in answer
    assert b'"code": "token_expired"' in answer
    assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    ("header", "ticket"),
    [
        ("Authorization: Bearer a.b.c", "a.b.c"),
        ("authorization: bearer a.b.c", "a.b.c"),
        ("Authorization: Basic dXNlcjpwYXNz", ""),
        ("Authorization: Bearer one\r\nAuthorization: Bearer two", ""),
        ("X: y", ""),
    ],
)
async def test_only_one_bearer_ticket_counts(header: str, ticket: str) -> None:
    async with leg_server() as server:
        server.answer = lambda acceptor, _: acceptor.respond(200, "")
        await ask(server, f"{UPGRADE}{header}\r\n\r\n".encode())
    assert [request.ticket for request in server.requests] == [ticket]


async def test_answers_to_a_peer_that_has_left_are_harmless() -> None:
    async with leg_server() as server:
        waiting: asyncio.Queue[LegAcceptor] = asyncio.Queue()
        server.answer = lambda acceptor, _: waiting.put_nowait(acceptor)
        dialling = asyncio.ensure_future(server.dial())
        acceptor = await waiting.get()
        dialling.cancel()
        async with asyncio.timeout(60):
            while not server.closed:
                await asyncio.sleep(0)
        assert acceptor.accept() is None
        acceptor.refuse(503, Reason.UNAVAILABLE)
        acceptor.respond(200, "")
        acceptor.abort()
