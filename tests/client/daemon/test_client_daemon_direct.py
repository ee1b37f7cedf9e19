"""Direct ways: who answers at a connector's own address gets the new flows, and whatever goes wrong there costs none."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from client_edge import Edge, serve_directly
from client_world import World, entry, online
from proxy_user import close, exchange, service, socks

from client.core import direct
from client.daemon import improvement
from protocol import direct as wire
from runtime import direct_leg, upstream_proxy
from runtime.sockets import connect_one

WIKI = ("wiki.corp.internal", 80)


@pytest.fixture(autouse=True)
def loopback_counts_as_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "may_be_direct", lambda _: True)


@asynccontextmanager
async def office(folder: Path) -> AsyncIterator[World]:
    """A signed-in client, and a wiki behind the connector."""
    async with service() as echo, online(folder, entry(WIKI[0])) as world:
        world.edge.targets[WIKI] = echo
        yield world


async def talk(world: World) -> Any:
    code, streams = await socks(world, *WIKI)
    assert code == 0
    assert await exchange(streams, b"hello") == b"hello"
    return streams


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def path_of(world: World) -> dict[str, Any]:
    explained = await world.ask("explain", host=WIKI[0], port=WIKI[1])
    path: dict[str, Any] = explained["path"]
    return path


async def test_a_connector_within_reach_needs_no_relay(tmp_path: Path) -> None:
    async with office(tmp_path) as world, serve_directly(world.edge) as address:
        world.direct[world.edge.connector] = (address,)
        streams = await talk(world)
        assert len(world.edge.direct) == len(world.edge.tunnels) == 1
        assert world.edge.tickets == []
        assert (await path_of(world))["direct"] == address
        (tunnel,) = (await world.ask("status"))["tunnels"]
        assert (tunnel["path"], tunnel["direct"], tunnel["relay"]) == ("direct", address, None)
        steps = (await world.ask("ping", host=WIKI[0], port=WIKI[1]))["steps"]
        assert [step["name"] for step in steps if step["status"] == "ok"][-3:] == ["direct", "connector", "resource"]
        await close(streams)


async def test_an_address_where_nobody_answers_leads_to_the_relay_and_is_named(tmp_path: Path) -> None:
    async with office(tmp_path) as world:
        address = f"127.0.0.1:{unused_port()}"
        world.direct[world.edge.connector] = (address,)
        streams = await talk(world)
        path = await path_of(world)
        assert (path["path"], path["relay_name"]) == ("relay", "localhost")
        assert path["direct_failures"] == {address: "connection_refused"}
        await close(streams)


async def test_an_address_that_says_nothing_costs_the_head_start_only(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with office(tmp_path) as world:
            world.direct[world.edge.connector] = (f"127.0.0.1:{silent.getsockname()[1]}",)
            streams = await talk(world)
            assert (await path_of(world))["path"] == "relay"
            await close(streams)


async def test_t60_another_key_at_a_direct_address_harms_no_flow_and_is_named(tmp_path: Path) -> None:
    async with office(tmp_path) as world:
        stranger = Edge(world.controller.keys, world.controller.issuer)
        async with serve_directly(stranger) as address:
            world.direct[world.edge.connector] = (address,)
            streams = await talk(world)
            assert len(world.edge.tunnels) == 1
            assert (await path_of(world))["direct_failures"] == {address: "pin_mismatch"}
            assert stranger.proofs == []
            await close(streams)


async def test_new_flows_go_the_better_way_and_old_ones_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "FIRST_PAUSE_S", 0.0)
    async with office(tmp_path) as world:
        port = unused_port()
        world.direct[world.edge.connector] = (f"127.0.0.1:{port}",)
        old = await talk(world)
        assert world.edge.direct == []
        async with serve_directly(world.edge, port):
            async with asyncio.timeout(20):
                while (await path_of(world))["path"] != "direct":
                    await asyncio.sleep(0.05)
            new = await talk(world)
            assert [tunnel.stream_count for tunnel in world.edge.tunnels] == [2, 2]
            assert await exchange(old, b"still") == b"still"
            await close(new, old)


async def test_a_connector_that_begins_to_listen_is_found_while_its_relay_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(improvement, "FIRST_QUESTION_S", 0.0)
    async with office(tmp_path) as world:
        await close(await talk(world))
        async with serve_directly(world.edge) as address:
            world.direct[world.edge.connector] = (address,)
            async with asyncio.timeout(20):
                while (await path_of(world))["path"] != "direct":
                    await asyncio.sleep(0.05)


async def test_when_a_direct_tunnel_dies_the_next_flow_goes_by_the_relay_at_once(tmp_path: Path) -> None:
    async with office(tmp_path) as world:
        async with serve_directly(world.edge) as address:
            world.direct[world.edge.connector] = (address,)
            old = await talk(world)
            assert world.edge.tickets == []
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(old[0].readexactly(1), 5)
        new = await talk(world)
        assert world.edge.tickets == ["ticket"]
        assert (await path_of(world))["path"] == "relay"
        await close(new)


async def test_t53_direct_connections_have_our_mark_and_go_through_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    marks: list[int | None] = []

    async def dial(address: Any, *, mark: int | None = None, segment: int | None = None) -> socket.socket:
        marks.append(mark)
        return await connect_one(address, segment=segment)

    monkeypatch.setattr(direct_leg, "connect_one", dial)
    monkeypatch.setattr(upstream_proxy, "proxy_for", lambda *_: pytest.fail("asked for a proxy"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = wire.parse_direct_untrusted(f"127.0.0.1:{server.getsockname()[1]}")
        leg = await direct_leg.dial_direct(where, mark=29555, deadline_s=5)
        assert marks == [29555]
        leg.abort()
