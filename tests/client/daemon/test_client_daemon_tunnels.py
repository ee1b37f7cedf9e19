"""Tunnels when something goes wrong: silent ones, refused renewals, paths that fail late, tokens that are out of date."""

import asyncio
import time
from pathlib import Path

import pytest
from client_world import World, entry, online
from proxy_user import close, connect, exchange, service, socks

from client.core.classify import Denial
from client.daemon import connector_tunnel, network_watch
from client.daemon.denials import Denials
from protocol.acl.model import Transport
from protocol.control import AccessTokenRequest, Hello, Records
from protocol.ids import Revision
from protocol.reasons import Reason
from runtime.clock import ManualClock
from runtime.controller_clock import ControllerClock

WIKI = ("wiki.corp.internal", 80)


async def test_a_path_whose_proof_is_refused_gives_way_to_the_next(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(WIKI[0]), edges=2) as world:
        world.edges[0].refuse_proof = Reason.TOKEN_KEY_UNKNOWN
        world.edges[1].targets[WIKI] = echo
        code, streams = await socks(world, *WIKI)
        assert code == 0
        assert await exchange(streams, b"hello") == b"hello"
        await close(streams)


async def test_an_opening_on_an_early_tunnel_that_loses_the_race_is_begun_again(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(WIKI[0]), edges=2) as world:
        world.edges[0].delay_proof_s = 3.0
        world.edges[0].targets[WIKI] = world.edges[1].targets[WIKI] = echo
        began = time.monotonic()
        code, streams = await socks(world, *WIKI)
        assert code == 0
        assert time.monotonic() - began < 2.5
        assert await exchange(streams, b"hello") == b"hello"
        assert len(world.edges[1].opened) == 1
        await close(streams)


async def test_a_refused_renewal_leaves_the_tunnel_and_its_flows(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        _, streams = await socks(world, *WIKI)
        world.edge.refuse_proof = Reason.TOKEN_KEY_UNKNOWN
        await world.push(entry(WIKI[0]), entry("10.0.0.1", 2))
        await world.controller.wait_for(AccessTokenRequest, nth=2)
        assert await exchange(streams, b"still") == b"still"
        world.edge.refuse_proof = None
        code, other = await socks(world, *WIKI)
        assert code == 0
        assert len(world.edge.tunnels) == 1
        await close(streams, other)


async def test_t36_a_connector_that_was_removed_is_left_although_it_does_not_obey(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        _, streams = await socks(world, *WIKI)
        world.refuse_access = Reason.NO_CONNECTOR
        await world.push(entry(WIKI[0]))
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(streams[0].readexactly(1), 5)
        world.refuse_access = None
        code, other = await socks(world, *WIKI)
        assert code == 0
        assert len(world.edge.tunnels) == 2
        await close(other)


async def test_f30_a_tunnel_that_died_silently_is_noticed_by_the_next_opening(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        _, streams = await socks(world, *WIKI)
        # The far end stops reading: as when a NAT has forgotten the connection.
        mute(world)
        began = time.monotonic()
        code, other = await socks(world, *WIKI)
        assert code == 0
        assert time.monotonic() - began < connector_tunnel.DOUBT_AFTER_S + connector_tunnel.PROBE_S + 2
        assert len(world.edge.tunnels) == 2
        with pytest.raises(ConnectionResetError):
            await streams[0].readexactly(1)
        await close(other)


def mute(world: World) -> None:
    """The edge's first tunnel hears and says nothing any more, while its sockets stay open."""
    leg = world.edge.tunnels[0]._leg  # type: ignore[attr-defined]
    leg.pause_reading()


async def test_t36_a_token_older_than_the_policy_is_replaced_before_a_new_flow(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        _, streams = await socks(world, *WIKI)
        await world.push()
        await world.push(entry(WIKI[0]))
        code, other = await socks(world, *WIKI)
        assert code == 0
        assert world.edge.proofs[-1].revision == world.revision
        streams[1].close()
        await close(other)


async def test_a_connector_that_is_a_moment_behind_is_asked_again(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        world.edge.refuse_open["tcp"] = Reason.CONNECTOR_NOT_ALLOWED

        async def catch_up() -> None:
            while not world.edge.opened:
                await asyncio.sleep(0.01)
            world.edge.refuse_open.clear()

        catching = asyncio.ensure_future(catch_up())
        code, streams = await socks(world, *WIKI)
        await catching
        assert code == 0
        await close(streams)


async def test_a_draining_connector_gets_no_new_flows_and_keeps_the_old_ones(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        _, streams = await socks(world, *WIKI)
        world.edge.tunnels[0].go_away(Reason.SHUTTING_DOWN)
        await asyncio.sleep(0.1)
        code, other = await socks(world, *WIKI)
        assert code == 0
        assert len(world.edge.tunnels) == 2
        assert await exchange(streams, b"old") == b"old"
        await close(streams, other)


async def test_an_expired_access_token_without_the_controller_refuses_truthfully(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        world.access_life_s = 3
        _, streams = await socks(world, *WIKI)
        world.controller.refuse = (503, {})
        world.controller.drop()
        await asyncio.sleep(3.2)
        head, other = await connect(world, "wiki.corp.internal:80")
        assert "Ostiary-Reason: controller_unreachable" in head
        assert await exchange(streams, b"old") == b"old"
        await close(streams, other)


async def test_f31_records_are_sent_until_they_are_stored(tmp_path: Path) -> None:
    async with online(tmp_path, entry(WIKI[0])) as world:
        world.controller.accept_records = False
        world.refuse_authorise = Reason.NO_CONNECTOR
        _, streams = await connect(world, "wiki.corp.internal:80")
        first = await world.controller.wait_for(Records)
        world.controller.accept_records = True
        second = await world.controller.wait_for(Records, nth=2, deadline_s=20)
        assert first.records == second.records
        record = first.records[0]
        assert (record.outcome, record.reporter, record.connector) == ("no_connector", "client", None)
        assert record.device.startswith("dev_")
        await close(streams)


def denial(host: str, reason: Reason = Reason.NO_GRANT) -> Denial:
    return Denial(host, Transport.TCP, 443, reason)


async def test_a_repeated_refusal_is_counted_once() -> None:
    clock = ManualClock()
    denials = Denials(clock, entry=lambda _: None, revision=lambda: Revision(1))
    for _ in range(5):
        denials.refused(denial("a"))
        clock.advance(1)
    denials.refused(denial("b"))
    denials.refused(denial("a", Reason.GRANT_EXPIRED))
    assert [(item.host, item.reason, item.count) for item in denials.recent(9)] == [
        ("b", Reason.NO_GRANT, 1),
        ("a", Reason.GRANT_EXPIRED, 1),
        ("a", Reason.NO_GRANT, 5),
    ]
    assert denials.total == 7
    clock.advance(60)
    denials.refused(denial("a"))
    assert len(denials.recent(9)) == 4


async def test_the_list_of_refusals_is_bounded() -> None:
    denials = Denials(ManualClock(), entry=lambda _: None, revision=lambda: Revision(1))
    for number in range(5_000):
        denials.refused(denial(f"host-{number}"))
    assert len(denials.recent(10_000)) <= 200
    assert denials.find("host-4999", Transport.TCP, 443) is not None
    assert denials.find("host-1", Transport.TCP, 443) is None


async def test_f17_after_a_change_of_the_network_a_dead_tunnel_is_given_up_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = ["192.0.2.7"]
    monkeypatch.setattr(network_watch, "own_addresses", lambda _: tuple(address))
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        _, streams = await socks(world, *WIKI)
        mute(world)
        address[0] = "198.51.100.7"
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(streams[0].readexactly(1), 5)
        await world.controller.wait_for(Hello, nth=2)


async def test_f17_a_tunnel_that_answers_survives_a_change_of_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = ["192.0.2.7"]
    monkeypatch.setattr(network_watch, "own_addresses", lambda _: tuple(address))
    async with service() as echo, online(tmp_path, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        _, streams = await socks(world, *WIKI)
        address[0] = "198.51.100.7"
        await world.controller.wait_for(Hello, nth=2)
        await asyncio.sleep(0.3)
        assert await exchange(streams, b"still") == b"still"
        await close(streams)


def test_f18_a_gap_in_time_is_noticed() -> None:
    clock = ManualClock()
    watch = network_watch.NetworkWatch(clock.monotonic, lambda: ("192.0.2.7",))
    clock.advance(1)
    assert watch.look() is None
    clock.advance(600)
    assert watch.look() == "600 s went by unseen"
    assert watch.look() is None


def test_the_addresses_are_those_that_the_kernel_would_use() -> None:
    assert len(network_watch.own_addresses(None)) == 2


def test_f17_only_a_usable_new_address_counts() -> None:
    seen: list[str | None] = ["192.0.2.7"]
    watch = network_watch.NetworkWatch(ManualClock().monotonic, lambda: tuple(seen))
    seen[0] = None
    assert watch.look() is None
    seen[0] = "192.0.2.7"
    assert watch.look() == "own addresses"


def test_f13_somebody_sets_the_wall_clock_and_the_controllers_time_goes_on() -> None:
    local = ManualClock()
    clock = ControllerClock(local, local.monotonic)
    clock.learn(2.0, fresh=True)
    assert clock.wall() == pytest.approx(local.wall() + 2)
    true = clock.wall()
    local.jump_wall(86_400)
    assert clock.wall() == pytest.approx(true)
    clock.learn(2.0, fresh=False)  # a sample of the time before
    assert clock.wall() == pytest.approx(true)
    local.advance(30)
    clock.learn(2.0 - 86_400, fresh=False)
    assert clock.wall() == pytest.approx(true + 30)


def test_f13_a_fresh_measurement_counts_at_once() -> None:
    local = ManualClock()
    clock = ControllerClock(local, local.monotonic)
    clock.learn(0.0, fresh=True)
    true = clock.wall()
    local.jump_wall(-3600)
    clock.learn(3600.0, fresh=True)
    assert clock.wall() == pytest.approx(true)
