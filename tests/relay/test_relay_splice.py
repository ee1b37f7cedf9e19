"""Connections that the kernel joins: all bytes, in order, bounded, and an end that is noticed."""

import asyncio
import contextlib
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from relay_world import RelayWorld, relay_world

from protocol.reasons import Reason
from protocol.rendezvous import CONNECT_PATH, LEG_PATH
from relay.splice import IDLE_PIPES_MAX, LARGE_PIPES_MAX, PIPE_BYTES, Pipe, Pipes, Splice
from runtime.accepting import RELIEF_PAUSE_S

MIB = 1024 * 1024


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of one connection on the loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        near = socket.create_connection(listening.getsockname())
        far, _ = listening.accept()
    near.setblocking(False)
    far.setblocking(False)
    return near, far


class Joined:
    """Two outer ends, and a splice between the inner ones."""

    def __init__(self, dead_after_s: float = 60.0) -> None:
        self.one, inner_one = tcp_pair()
        self.two, inner_two = tcp_pair()
        self.pipes = Pipes()
        self.counted = 0
        self.ended: asyncio.Future[Reason] = asyncio.get_running_loop().create_future()
        self.splice = Splice(
            inner_one,
            inner_two,
            pipes=self.pipes,
            count=self._count,
            on_end=self.ended.set_result,
            dead_after_s=dead_after_s,
        )

    def _count(self, size: int) -> None:
        self.counted += size

    def close(self) -> None:
        self.splice.stop()
        self.one.close()
        self.two.close()


@contextlib.contextmanager
def joined(dead_after_s: float = 60.0) -> Iterator[Joined]:
    made = Joined(dead_after_s)
    try:
        yield made
    finally:
        made.close()


async def receive(sock: socket.socket, count: int) -> bytes:
    data = bytearray()
    async with asyncio.timeout(60):
        while len(data) < count:
            data += await asyncio.get_running_loop().sock_recv(sock, MIB)
    return bytes(data)


async def test_all_bytes_arrive_both_ways_at_once() -> None:
    with joined() as pair:
        loop = asyncio.get_running_loop()
        there, back = os.urandom(20 * MIB), os.urandom(5 * MIB + 1)
        *_, got_there, got_back = await asyncio.gather(
            loop.sock_sendall(pair.one, there),
            loop.sock_sendall(pair.two, back),
            receive(pair.two, len(there)),
            receive(pair.one, len(back)),
        )
        assert hashlib.sha256(got_there).digest() == hashlib.sha256(there).digest()
        assert hashlib.sha256(got_back).digest() == hashlib.sha256(back).digest()
        assert pair.counted == len(there) + len(back)


async def test_t25_who_does_not_read_stops_the_other_and_later_gets_everything() -> None:
    with joined() as pair:
        loop = asyncio.get_running_loop()
        data = os.urandom(64 * MIB)
        sending = loop.create_task(loop.sock_sendall(pair.one, data))
        counted = -1
        # What the kernel takes in its buffers is bounded; then nothing moves.
        while counted != pair.counted or not counted:
            counted = pair.counted
            await asyncio.sleep(0.1)
        assert not sending.done()
        assert await receive(pair.two, len(data)) == data
        await sending


async def test_an_idle_pair_has_no_pipe() -> None:
    with joined() as pair:
        before = descriptors()
        await asyncio.get_running_loop().sock_sendall(pair.one, b"hello")
        assert await receive(pair.two, 5) == b"hello"
        kept = [pair.pipes.take()]
        assert descriptors() == before + 2, "the one pipe was given back and taken again"
        kept[0].close()


async def test_the_end_of_one_connection_comes_after_its_last_bytes() -> None:
    with joined() as pair:
        await asyncio.get_running_loop().sock_sendall(pair.one, b"last words")
        pair.one.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(60):
            assert await pair.ended is Reason.NORMAL
        assert await receive(pair.two, 10) == b"last words"


async def test_a_reset_ends_it() -> None:
    with joined() as pair:
        pair.one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        pair.one.close()
        async with asyncio.timeout(60):
            assert await pair.ended is Reason.TUNNEL_LOST


async def test_t26_urgent_data_ends_it_and_costs_no_core() -> None:
    with joined() as pair:
        # splice(2) stops at the urgent byte for ever, while what comes behind it goes on to make the socket readable.
        pair.one.send(b"!", socket.MSG_OOB)
        pair.one.send(b"behind")
        async with asyncio.timeout(5):
            assert await pair.ended is Reason.PROTOCOL_ERROR


async def test_t25_without_descriptors_for_a_pipe_bytes_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    with joined() as pair:
        tries: list[int] = []
        take = pair.pipes.take

        def refuse_twice() -> Pipe:
            tries.append(1)
            if len(tries) <= 2:
                raise OSError(24, "Too many open files")
            return take()

        monkeypatch.setattr(pair.pipes, "take", refuse_twice)
        await asyncio.get_running_loop().sock_sendall(pair.one, b"patience")
        assert await receive(pair.two, 8) == b"patience"
        assert not pair.ended.done()
        assert len(tries) == 3, "it is not asked all the time"


async def test_t25_an_end_while_bytes_wait_for_a_pipe_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    before = descriptors()
    with joined() as pair:
        refused: asyncio.Event = asyncio.Event()

        def refuse() -> Pipe:
            refused.set()
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(pair.pipes, "take", refuse)
        await asyncio.get_running_loop().sock_sendall(pair.one, b"never passed on")
        async with asyncio.timeout(60):
            await refused.wait()
        pair.splice.stop()
        refused.clear()
        # Longer than until the next try.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3 * RELIEF_PAUSE_S):
                await refused.wait()
    assert descriptors() == before


async def test_a_direction_that_brings_nothing_is_dead() -> None:
    with joined(dead_after_s=0.1) as pair:
        async with asyncio.timeout(60):
            assert await pair.ended is Reason.PEER_SILENT


async def test_stopping_says_nothing_and_gives_everything_back() -> None:
    before = descriptors()
    with joined() as pair:
        pair.splice.stop()
        pair.splice.stop()
        await asyncio.sleep(0)
        assert not pair.ended.done()
    assert descriptors() == before


def test_t25_few_pipes_are_large_and_few_are_kept() -> None:
    pipes = Pipes()
    taken = [pipes.take() for _ in range(LARGE_PIPES_MAX + 1)]
    assert [pipe.large for pipe in taken].count(True) == LARGE_PIPES_MAX
    before = descriptors()
    for pipe in taken:
        pipes.give(pipe, empty=True)
    assert before - descriptors() == 2 * (LARGE_PIPES_MAX + 1 - IDLE_PIPES_MAX)
    again = [pipes.take() for _ in range(LARGE_PIPES_MAX)]
    assert all(pipe.large for pipe in again)
    for pipe in again:
        pipe.close()
    assert PIPE_BYTES * LARGE_PIPES_MAX <= 64 * MIB


@contextlib.asynccontextmanager
async def spliced_world(**options: object) -> AsyncIterator[RelayWorld]:
    async with relay_world(**options) as world:
        await world.attach()
        yield world


async def test_a_tunnel_is_spliced_once_it_stands() -> None:
    async with spliced_world() as world:
        legs = await world.paired()
        assert world.server.status()["pairs_spliced"] == 0, "the inner handshake is still to come"
        for leg in legs:
            leg.close()
        tunnels = await world.tunnels()
        await world.until(pairs_spliced=1)
        assert await tunnels.client.probe(10) >= 0


async def test_the_setting_keeps_the_outer_tls() -> None:
    async with spliced_world(splice=False) as world:
        tunnels = await world.tunnels()
        assert await tunnels.client.probe(10) >= 0
        assert world.server.status()["pairs_spliced"] == 0
        assert not any(leg.sends_bare or leg.receives_bare for leg in world.legs)


@pytest.mark.parametrize("older", [CONNECT_PATH, LEG_PATH], ids=["client", "connector"])
async def test_an_older_peer_keeps_its_tls_and_the_other_does_not_need_it(
    older: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.leg.MAY_END_TLS", frozenset({CONNECT_PATH, LEG_PATH}) - {older})
    async with spliced_world() as world:
        tunnels = await world.tunnels()
        assert await tunnels.client.probe(10) >= 0
        assert await tunnels.server.probe(10) >= 0
        assert sorted(leg.sends_bare for leg in world.legs) == [False, False, True]
        assert world.server.status()["pairs_spliced"] == 0


async def test_without_descriptors_a_pair_goes_on_unspliced(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "fromfd", refuse)
    async with spliced_world() as world:
        tunnels = await world.tunnels()
        assert await tunnels.client.probe(10) >= 0
        assert world.server.status()["pairs_spliced"] == 0
