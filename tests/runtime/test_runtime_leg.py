"""Legs over real TLS on the loopback: dialling, refusals, both directions, backpressure, keepalive, ends."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
from leg_server import LegServer, free_port, leg_server, settle
from recorders import Recorder
from tls_material import tls_material
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError

from protocol.errors import RefusedError, RemoteError, RemoteProtocolError
from protocol.limits import LEG_MESSAGE_MAX_BYTES
from protocol.reasons import Reason
from runtime.leg import Leg
from runtime.leg_accept import LegAcceptor, UpgradeRequest
from runtime.trust import client_context, server_context

BOTH_LOOPS = True


@contextlib.asynccontextmanager
async def raw_server(answer: bytes, *, close: bool = True) -> AsyncIterator[int]:
    """A TLS server that sends ``answer`` whatever it is asked; yields its port."""
    material = tls_material()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            if not close:
                await reader.read()
        writer.transport.abort() if not close else writer.close()

    context = server_context(material.cert_pem, material.key_pem)
    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, ssl=context, ssl_shutdown_timeout=1)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await settle()


async def dial(port: int, **options: Any) -> Leg:
    server = LegServer()
    server.port = port
    return await server.dial(**options)


# Opening


async def test_the_ticket_goes_into_the_header_and_never_into_the_url() -> None:
    async with leg_server() as server:
        leg, _ = await server.pair(path="/relay/v1/leg", ticket="abc.def.ghi")
        assert server.requests == [UpgradeRequest("/relay/v1/leg", "abc.def.ghi", upgrade=True)]
        leg.close()


async def test_a_refusal_has_the_relays_reason() -> None:
    async with leg_server() as server:
        server.answer = lambda acceptor, _: acceptor.refuse(503, Reason.CONNECTOR_NOT_ATTACHED)
        with pytest.raises(RefusedError) as caught:
            await server.dial()
    assert caught.value.reason is Reason.CONNECTOR_NOT_ATTACHED


async def test_a_refusal_by_something_that_is_no_relay() -> None:
    async with raw_server(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops") as port:
        with pytest.raises(RefusedError) as caught:
            await dial(port)
    assert caught.value.reason is Reason.UNAVAILABLE
    assert "502" in caught.value.detail


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000,
        b"HTTP/1.1 503 No\r\nContent-Length: " + b"4" * 5_000 + b"\r\n\r\n",
    ],
)
async def test_an_answer_that_is_no_upgrade(answer: bytes) -> None:
    async with raw_server(answer) as port:
        with pytest.raises(RemoteProtocolError):
            await dial(port)


async def test_a_server_that_hangs_up_during_the_upgrade() -> None:
    async with raw_server(b"") as port:
        with pytest.raises(RemoteError) as caught:
            await dial(port)
    assert caught.value.reason in (Reason.RELAY_UNREACHABLE, Reason.PROTOCOL_ERROR)


async def test_an_untrusted_certificate() -> None:
    async with leg_server() as server:
        with pytest.raises(RemoteError) as caught:
            await server.dial(context=client_context(None))
    assert caught.value.reason is Reason.CERTIFICATE_UNTRUSTED
    assert server.requests == []


async def test_a_certificate_for_another_name() -> None:
    async with leg_server() as server:
        with pytest.raises(RemoteError) as caught:
            await server.dial(host="relay.example.com")
    assert caught.value.reason is Reason.CERTIFICATE_UNTRUSTED


async def test_nobody_listens() -> None:
    with pytest.raises(RemoteError) as caught:
        await dial(free_port())
    assert caught.value.reason is Reason.RELAY_UNREACHABLE


async def test_a_server_that_never_answers_meets_the_deadline() -> None:
    async with raw_server(b"HTTP/1.1 101 Switch", close=False) as port:
        with pytest.raises(RemoteError) as caught:
            await dial(port, deadline=0.2)
    assert caught.value.reason is Reason.TIMEOUT


async def test_plain_text_where_tls_should_be() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    with pytest.raises(RemoteError) as caught:
        await dial(server.sockets[0].getsockname()[1])
    assert caught.value.reason in (Reason.TLS_FAILED, Reason.RELAY_UNREACHABLE)
    server.close()
    await settle()


async def test_giving_up_leaves_no_connection_behind() -> None:
    async with leg_server() as server:
        server.answer = lambda _acceptor, _request: None
        dialling = asyncio.ensure_future(server.dial())
        async with asyncio.timeout(60):
            while not server.requests:
                await asyncio.sleep(0)
            dialling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dialling
            while not server.closed:
                await asyncio.sleep(0)


async def test_sockets_have_no_nagle_delay() -> None:
    async with leg_server() as server:
        for leg in await server.pair():
            assert leg._transport is not None
            sock = leg._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            leg.close()


# Carrying bytes


async def test_bytes_and_texts_both_ways() -> None:
    async with leg_server() as server:
        dialled, accepted = await server.pair()
        one, two = Recorder(), Recorder()
        dialled.set_receiver(one)
        accepted.set_receiver(two)
        big = bytes(range(256)) * 12_000
        dialled.write(b"hello ")
        dialled.write(big)
        dialled.write_text("up")
        accepted.write(memoryview(big))
        accepted.write_pieces([b"a", memoryview(b"bc")])
        accepted.write_text("down")
        assert await two.received(6 + len(big)) == b"hello " + big
        assert await one.received(len(big) + 3) == big + b"abc"
        await one.until(lambda own: own.texts == ["down"])
        await two.until(lambda own: own.texts == ["up"])
        dialled.close()


async def test_one_write_is_one_message_up_to_the_limit() -> None:
    material = tls_material()
    sizes: list[int] = []

    async def handler(connection: ServerConnection) -> None:
        async for message in connection:
            sizes.append(len(message))
            if sum(sizes) == 3 * LEG_MESSAGE_MAX_BYTES // 2 + 1:
                await connection.send(b"done")

    context = server_context(material.cert_pem, material.key_pem)
    async with serve(handler, "127.0.0.1", 0, ssl=context, compression=None, max_size=None) as server:
        leg = await dial(server.sockets[0].getsockname()[1])
        receiver = Recorder()
        leg.set_receiver(receiver)
        leg.write(b"x")
        leg.write(bytes(3 * LEG_MESSAGE_MAX_BYTES // 2))
        await receiver.received(4)
        leg.close()
    assert sizes == [1, LEG_MESSAGE_MAX_BYTES, LEG_MESSAGE_MAX_BYTES // 2]


async def test_the_websockets_package_can_dial_us() -> None:
    async with leg_server() as server:
        context = client_context(tls_material().ca_pem)
        async with connect(
            f"wss://localhost:{server.port}/relay/v1/control", ssl=context, compression="deflate"
        ) as connection:
            leg = await server.legs.get()
            receiver = Recorder()
            leg.set_receiver(receiver)
            await connection.send("question")
            await connection.send(b"x" * 70_000)
            await receiver.received(70_000)
            leg.write_text("answer")
            assert await connection.recv() == "answer"
            # T-28: it offered permessage-deflate.
            assert connection.protocol.extensions == []
            await (await connection.ping())
            leg.close(Reason.DUPLICATE_AGENT)
            with pytest.raises(ConnectionClosedError) as caught:
                await connection.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.reason == "duplicate_agent"
    assert receiver.texts == ["question"]


async def test_what_comes_before_there_is_a_receiver_is_kept_and_bounded() -> None:
    async with leg_server() as server:
        dialled, accepted = await server.pair()
        sender = Recorder()
        accepted.set_receiver(sender)
        accepted.write_text("first")
        sent = 0
        while not sender.paused:
            accepted.write(b"z" * 65_536)
            sent += 65_536
            await asyncio.sleep(0)
        receiver = Recorder()
        dialled.set_receiver(receiver)
        assert await receiver.received(sent) == b"z" * sent
        assert receiver.texts == ["first"]
        dialled.close()


async def test_bytes_in_one_packet_with_the_upgrade() -> None:
    async with leg_server() as server:

        def answer(acceptor: LegAcceptor, _request: UpgradeRequest) -> None:
            leg = acceptor.accept()
            assert leg is not None
            leg.write(b"at once")
            server.legs.put_nowait(leg)

        server.answer = answer
        dialled = await server.dial()
        receiver = Recorder()
        dialled.set_receiver(receiver)
        assert await receiver.received(7) == b"at once"
        dialled.close()


async def test_a_reader_that_pauses_pauses_the_writer() -> None:
    async with leg_server(high_water=65_536) as server:
        dialled, accepted = await server.pair()
        writer, reader = Recorder(), Recorder()
        accepted.set_receiver(writer)
        dialled.set_receiver(reader)
        dialled.pause_reading()
        await settle()
        sent = 0
        async with asyncio.timeout(60):
            while not accepted.paused:
                accepted.write(bytes(65_536))
                sent += 65_536
                await asyncio.sleep(0)
        assert writer.paused
        dialled.resume_reading()
        await reader.received(sent)
        await writer.until(lambda own: not own.paused)
        dialled.close()


# Ends


async def test_the_reason_of_a_close_travels() -> None:
    async with leg_server() as server:
        for reason in (Reason.NORMAL, Reason.SHUTTING_DOWN, Reason.ACCESS_REVOKED):
            dialled, accepted = await server.pair()
            receiver = Recorder()
            accepted.set_receiver(receiver)
            dialled.write(b"last words")
            dialled.close(reason)
            assert await receiver.ended() is reason
            assert receiver.data == b"last words"
            assert (dialled.lost, accepted.lost) == (reason, reason)


async def test_a_connection_that_breaks_is_a_lost_tunnel() -> None:
    async with leg_server() as server:
        dialled, accepted = await server.pair()
        receiver = Recorder()
        accepted.set_receiver(receiver)
        dialled.abort()
        assert await receiver.ended() is Reason.TUNNEL_LOST


async def test_a_leg_lost_before_it_has_a_receiver_tells_it_later() -> None:
    async with leg_server() as server:
        dialled, accepted = await server.pair()
        accepted.write(b"left over")
        accepted.close(Reason.SHUTTING_DOWN)
        async with asyncio.timeout(60):
            while dialled.lost is None:
                await asyncio.sleep(0)
        receiver = Recorder()
        dialled.set_receiver(receiver)
        assert await receiver.ended() is Reason.SHUTTING_DOWN
        assert receiver.data == b"left over"


async def test_writes_to_a_dead_leg_are_harmless() -> None:
    async with leg_server() as server:
        dialled, accepted = await server.pair()
        dialled.abort()
        dialled.write(b"x")
        dialled.write_text("x")
        dialled.pause_reading()
        dialled.resume_reading()
        dialled.close()
        receiver = Recorder()
        accepted.set_receiver(receiver)
        await receiver.ended()
        accepted.write(b"x" * 100_000)
        accepted.write_text("x")
        accepted.close()
        accepted.abort()


async def test_t28_a_frame_with_reserved_bits_ends_the_leg_with_1002() -> None:
    async with leg_server() as server:
        dialled, accepted = await server.pair()
        receiver, ours = Recorder(), Recorder()
        accepted.set_receiver(receiver)
        dialled.set_receiver(ours)
        assert dialled._transport is not None
        dialled._transport.write(b"\xc2\x80\x00\x00\x00\x00")
        assert await receiver.ended() is Reason.PROTOCOL_ERROR
        assert await ours.ended() is Reason.PROTOCOL_ERROR


async def test_t25_on_closed_is_called_once_for_each_socket() -> None:
    async with leg_server() as server:
        closed: list[str] = []
        dialled = await server.dial(on_closed=lambda: closed.append("dialled"))
        dialled.close()
        async with asyncio.timeout(60):
            while not (closed and server.closed):
                await asyncio.sleep(0)
        await settle(20)
        assert (closed, server.closed) == (["dialled"], 1)


# Keepalive


async def test_pings_keep_a_quiet_leg_alive_on_both_ends() -> None:
    async with leg_server(ping_interval_s=0.02, dead_after_s=0.3) as server:
        dialled, accepted = await server.pair(ping_interval_s=0.02, dead_after_s=0.3)
        loop = asyncio.get_running_loop()
        end = loop.time() + 0.8
        while loop.time() < end:
            await asyncio.sleep(0.05)
        assert (dialled.lost, accepted.lost) == (None, None)
        dialled.close()


async def test_a_silent_peer_is_noticed() -> None:
    material = tls_material()
    reached = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        # Reads nothing more, so that no pong comes.
        connection.transport.pause_reading()
        reached.set()
        await connection.wait_closed()

    context = server_context(material.cert_pem, material.key_pem)
    async with serve(handler, "127.0.0.1", 0, ssl=context, ping_interval=None, close_timeout=0.1) as server:
        port = server.sockets[0].getsockname()[1]
        leg = await dial(port, ping_interval_s=0.02, dead_after_s=0.1)
        receiver = Recorder()
        leg.set_receiver(receiver)
        await reached.wait()
        assert await receiver.ended() is Reason.PEER_SILENT


async def test_a_leg_whose_reading_is_paused_is_not_held_to_be_dead() -> None:
    async with leg_server(ping_interval_s=0.02, dead_after_s=0.1) as server:
        # The dialled side pings so rarely that only its pongs could show life.
        dialled, accepted = await server.pair(ping_interval_s=0.02, dead_after_s=60)
        accepted.pause_reading()
        loop = asyncio.get_running_loop()
        end = loop.time() + 0.4
        while loop.time() < end:
            await asyncio.sleep(0.05)
        assert accepted.lost is None
        dialled.close()


def test_the_context_never_speaks_less_than_tls13() -> None:
    assert client_context(None).minimum_version is ssl.TLSVersion.TLSv1_3
