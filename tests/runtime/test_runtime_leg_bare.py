"""Legs whose TLS ends before they do: agreed in one session, each direction by itself, nothing lost or out of order."""

import asyncio
import contextlib
import hashlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable

import pytest
from leg_server import LegServer, leg_server
from recorders import Recorder
from tls_material import tls_material

from protocol.reasons import Reason
from protocol.rendezvous import ATTACH_PATH
from runtime.leg import Leg
from runtime.leg_accept import LegAcceptor
from runtime.leg_protocol import LEG_MESSAGE_MAX_BYTES
from runtime.leg_socket import SHUTDOWN_DEADLINE_S
from runtime.leg_tls import LegTransport, start_server
from runtime.trust import client_context, server_context


async def bare_pair(server: LegServer) -> tuple[Leg, Leg]:
    """Returns both ends of a leg that has ended its TLS in both directions."""
    mine, theirs = await server.pair()
    for leg in (mine, theirs):
        leg.set_receiver(Recorder())
        leg.end_tls()
    async with asyncio.timeout(60):
        while not (mine.receives_bare and theirs.receives_bare):
            await asyncio.sleep(0.001)
    return mine, theirs


async def test_bytes_arrive_in_order_across_the_end_of_tls() -> None:
    async with leg_server(tls_may_end=True) as server:
        mine, theirs = await server.pair()
        heard, answers = Recorder(), Recorder()
        theirs.set_receiver(heard)
        mine.set_receiver(answers)
        said = [os.urandom(size) for size in (1, 300_000, 7, LEG_MESSAGE_MAX_BYTES + 1, 0, 65_536)]
        for number, data in enumerate(said):
            if number == 2:
                mine.end_tls()
            mine.write(data)
        theirs.write(b"the other direction is as it was")
        assert await heard.received(sum(map(len, said))) == b"".join(said)
        assert await answers.received(32) == b"the other direction is as it was"
        assert (mine.sends_bare, mine.receives_bare) == (True, False)


async def test_an_end_that_was_not_agreed_does_nothing() -> None:
    async with leg_server() as server:
        mine, theirs = await server.pair()
        theirs.set_receiver(heard := Recorder())
        mine.end_tls()
        mine.write(b"as ever")
        assert await heard.received(7) == b"as ever"
        assert not mine.sends_bare
        assert not theirs.receives_bare


async def test_a_leg_that_carries_messages_keeps_its_tls() -> None:
    async with leg_server(tls_may_end=True) as server:
        mine, _ = await server.pair(path=ATTACH_PATH)
        assert not mine.tls_may_end


async def test_a_peer_that_ends_its_tls_unasked_has_ended_the_leg() -> None:
    async with leg_server() as server:
        mine, theirs = await server.pair()
        theirs.set_receiver(heard := Recorder())
        mine.tls_may_end = True
        mine.end_tls()
        mine.write(b"bytes that nobody takes")
        assert await heard.ended() is Reason.TUNNEL_LOST
        assert not heard.data


@pytest.mark.parametrize("part", [b"\x82", b"\x82\xfe\x00\x80abcdpart of its payload"], ids=["header", "payload"])
async def test_an_end_of_tls_inside_a_frame_is_a_protocol_error(part: bytes) -> None:
    async with leg_server(tls_may_end=True) as server:
        mine, theirs = await server.pair()
        theirs.set_receiver(heard := Recorder())
        transport = mine._transport
        assert isinstance(transport, LegTransport)
        transport.write(part)
        mine.end_tls()
        mine.write(b"the rest of no frame")
        assert await heard.ended() is Reason.PROTOCOL_ERROR
        assert b"rest" not in heard.data


async def test_who_asks_for_the_end_on_another_path_does_not_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.leg.MAY_END_TLS", frozenset({ATTACH_PATH}))
    async with leg_server(tls_may_end=True) as server:
        mine, theirs = await server.pair(path=ATTACH_PATH)
        assert not theirs.tls_may_end
        assert not mine.tls_may_end


async def test_an_answer_to_what_nobody_asked_ends_no_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.leg_accept.MAY_END_TLS", frozenset({ATTACH_PATH}))
    monkeypatch.setattr(LegAcceptor, "_is_same_session", lambda *_: True)
    async with leg_server(tls_may_end=True) as server:
        mine, theirs = await server.pair(path=ATTACH_PATH)
        assert theirs.tls_may_end, "this server says what it should not"
        assert not mine.tls_may_end


class Made(asyncio.Protocol):
    """Above TLS: calls ``then`` when it is up, and notes its own end."""

    def __init__(self, then: Callable[[], object]) -> None:
        self._then = then
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._then()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)


async def test_t25_who_came_up_in_the_turn_of_the_deadline_hears_of_its_end() -> None:
    material = tls_material()
    loop = asyncio.get_running_loop()
    made: list[Made] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = loop.create_task(
            asyncio.open_connection(
                *listening.getsockname(), ssl=client_context(material.ca_pem), server_hostname="localhost"
            )
        )
        listening.setblocking(False)
        accepted, _ = await loop.sock_accept(listening)

        def make() -> Made:
            made.append(Made(lambda: serving.cancel()))
            return made[0]

        context = server_context(material.cert_pem, material.key_pem)
        serving = loop.create_task(start_server(accepted, make, context=context, deadline_s=5))
        with pytest.raises(asyncio.CancelledError):
            await serving
        async with asyncio.timeout(60):
            await made[0].ended
            _, writer = await client
        writer.transport.abort()


async def test_bare_legs_end_with_what_was_said_last() -> None:
    async with leg_server(tls_may_end=True) as server:
        mine, theirs = await bare_pair(server)
        theirs.set_receiver(heard := Recorder())
        # Unread bytes of the peer must not turn the end into a reset that takes the last words with it.
        theirs.write(os.urandom(100_000))
        last = os.urandom(200_000)
        mine.write(last)
        mine.close(Reason.NORMAL)
        assert await heard.ended() is Reason.TUNNEL_LOST
        assert hashlib.sha256(heard.data).digest() == hashlib.sha256(last).digest()


async def test_t25_who_hangs_up_and_takes_nothing_does_not_hold_the_connection() -> None:
    async with leg_server() as server:
        mine, theirs = await server.pair()
        theirs.set_receiver(heard := Recorder())
        mine.pause_reading()
        theirs.write(bytes(32 * 1024 * 1024))
        assert theirs.paused
        assert isinstance(mine._transport, LegTransport)
        fileno = mine._transport.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(fileno)) as other:
            other.shutdown(socket.SHUT_WR)
        # Not only after LEG_DEAD_AFTER_S.
        assert await heard.ended(within=3 * SHUTDOWN_DEADLINE_S) is Reason.TUNNEL_LOST
        mine.abort()


async def test_a_bare_leg_that_is_silent_is_dead() -> None:
    async with leg_server(tls_may_end=True, ping_interval_s=0.05, dead_after_s=0.2) as server:
        _mine, theirs = await bare_pair(server)
        theirs.set_receiver(heard := Recorder())
        assert await heard.ended() is Reason.PEER_SILENT


async def test_paused_reading_holds_what_follows_the_end_of_tls() -> None:
    async with leg_server(tls_may_end=True) as server:
        mine, theirs = await server.pair()
        theirs.set_receiver(heard := Recorder())
        theirs.pause_reading()
        said = os.urandom(3_000_000)
        mine.write(said[:1_000_000])
        mine.end_tls()
        mine.write(said[1_000_000:])
        assert not heard.data
        theirs.resume_reading()
        assert await heard.received(len(said)) == said


@contextlib.asynccontextmanager
async def inspecting_proxy(port: int) -> AsyncIterator[int]:
    """Ends the TLS of both sides, as a load balancer or a company's proxy does, and passes on what is said in it."""
    material = tls_material()
    tasks: list[asyncio.Task[None]] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
            writer.close()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        context = client_context(material.ca_pem)
        there, back = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        tasks.extend([asyncio.create_task(copy(reader, back)), asyncio.create_task(copy(there, writer))])

    context: ssl.SSLContext = server_context(material.cert_pem, material.key_pem)
    proxy = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=context)
    try:
        yield proxy.sockets[0].getsockname()[1]
    finally:
        proxy.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_behind_a_proxy_that_ends_tls_itself_it_stays() -> None:
    async with leg_server(tls_may_end=True) as server, inspecting_proxy(server.port) as port:
        mine, theirs = await server.pair(port=port)
        assert not mine.tls_may_end
        assert not theirs.tls_may_end
        theirs.set_receiver(heard := Recorder())
        mine.end_tls()
        mine.write(b"still encrypted to the proxy")
        assert await heard.received(28) == b"still encrypted to the proxy"
        mine.close(Reason.NORMAL)


async def test_a_bare_connection_is_lent_when_it_is_not_read_and_has_nothing_to_write() -> None:
    async with leg_server(tls_may_end=True) as server:
        mine, theirs = await bare_pair(server)
        stopped: list[str] = []
        assert theirs.lend_socket(lambda: stopped.append("early")) is None, "it is being read"
        theirs.pause_reading()
        lent = theirs.lend_socket(lambda: stopped.append("leg"))
        assert lent is not None
        with lent:
            mine.write(b"straight")
            async with asyncio.timeout(60):
                assert await asyncio.get_running_loop().sock_recv(lent, 100) == b"straight"
            theirs.close(Reason.NORMAL)
        assert stopped == ["leg"]


async def test_t22_on_the_wire_the_end_of_tls_is_one_more_encrypted_record() -> None:
    async with leg_server(tls_may_end=True) as server:
        seen = bytearray()
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setblocking(False)

            async def tap() -> None:
                inside, _ = await loop.sock_accept(listening)
                outside = socket.create_connection(("127.0.0.1", server.port))
                outside.setblocking(False)

                async def copy(source: socket.socket, sink: socket.socket, log: bytearray | None) -> None:
                    while data := await loop.sock_recv(source, 65_536):
                        if log is not None:
                            log += data
                        await loop.sock_sendall(sink, data)

                with inside, outside:
                    await asyncio.gather(copy(inside, outside, seen), copy(outside, inside, None))

            tapping = asyncio.create_task(tap())
            mine, theirs = await server.pair(port=listening.getsockname()[1])
            theirs.set_receiver(heard := Recorder())
            mine.write(b"first bytes")
            mine.end_tls()
            inner = b"\x17\x03\x03\x00\x04data"
            mine.write(inner)
            await heard.received(11 + len(inner))
            tapping.cancel()
            await asyncio.gather(tapping, return_exceptions=True)
        kinds = []
        while seen:
            kinds.append(seen[0])
            del seen[: 5 + int.from_bytes(seen[3:5], "big")]
        assert kinds[0] == 22, kinds
        assert set(kinds[2:]) == {23}, kinds
        mine.close(Reason.NORMAL)
