"""The whole data path on the loopback: socket, bridge, tunnel, leg, relay, leg, tunnel, bridge, socket (C12 to C21)."""

import asyncio
import contextlib
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import evil_relay
import pytest
from recorders import Recorder
from relay_world import RelayWorld, Tunnels, connector_id, make_ticket, relay_world
from tls_material import tls_material
from tunnel_pair import connector_identity

from protocol.errors import RemoteError
from protocol.ids import SpkiPin
from protocol.limits import MUX_WINDOW_INITIAL
from protocol.reasons import Reason
from protocol.rendezvous import CONNECT_PATH, LEG_PATH
from runtime.bridge import SocketBridge
from runtime.clock import SystemClock
from runtime.leg import Leg, dial_leg
from runtime.trust import client_context
from runtime.tunnel import Tunnel, TunnelStream

MIB = 1024 * 1024


@contextlib.asynccontextmanager
async def gateway(tunnels: Tunnels, resource_port: int) -> AsyncIterator[int]:
    """Serves a local port whose connections go through ``tunnels`` to ``resource_port``; yields the port."""
    loop = asyncio.get_running_loop()
    dialling: set[asyncio.Task[None]] = set()
    bridges: list[SocketBridge] = []

    def enter() -> SocketBridge:
        bridges.append(SocketBridge(tunnels.client.open_stream(), side="client"))
        return bridges[-1]

    async def leave(stream: TunnelStream) -> None:
        bridges.append(SocketBridge(stream, side="connector"))
        await loop.create_connection(lambda: bridges[-1], "127.0.0.1", resource_port)

    def opened(stream: TunnelStream) -> None:
        task = loop.create_task(leave(stream))
        dialling.add(task)
        task.add_done_callback(dialling.discard)

    tunnels.server.set_on_stream(opened)
    server = await loop.create_server(enter, "127.0.0.1", 0)
    try:
        with contextlib.closing(server):
            yield server.sockets[0].getsockname()[1]
    finally:
        for bridge in bridges:
            bridge.abort(Reason.CANCELLED)
        await asyncio.sleep(0)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def resource(serve: Serve) -> AsyncIterator[int]:
    """Serves a resource; yields its port."""
    # uvloop cannot close a loop with a listening server in it, so that it must go whatever happens.
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2 * MIB)
    with contextlib.closing(server):
        yield server.sockets[0].getsockname()[1]


class Echo:
    """A resource: sends ``down`` and hashes what it gets, then half-closes."""

    def __init__(self, down: bytes) -> None:
        self.down = down
        self.digests: asyncio.Queue[str] = asyncio.Queue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        digest = hashlib.sha256()

        async def send() -> None:
            for start in range(0, len(self.down), 256 * 1024):
                writer.write(self.down[start : start + 256 * 1024])
                await writer.drain()
            writer.write_eof()

        sending = asyncio.ensure_future(send())
        while chunk := await reader.read(MIB):
            digest.update(chunk)
        await sending
        self.digests.put_nowait(digest.hexdigest())
        writer.close()


async def exchange(port: int, up: bytes) -> str:
    """Sends ``up`` and half-closes while reading to the end; returns the hash of what came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2 * MIB)
    digest = hashlib.sha256()

    async def send() -> None:
        for start in range(0, len(up), 256 * 1024):
            writer.write(up[start : start + 256 * 1024])
            await writer.drain()
        writer.write_eof()

    sending = asyncio.ensure_future(send())
    while chunk := await reader.read(MIB):
        digest.update(chunk)
    await sending
    writer.close()
    return digest.hexdigest()


async def test_64_mib_both_ways_at_once_arrive_unchanged() -> None:
    up, down = os.urandom(MIB) * 64, os.urandom(MIB) * 64
    async with relay_world() as world:
        await world.attach()
        tunnels = await world.tunnels()
        echo = Echo(down)
        async with resource(echo.serve) as there, gateway(tunnels, there) as port, asyncio.timeout(90):
            assert await exchange(port, up) == hashlib.sha256(down).hexdigest()
            assert await echo.digests.get() == hashlib.sha256(up).hexdigest()
        assert world.server.bytes_copied > 128 * MIB
        assert tunnels.lost == {}
        tunnels.close()


async def test_many_small_connections_through_one_tunnel() -> None:
    async with relay_world() as world:
        await world.attach()
        tunnels = await world.tunnels()
        echo = Echo(b"answer")
        expected = hashlib.sha256(b"answer").hexdigest()
        async with resource(echo.serve) as there, gateway(tunnels, there) as port, asyncio.timeout(60):
            for _ in range(10):
                assert set(await asyncio.gather(*(exchange(port, b"question") for _ in range(30)))) == {expected}
            for _ in range(50):
                if not tunnels.client.stream_count:
                    break
                await asyncio.sleep(0.02)
        assert tunnels.client.stream_count == tunnels.server.stream_count == 0
        tunnels.close()


async def test_reset_reasons_travel_through_the_relay() -> None:
    async with relay_world() as world:
        await world.attach()
        tunnels = await world.tunnels()
        for reason in (Reason.CONNECTION_REFUSED, Reason.ACCESS_REVOKED, Reason.LEASE_EXPIRED):
            mine, theirs = await tunnels.stream()
            receiver = Recorder()
            mine.set_receiver(receiver)
            theirs.reset(reason)
            assert await receiver.ended() is reason
        tunnels.server.close(Reason.PROOF_INVALID)
        async with asyncio.timeout(60):
            while "client" not in tunnels.lost:
                await asyncio.sleep(0.005)
        assert tunnels.lost == {"client": Reason.PROOF_INVALID}
        await world.until(pairs=0)


async def test_a_relay_that_dies_resets_every_stream() -> None:
    async with relay_world() as world:
        await world.attach()
        tunnels = await world.tunnels()
        mine, theirs = await tunnels.stream()
        one, two = Recorder(), Recorder()
        mine.set_receiver(one)
        theirs.set_receiver(two)
        await world.until(pairs_spliced=1)
        await world.server.drain(0.0)
        assert (await one.ended(), await two.ended()) == (Reason.TUNNEL_LOST, Reason.TUNNEL_LOST)
        # The relay has no word in a connection that the kernel copies.
        assert set((await tunnels.both_lost()).values()) == {Reason.TUNNEL_LOST}


async def test_a_relay_that_dies_says_why_on_legs_with_tls() -> None:
    async with relay_world(splice=False) as world:
        await world.attach()
        tunnels = await world.tunnels()
        await world.server.drain(0.0)
        assert set((await tunnels.both_lost()).values()) == {Reason.SHUTTING_DOWN}


async def stalled(world: RelayWorld, tunnels: Tunnels) -> tuple[TunnelStream, Recorder]:
    """Fills a stream whose reader gives no credit back."""
    mine, theirs = await tunnels.stream()
    stuck, writer = Recorder(), Recorder()
    theirs.set_receiver(stuck)
    mine.set_receiver(writer)
    while not writer.paused:
        mine.write(bytes(64 * 1024))
        await asyncio.sleep(0)
    return mine, stuck


async def test_t40_one_stalled_reader_does_not_stop_the_others() -> None:
    async with relay_world() as world:
        await world.attach()
        tunnels = await world.tunnels()
        stuck = [await stalled(world, tunnels) for _ in range(5)]
        payload = os.urandom(2 * MIB)

        async def transfer() -> None:
            mine, theirs = await tunnels.stream()
            receiver, writer = Recorder(theirs.consumed), Recorder()
            theirs.set_receiver(receiver)
            mine.set_receiver(writer)
            for start in range(0, len(payload), 64 * 1024):
                await writer.until(lambda own: not own.paused)
                mine.write(payload[start : start + 64 * 1024])
            assert await receiver.received(len(payload)) == payload
            mine.reset(Reason.CANCELLED)

        async with asyncio.timeout(60):
            for _ in range(4):
                await transfer()
        assert all(len(recorder.data) <= MUX_WINDOW_INITIAL for _, recorder in stuck)
        tunnels.close()


async def test_t40_a_client_that_does_not_read_its_socket_stops_the_resource_only() -> None:
    async with relay_world() as world:
        await world.attach()
        tunnels = await world.tunnels()
        sent = 0

        async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                while True:
                    writer.write(bytes(64 * 1024))
                    await writer.drain()
                    sent += 64 * 1024

        async with resource(flood) as there, gateway(tunnels, there) as port:
            with socket.create_connection(("127.0.0.1", port)):
                previous = -1
                async with asyncio.timeout(60):
                    while sent == 0 or sent != previous:
                        previous = sent
                        await asyncio.sleep(0.3)
                assert sent < 64 * MIB, "it stopped"
                # The tunnel is free for others.
                assert await tunnels.client.probe(5.0) < 5.0
        tunnels.close()


# A relay that misbehaves (T-24, T-60)


async def tunnels_through(relay: evil_relay.EvilRelay) -> Tunnels:
    context = client_context(tls_material().ca_pem)

    async def dial(path: str, ticket: str) -> Leg:
        return await dial_leg(
            host="localhost",
            address="127.0.0.1",
            port=relay.port,
            path=path,
            ticket=ticket,
            context=context,
            deadline=5.0,
        )

    parked = await dial(LEG_PATH, make_ticket("connector"))
    return Tunnels(await dial(CONNECT_PATH, make_ticket("client")), parked)


@pytest.mark.parametrize(
    "tamper",
    [
        evil_relay.flip_one_bit,
        evil_relay.drop,
        evil_relay.drop_the_end,
        evil_relay.repeat,
        evil_relay.swap_halves,
        evil_relay.inject,
    ],
    ids=lambda tamper: tamper.__name__,
)
@pytest.mark.parametrize("upwards", [True, False], ids=["up", "down"])
async def test_t24_no_byte_that_the_relay_changed_is_delivered(tamper: evil_relay.Tamper, upwards: bool) -> None:
    async with evil_relay.evil_relay() as relay:
        tunnels = await tunnels_through(relay)
        await tunnels.handshake()
        mine, theirs = await tunnels.stream()
        sender, receiver_end = (mine, theirs) if upwards else (theirs, mine)
        receiver = Recorder(receiver_end.consumed)
        receiver_end.set_receiver(receiver)
        sender.set_receiver(Recorder())
        sender.write(b"before " * 1000)
        await receiver.received(7000)
        if upwards:
            relay.tamper_up = tamper
        else:
            relay.tamper_down = tamper
        sender.write(b"during " * 1000)
        await asyncio.sleep(0.1)
        relay.tamper_up = relay.tamper_down = evil_relay.honest
        sender.write(b"after " * 1000)
        # What is left of the original stream's beginning is all that may arrive.
        assert await receiver.ended() is Reason.TUNNEL_LOST
        assert (b"before " * 1000 + b"during " * 1000).startswith(bytes(receiver.data))
        await tunnels.both_lost()
        assert b"before" not in relay.seen, "T-22: it saw nothing"


async def test_t24_a_relay_that_changes_the_handshake_makes_no_tunnel() -> None:
    async with evil_relay.evil_relay() as relay:
        tunnels = await tunnels_through(relay)
        relay.tamper_up = evil_relay.flip_one_bit
        with pytest.raises(RemoteError):
            await tunnels.handshake()
        tunnels.close()


async def test_t60_a_relay_that_answers_in_the_connectors_place_is_found_out() -> None:
    async with relay_world() as world:
        await world.attach()
        client_leg, server_leg = await world.paired()
        key_pem, certificate_pem, _ = connector_identity()
        wrong = Tunnel.client(client_leg, [SpkiPin("sha256/" + "A" * 43 + "=")], SystemClock())
        impostor = Tunnel.server(server_leg, key_pem, certificate_pem, SystemClock())
        accepting = asyncio.ensure_future(impostor.handshake(5))
        with pytest.raises(RemoteError) as caught:
            await wrong.handshake(5)
        assert caught.value.reason is Reason.PIN_MISMATCH
        with pytest.raises(RemoteError):
            await accepting


def test_connectors_have_different_hashes() -> None:
    assert connector_id(1) != connector_id(2)
