"""What the client tells the controller of its flows: start, bytes, end, reason, bounded, under one identity only."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from client_world import DEVICE, GRANT, USER, World, client_world, entry, online, resource_id, running_daemon
from proxy_user import Streams, close, exchange, service, socks

from client.core.classify import Denial
from client.daemon import flow_records
from client.daemon.denials import Denials
from client.daemon.flows import FlowRegistry
from client.daemon.gateway import Gateway
from client.host.keys import load_or_create_key
from protocol.acl.model import PortRange, Ports, Transport
from protocol.control import ConnectionRecord, Records
from protocol.ids import NO_REVISION, DeviceId
from protocol.reasons import Reason
from runtime import open_reports
from runtime.clock import ManualClock

HOST = "wiki.corp.internal"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in (
        (flow_records, "PAUSE_S", 0.05),
        (flow_records, "TICK_S", 0.05),
        (open_reports, "OPEN_AFTER_S", 0.1),
        (open_reports, "UPDATE_S", 0.1),
    ):
        monkeypatch.setattr(module, name, value)
    # The controller's interval of beats is the least pause; this one asks for none.
    monkeypatch.setattr("runtime.agent_link.AgentLink.interval_s", 0.0)


async def told(world: World, which: Callable[[ConnectionRecord], bool], *, opened: bool = False) -> ConnectionRecord:
    """Waits for a record and returns it."""
    nth = 1
    while True:
        message = await world.controller.wait_for(Records, nth=nth)
        nth += 1
        for record in message.opened if opened else message.records:
            if which(record):
                return record


async def a_flow(world: World, echo: tuple[str, int]) -> Streams:
    world.edge.targets[HOST, 80] = echo
    code, streams = await socks(world, HOST, 80)
    assert code == 0
    return streams


async def test_a_flow_is_told_from_its_start_to_its_end(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(HOST)) as world:
        streams = await a_flow(world, echo)
        begun = await told(world, lambda record: True, opened=True)
        assert (begun.reporter, begun.device, begun.user) == ("client", DEVICE, USER)
        assert (begun.host, begun.port, begun.transport, begun.resource) == (HOST, 80, "tcp", resource_id(1))
        assert (begun.connector, begun.relay, begun.path) == (world.edge.connector, world.edge.relay, "relay")
        assert begun.grants == (GRANT,)
        assert begun.token.startswith("tok_")
        await exchange(streams, b"x" * 1000)
        grown = await told(world, lambda record: record.bytes_down == 1000, opened=True)
        assert (grown.bytes_up, grown.flow, grown.started_ms) == (1000, begun.flow, begun.started_ms)
        (shown,) = (await world.ask("status"))["connections"]
        assert (shown["host"], shown["bytes_up"], shown["bytes_down"]) == (HOST, 1000, 1000)
        await close(streams)
        ended = await told(world, lambda record: True)
        assert replace(ended, ended_ms=0) == replace(grown, ended_ms=0, outcome=ended.outcome)
        assert ended.outcome == "normal"
        (closed,) = [item for item in (await world.ask("events", n=50))["events"] if item["kind"] == "closed"]
        assert (closed["bytes_up"], closed["bytes_down"]) == (1000, 1000)


async def test_what_policy_ends_is_told_with_its_reason_and_bytes(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(HOST)) as world:
        streams = await a_flow(world, echo)
        await exchange(streams, b"x" * 10)
        await world.push(entry("other.corp.internal", 2))
        record = await told(world, lambda record: True)
        assert (record.outcome, record.bytes_up, record.bytes_down) == ("access_revoked", 10, 10)
        (cut,) = [item for item in (await world.ask("events", n=50))["events"] if item["kind"] == "cut"]
        assert (cut["bytes_up"], cut["bytes_down"]) == (10, 10)
        streams[1].transport.abort()


async def test_a_client_says_when_its_life_began_and_what_was_open_at_its_end(tmp_path: Path) -> None:
    async with service() as echo:
        async with online(tmp_path, entry(HOST)) as world:
            streams = await a_flow(world, echo)
            await told(world, lambda record: True, opened=True)
            (life,) = set(world.controller.lives)
        # The daemon has ended, and has told the end of the flow before.
        record = await told(world, lambda record: True)
        assert record.outcome == "shutting_down"
        assert life <= record.started_ms <= record.ended_ms
        streams[1].transport.abort()


async def test_records_wait_for_the_controller_and_come_once_it_is_back(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(HOST)) as world:
        world.controller.refuse = (503, {})
        streams = await a_flow(world, echo)
        world.controller.drop()
        await exchange(streams, b"x")
        await close(streams)
        async with asyncio.timeout(60):
            while (await status(world))["records"]["waiting"] == 0:
                await asyncio.sleep(0.02)
        world.controller.refuse = None
        assert (await told(world, lambda record: record.bytes_up == 1)).outcome == "normal"


async def status(world: World) -> dict[str, Any]:
    return await world.ask("status")


async def test_what_never_opened_is_told_once(tmp_path: Path) -> None:
    narrow = entry(HOST, ports=Ports(tcp=(PortRange(443, 443),)))
    async with online(tmp_path, narrow) as world:
        _, streams = await socks(world, HOST, 80)
        await close(streams)
        record = await told(world, lambda record: True)
        assert (record.outcome, record.connector, record.bytes_up) == ("port_not_allowed", None, 0)
        async with asyncio.timeout(60):
            while (await status(world))["records"] != {"waiting": 0, "dropped": 0}:
                await asyncio.sleep(0.02)
        assert [len(message.records) for message in world.controller.seen(Records) if message.records] == [1]


def refusing(clock: ManualClock) -> Gateway:
    denials = Denials(clock, entry=lambda _: None, revision=lambda: NO_REVISION)
    return Gateway(cast(Any, None), FlowRegistry(), denials, clock)


def refuse(gateway: Gateway, host: str) -> None:
    gateway.denials.refused(Denial(host, Transport.TCP, 443, Reason.NO_GRANT))


def test_t9_refusals_wait_with_the_flows_and_what_is_lost_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_records, "RECORDS_MAX", 3)
    gateway = refusing(ManualClock())
    queue = gateway.records.queue
    gateway.records.adopt(DEVICE, USER)
    for number in range(5):
        refuse(gateway, f"host-{number}")
    assert (len(queue), queue.dropped) == (3, 2)
    assert [(item.device, item.user, item.host) for item in queue.next_batch().records] == [
        (DEVICE, USER, f"host-{number}") for number in (2, 3, 4)
    ]


def test_a_refusal_that_is_repeated_is_recorded_anew_after_a_while() -> None:
    clock = ManualClock()
    gateway = refusing(clock)
    gateway.records.adopt(DEVICE, USER)
    for pause_s in (0, 9, 9, 11):
        clock.advance(pause_s)
        refuse(gateway, HOST)
    assert len(gateway.records.queue) == 2


def test_t9_refusals_of_one_identity_are_never_anothers() -> None:
    gateway = refusing(ManualClock())
    refuse(gateway, "nobody-yet")
    gateway.records.adopt(DEVICE, USER)
    refuse(gateway, HOST)
    gateway.records.adopt(DEVICE, USER)
    assert len(gateway.records.queue) == 1
    gateway.records.adopt(DeviceId("dev_other"), USER)
    assert (len(gateway.records.queue), gateway.records.queue.dropped) == (0, 1)


async def test_t9_a_refusal_just_before_the_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = entry(HOST, ports=Ports(tcp=(PortRange(443, 443),)))
    monkeypatch.setattr(flow_records, "PAUSE_S", 60.0)
    async with online(tmp_path, narrow) as world:
        _, streams = await socks(world, HOST, 80)
        await close(streams)
        assert (await status(world))["records"]["waiting"] == 1
    assert (await told(world, lambda record: True)).outcome == "port_not_allowed"


async def test_t9_what_is_refused_while_nobody_is_signed_in_waits_for_the_sign_in(tmp_path: Path) -> None:
    async with client_world(tmp_path) as world:
        world.strict_dns = True
        world.sign_in()
        load_or_create_key(world.settings.state_dir)
        async with running_daemon(world):
            async with asyncio.timeout(60):
                while not world.controller.connected:
                    await asyncio.sleep(0.01)
            await world.push(entry(HOST))
        world.store().sign_out()
        async with running_daemon(world):
            _, streams = await socks(world, HOST, 80)
            await close(streams)
            assert (await status(world))["records"]["waiting"] == 1
