"""Uplinks: present at every relay, legs parked, back by themselves (C4, C13; F-4, F-5)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from fake_relay import FakeRelay, fake_relay
from tls_material import tls_material

from connector import uplink as module
from connector.uplink import Uplink, Uplinks
from protocol.errors import RemoteError
from protocol.ids import RelayId
from protocol.limits import PARKED_LEGS_MAX
from protocol.reasons import Reason
from protocol.rendezvous import ATTACH_PATH, LegsWanted, RelayGoodbye
from protocol.tokens.claims import ConfigRelay
from runtime.backoff import Backoff
from runtime.clock import SystemClock
from runtime.leg import Leg, Piece
from runtime.tasks import TaskScope
from runtime.trust import client_context


class StubPeer:
    """Stands for a TunnelPeer: paired when its leg brings a byte."""

    def __init__(self, leg: Leg) -> None:
        self.leg = leg
        self._paired: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        leg.set_receiver(self)

    async def wait_until_paired(self) -> None:
        await self._paired

    def close(self, reason: Reason) -> None:
        self.leg.close(reason)

    def data_received(self, data: Piece) -> None:
        if not self._paired.done():
            self._paired.set_result(None)

    def text_received(self, text: str) -> None:
        raise AssertionError

    def leg_lost(self, reason: Reason) -> None:
        if not self._paired.done():
            self._paired.set_exception(RemoteError(reason))

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        pass


@dataclass
class StubHost:
    """Collects what was paired."""

    adopted: list[Any] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def make_peer(self, leg: Leg, relay: RelayId) -> Any:
        return StubPeer(leg)

    def adopt(self, peer: Any) -> None:
        self.adopted.append(peer)
        self.news.set()

    async def until_adopted(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.adopted) < count:
                self.news.clear()
                await self.news.wait()


def make_uplink(entry: ConfigRelay, host: StubHost, *, parked_legs: int = 2) -> Uplink:
    return Uplink(
        entry,
        context=client_context(tls_material().ca_pem),
        host=host,
        clock=SystemClock(),
        parked_legs=parked_legs,
        make_backoff=lambda: Backoff(initial_s=0.005, cap_s=0.02),
    )


@asynccontextmanager
async def uplinked() -> AsyncIterator[tuple[FakeRelay, Uplink, StubHost]]:
    host = StubHost()
    async with fake_relay() as relay, TaskScope("test") as scope:
        uplink = make_uplink(relay.entry(), host)
        scope.spawn(uplink.run(), name="uplink")
        await relay.until(attached=1, parked=2)
        yield relay, uplink, host


async def until(done: Any) -> None:
    async with asyncio.timeout(60):
        while not done():
            await asyncio.sleep(0.005)


async def test_c4_it_attaches_first_and_then_parks_legs() -> None:
    async with uplinked() as (relay, uplink, _):
        assert relay.tickets[0] == (ATTACH_PATH, "ticket-1")
        await until(lambda: uplink.parked == 2)
        assert uplink.attached
        assert uplink.error is None


async def test_a_paired_leg_is_replaced_at_once() -> None:
    async with uplinked() as (relay, uplink, host):
        for count in range(1, 6):
            client = await relay.connect()
            client.write(b"hello")
            await host.until_adopted(count)
        await relay.until(legs=7)
        await until(lambda: uplink.parked == 2)


async def test_c13_more_legs_on_demand_but_not_without_end() -> None:
    async with uplinked() as (relay, uplink, _):
        relay.say(LegsWanted(3))
        await until(lambda: uplink.parked == 5)
        relay.say(LegsWanted(1000))
        await until(lambda: uplink.parked == PARKED_LEGS_MAX)
        relay.say(LegsWanted(1000))
        await asyncio.sleep(0.05)
        assert relay.legs == PARKED_LEGS_MAX


async def test_f4_a_lost_relay_is_attached_again_and_tunnels_go_on() -> None:
    async with uplinked() as (relay, uplink, host):
        client = await relay.connect()
        client.write(b"hello")
        await host.until_adopted(1)
        relay.attached[0].abort()
        await relay.until(attached=2)
        await until(lambda: uplink.attached and uplink.parked == 2)
        assert host.adopted[0].leg.lost is None


async def test_parked_legs_end_with_their_attachment() -> None:
    async with uplinked() as (relay, _, _):
        first = list(relay.parked)
        relay.attached[0].abort()
        await until(lambda: all(leg.lost is not None for leg in first))


async def test_f5_a_silent_relay_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PING_INTERVAL_S", 0.05)
    monkeypatch.setattr(module, "DEAD_AFTER_S", 0.2)
    async with uplinked() as (relay, uplink, _):
        seen: list[Reason] = []
        relay.attached[0].pause_reading()
        await until(lambda: uplink.error is not None and (seen.append(uplink.error.reason) or True))
        assert seen == [Reason.PEER_SILENT]
        await relay.until(attached=2)


async def test_a_goodbye_is_no_reason_to_stay_away() -> None:
    async with uplinked() as (relay, _, _):
        relay.say(RelayGoodbye(Reason.SHUTTING_DOWN))
        await relay.until(attached=2)


async def test_a_duplicate_waits_so_that_two_do_not_fight(monkeypatch: pytest.MonkeyPatch) -> None:
    async with uplinked() as (relay, uplink, _):
        relay.say(RelayGoodbye(Reason.DUPLICATE_AGENT))
        await until(lambda: not uplink.attached)
        await asyncio.sleep(0.1)
        assert len(relay.attached) == 1
        assert uplink.error is not None
        assert uplink.error.reason is Reason.DUPLICATE_AGENT


async def test_nonsense_on_the_attach_leg_ends_it() -> None:
    async with uplinked() as (relay, _, _):
        relay.attached[0].write_text('{"type":"from_the_future"}')
        relay.attached[0].write_text("{")
        await relay.until(attached=2)
        relay.attached[1].write(b"bytes")
        await relay.until(attached=3)


async def test_a_refusal_is_told_and_a_fresh_ticket_tried_at_once() -> None:
    host = StubHost()
    async with fake_relay() as relay, TaskScope("test") as scope:
        relay.refuse = Reason.TOKEN_EXPIRED
        uplink = make_uplink(relay.entry(), host)
        uplink._make_backoff = lambda: Backoff(initial_s=60, cap_s=60, jitter=lambda: 1.0)
        scope.spawn(uplink.run(), name="uplink")
        await until(lambda: uplink.error is not None)
        assert uplink.error is not None
        assert uplink.error.reason is Reason.TOKEN_EXPIRED
        relay.refuse = None
        uplink.renew(relay.entry("ticket-2"))
        await relay.until(attached=1)
        assert relay.tickets[1] == (ATTACH_PATH, "ticket-2")


async def test_refused_legs_are_tried_again() -> None:
    async with uplinked() as (relay, uplink, _):
        relay.refuse = Reason.LIMIT_EXCEEDED
        for leg in list(relay.parked):
            leg.abort()
        await relay.until(tickets=8)
        assert uplink.attached
        relay.refuse = None
        await until(lambda: uplink.parked == 2)


async def test_c3_the_uplinks_follow_the_config() -> None:
    host = StubHost()
    async with fake_relay(1) as one, fake_relay(2) as two, TaskScope("test") as scope:
        uplinks = Uplinks(lambda entry: make_uplink(entry, host, parked_legs=1), scope)
        uplinks.apply([one.entry(), two.entry()])
        await one.until(attached=1)
        await two.until(attached=1)
        await until(lambda: set(uplinks.attached) == {one.relay, two.relay})
        uplinks.apply([one.entry("ticket-2")])
        await until(lambda: uplinks.attached == (one.relay,))
        await until(lambda: two.attached[0].lost is not None)
        assert len(one.attached) == 1
        assert [uplink.relay.ticket for uplink in uplinks] == ["ticket-2"]
        moved = ConfigRelay(one.relay, "localhost", two.port, "ticket-3")
        uplinks.apply([moved])
        await two.until(attached=2)
        await until(lambda: one.attached[0].lost is not None)
        uplinks.apply([])
        assert uplinks.attached == ()
