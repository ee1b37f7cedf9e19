"""Legs without a relay: bytes, backpressure, ends, and what a stranger may send."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from protocol.direct import DirectAddress
from protocol.errors import RemoteError
from protocol.reasons import Reason
from runtime.direct_leg import DirectLeg, dial_direct
from runtime.leg_frames import Piece


class Sink:
    """Remembers what a leg brought."""

    def __init__(self) -> None:
        self.data = b""
        self.lost: Reason | None = None
        self.paused = 0
        self.news = asyncio.Event()

    def data_received(self, data: Piece) -> None:
        self.data += bytes(data)
        self.news.set()

    def text_received(self, text: str) -> None:
        raise AssertionError(text)

    def leg_lost(self, reason: Reason) -> None:
        self.lost = reason
        self.news.set()

    def pause_writing(self) -> None:
        self.paused += 1

    def resume_writing(self) -> None:
        self.paused -= 1

    async def until(self, count: int = 0, *, lost: bool = False) -> None:
        async with asyncio.timeout(20):
            while len(self.data) < count or (lost and self.lost is None):
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def legs(allowance: int | None = None) -> AsyncIterator[tuple[DirectLeg, DirectLeg]]:
    """Both ends of one connection; the second one is the accepted end."""
    accepted: list[DirectLeg] = []

    def make() -> DirectLeg:
        accepted.append(DirectLeg(allowance=allowance))
        return accepted[-1]

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    address, port = server.sockets[0].getsockname()
    near = await dial_direct(DirectAddress(ipaddress.ip_address(address), port), mark=None, deadline_s=5)
    async with asyncio.timeout(20):
        while not accepted or not accepted[0].connected:
            await asyncio.sleep(0)
    yield near, accepted[0]
    near.abort()
    accepted[0].abort()
    server.close()


async def test_bytes_go_both_ways_and_what_came_early_is_kept() -> None:
    async with legs() as (near, far):
        near.write(b"early")
        await asyncio.sleep(0)
        here, there = Sink(), Sink()
        near.set_receiver(here)
        far.set_receiver(there)
        near.write(b" and late")
        far.write(b"answer")
        await there.until(14)
        await here.until(6)
        assert (there.data, here.data) == (b"early and late", b"answer")
        assert near.local_address == "127.0.0.1"


async def test_an_end_is_told_once_after_the_bytes() -> None:
    async with legs() as (near, far):
        near.write(b"last words")
        near.close()
        near.write(b"never")
        there = Sink()
        far.set_receiver(there)
        await there.until(10, lost=True)
        assert (there.data, there.lost, far.lost) == (b"last words", Reason.TUNNEL_LOST, Reason.TUNNEL_LOST)


async def test_a_receiver_that_comes_after_the_end_hears_of_it() -> None:
    async with legs() as (near, far):
        near.close()
        async with asyncio.timeout(20):
            while far.lost is None:
                await asyncio.sleep(0)
        there = Sink()
        far.set_receiver(there)
        await there.until(lost=True)


async def test_t40_a_peer_that_does_not_read_pauses_the_writer_and_cannot_hold_the_socket() -> None:
    gone = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        loop = asyncio.get_running_loop()
        leg = DirectLeg(on_closed=gone.set)
        sock = socket.create_connection(server.getsockname())
        await loop.create_connection(lambda: leg, sock=sock)
        here = Sink()
        leg.set_receiver(here)
        for _ in range(400):
            leg.write(bytes(65_536))
        assert leg.paused
        assert here.paused == 1
        leg.close()
        await asyncio.wait_for(gone.wait(), 20)


async def test_t26_a_stranger_is_read_up_to_an_allowance_and_on_once_he_proved_himself() -> None:
    async with legs(allowance=100_000) as (near, far):
        there = Sink()
        far.set_receiver(there)
        for _ in range(100):
            near.write(bytes(65_536))
        await there.until(100_000)
        got = len(there.data)
        # Every turn that would read has passed when another connection's bytes have gone to and fro.
        async with legs() as (other, echo):
            heard = Sink()
            echo.set_receiver(heard)
            other.write(bytes(1_000_000))
            await heard.until(1_000_000)
        assert len(there.data) == got < 100_000 + 256 * 1024
        far.admit()
        await there.until(100 * 65_536)


async def test_nobody_there_is_said_as_the_kernel_says_it() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        where = DirectAddress(ipaddress.ip_address("127.0.0.1"), sock.getsockname()[1])
        with pytest.raises(RemoteError) as caught:
            await dial_direct(where, mark=None, deadline_s=5)
    assert caught.value.reason is Reason.CONNECTION_REFUSED
