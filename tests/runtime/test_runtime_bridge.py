"""Bridges between real sockets and a tunnel: bytes, half-close, resets, backpressure, counters (C21, T-40)."""

import asyncio
import contextlib
import hashlib
import socket
import struct
from collections.abc import AsyncIterator, Callable

import pytest
from recorders import Recorder
from tunnel_pair import TunnelPair, tunnel_pair

from protocol.limits import MUX_WINDOW_MAX
from protocol.reasons import Reason
from runtime.bridge import BRIDGE_HIGH_WATER, SocketBridge

BOTH_LOOPS = True

Done = tuple[int, int, Reason]


class World:
    """An application, a client's bridge, a tunnel, a connector's bridge and a resource."""

    def __init__(self, pair: TunnelPair) -> None:
        self.pair = pair
        self.done: dict[str, Done] = {}
        self.bridges: dict[str, SocketBridge] = {}
        self._changed = asyncio.Event()

    async def open(self) -> tuple[socket.socket, socket.socket]:
        """Returns the application's and the resource's socket, joined end to end."""
        mine, theirs = await self.pair.stream()
        self.bridges["client"] = SocketBridge(mine, side="client", on_done=self._note("client"))
        self.bridges["connector"] = SocketBridge(theirs, side="connector", on_done=self._note("connector"))
        return await attach(self.bridges["client"]), await attach(self.bridges["connector"])

    async def finished(self) -> dict[str, Done]:
        """Waits until both bridges are done."""
        async with asyncio.timeout(60):
            while len(self.done) < 2:
                self._changed.clear()
                await self._changed.wait()
        return self.done

    def _note(self, side: str) -> Callable[[int, int, Reason], None]:
        def note(up: int, down: int, reason: Reason) -> None:
            assert side not in self.done, "called once"
            self.done[side] = (up, down, reason)
            self._changed.set()

        return note


async def attach(bridge: SocketBridge) -> socket.socket:
    """Gives ``bridge`` a TCP socket and returns the other end of it."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    far.setblocking(False)
    near.setblocking(False)
    await loop.create_connection(lambda: bridge, sock=near)
    return far


@contextlib.asynccontextmanager
async def world() -> AsyncIterator[World]:
    async with tunnel_pair() as pair:
        made = World(pair)
        yield made
        for bridge in made.bridges.values():
            bridge.abort(Reason.CANCELLED)
        await asyncio.sleep(0)


async def send_all(sock: socket.socket, data: bytes) -> None:
    async with asyncio.timeout(60):
        await asyncio.get_running_loop().sock_sendall(sock, data)


async def read_all(sock: socket.socket) -> bytes:
    """Reads to the end; raises ConnectionResetError for a RST."""
    loop = asyncio.get_running_loop()
    found = bytearray()
    async with asyncio.timeout(60):
        while chunk := await loop.sock_recv(sock, 1 << 20):
            found += chunk
    return bytes(found)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def test_bytes_both_ways_at_once_with_equal_hashes() -> None:
    async with world() as made:
        application, resource = await made.open()
        up, down = bytes(range(256)) * 20_000, bytes(reversed(range(256))) * 30_000

        async def send(sock: socket.socket, data: bytes) -> None:
            await send_all(sock, data)
            sock.shutdown(socket.SHUT_WR)

        with application, resource:
            got_up, got_down, _, _ = await asyncio.gather(
                read_all(resource), read_all(application), send(application, up), send(resource, down)
            )
        assert (digest(got_up), digest(got_down)) == (digest(up), digest(down))
        expected = (len(up), len(down), Reason.NORMAL)
        assert await made.finished() == {"client": expected, "connector": expected}


@pytest.mark.parametrize("application_first", [True, False])
async def test_half_close_leaves_the_other_direction_open(application_first: bool) -> None:
    async with world() as made:
        application, resource = await made.open()
        first, second = (application, resource) if application_first else (resource, application)
        with application, resource:
            await send_all(first, b"request")
            first.shutdown(socket.SHUT_WR)
            assert await read_all(second) == b"request"
            await asyncio.sleep(0)
            await send_all(second, b"response " * 50_000)
            second.shutdown(socket.SHUT_WR)
            assert await read_all(first) == b"response " * 50_000
        assert {reason for _, _, reason in (await made.finished()).values()} == {Reason.NORMAL}
        assert made.pair.client.stream_count == made.pair.server.stream_count == 0


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize(("by_application", "reason"), [(True, Reason.CANCELLED), (False, Reason.CONNECTION_RESET)])
async def test_a_reset_becomes_a_reset(by_application: bool, reason: Reason) -> None:
    async with world() as made:
        application, resource = await made.open()
        actor, victim = (application, resource) if by_application else (resource, application)
        with victim:
            await send_all(actor, b"x")
            loop = asyncio.get_running_loop()
            assert await loop.sock_recv(victim, 10) == b"x"
            reset(actor)
            with pytest.raises(ConnectionResetError):
                await read_all(victim)
        assert {found for _, _, found in (await made.finished()).values()} == {reason}


async def test_a_reset_of_the_stream_is_a_rst_not_an_end() -> None:
    async with world() as made:
        application, resource = await made.open()
        with application, resource:
            made.bridges["connector"].abort(Reason.ACCESS_REVOKED)
            with pytest.raises(ConnectionResetError):
                await read_all(application)
            with pytest.raises(ConnectionResetError):
                await read_all(resource)
        assert {found for _, _, found in (await made.finished()).values()} == {Reason.ACCESS_REVOKED}


async def test_a_lost_tunnel_resets_the_sockets() -> None:
    async with world() as made:
        application, resource = await made.open()
        with application, resource:
            made.pair.client_leg.lose(Reason.PEER_SILENT)
            with pytest.raises(ConnectionResetError):
                await read_all(application)
            made.pair.server_leg.lose(Reason.PEER_SILENT)
            with pytest.raises(ConnectionResetError):
                await read_all(resource)
        assert {found for _, _, found in (await made.finished()).values()} == {Reason.TUNNEL_LOST}


async def test_bytes_that_came_before_the_socket_are_delivered() -> None:
    async with tunnel_pair() as pair:
        mine, theirs = await pair.stream()
        mine.write(b"sent before anybody dialled")
        mine.write_eof()
        for _ in range(10):
            await asyncio.sleep(0)
        bridge = SocketBridge(theirs, side="connector")
        resource = await attach(bridge)
        with resource:
            assert await read_all(resource) == b"sent before anybody dialled"
        assert bridge.to_socket == bridge.bytes_up == 27
        assert (bridge.from_socket, bridge.bytes_down) == (0, 0)
        bridge.abort(Reason.CANCELLED)


async def test_a_stream_that_was_reset_before_the_socket_resets_it() -> None:
    async with tunnel_pair() as pair:
        mine, theirs = await pair.stream()
        mine.reset(Reason.CANCELLED)
        for _ in range(10):
            await asyncio.sleep(0)
        with await attach(SocketBridge(theirs, side="connector")) as resource, pytest.raises(ConnectionResetError):
            await read_all(resource)


async def test_a_bridge_that_was_aborted_before_its_socket_resets_it() -> None:
    async with tunnel_pair() as pair:
        _, theirs = await pair.stream()
        bridge = SocketBridge(theirs, side="connector")
        bridge.abort(Reason.ACCESS_REVOKED)
        with await attach(bridge) as resource, pytest.raises(ConnectionResetError):
            await read_all(resource)


async def test_t40_a_resource_that_does_not_read_stops_the_application() -> None:
    async with world() as made:
        application, resource = await made.open()
        loop = asyncio.get_running_loop()
        with application, resource:
            application.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
            sent = 0
            with contextlib.suppress(TimeoutError):
                while sent < 64 * 1024 * 1024:
                    async with asyncio.timeout(0.5):
                        await loop.sock_sendall(application, bytes(65_536))
                    sent += 65_536
            assert sent < 64 * 1024 * 1024, "backpressure reaches the application"
            bridges = made.bridges
            held = bridges["client"].from_socket - bridges["connector"].to_socket
            transport = bridges["connector"]._transport
            assert transport is not None
            assert held <= MUX_WINDOW_MAX
            assert transport.get_write_buffer_size() <= BRIDGE_HIGH_WATER + MUX_WINDOW_MAX
            # When it reads again, everything arrives.
            application.shutdown(socket.SHUT_WR)
            assert len(await read_all(resource)) >= sent


async def test_t40_credit_is_held_back_until_the_socket_took_the_bytes() -> None:
    async with tunnel_pair() as pair:
        mine, theirs = await pair.stream()
        writer = Recorder()
        mine.set_receiver(writer)
        bridge = SocketBridge(theirs, side="connector", high_water=1)
        bridge.connection_made(_Stuck())
        bridge.pause_writing()
        total = 0
        while not writer.paused:
            mine.write(bytes(32_768))
            total += 32_768
            for _ in range(5):
                await asyncio.sleep(0)
        assert total <= 2 * 256 * 1024
        bridge.resume_writing()
        await writer.until(lambda own: not own.paused)
        bridge.abort(Reason.CANCELLED)


class _Stuck(asyncio.Transport):
    """A transport that takes everything and sends nothing."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def write(self, data: object) -> None: ...

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None: ...


async def test_many_streams_in_one_tunnel() -> None:
    async with tunnel_pair() as pair:
        bridges: list[SocketBridge] = []
        loop = asyncio.get_running_loop()

        async def one(number: int) -> None:
            mine, theirs = await pair.stream()
            first, second = SocketBridge(mine, side="client"), SocketBridge(theirs, side="connector")
            bridges.extend((first, second))
            application, resource = await attach(first), await attach(second)
            with application, resource:
                payload = number.to_bytes(2, "big") * 40_000
                sending = asyncio.ensure_future(loop.sock_sendall(application, payload))
                got = b""
                while len(got) < len(payload):
                    got += await loop.sock_recv(resource, 1 << 18)
                await sending
                assert got == payload

        async with asyncio.timeout(60):
            await asyncio.gather(*(one(number) for number in range(25)))
        for bridge in bridges:
            bridge.abort(Reason.CANCELLED)
        await asyncio.sleep(0)
