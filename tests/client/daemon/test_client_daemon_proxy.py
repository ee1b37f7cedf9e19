"""The whole daemon in proxy mode: from a program's SOCKS or CONNECT to the resource, and every way to be refused."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from client_world import World, entry, online
from proxy_user import close, connect, exchange, service, socks

from protocol.acl.model import PortRange, Ports
from protocol.control import AccessTokenRequest, AuthoriseRequest, Records
from protocol.reasons import Reason


async def test_socks_reaches_a_resource_by_name(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry("wiki.corp.internal")) as world:
        world.edge.targets[("wiki.corp.internal", 80)] = echo
        code, streams = await socks(world, "wiki.corp.internal", 80)
        assert code == 0
        assert await exchange(streams, b"hello") == b"hello"
        status = await world.ask("status")
        assert status["flows"] == 1
        assert status["tunnels"][0]["flows"] == 1
        await close(streams)


async def test_the_first_opening_travels_right_behind_the_proof(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry("wiki.corp.internal")) as world:
        world.edge.targets[("wiki.corp.internal", 80)] = echo
        world.edge.delay_proof_s = 0.2
        code, streams = await socks(world, "wiki.corp.internal", 80)
        assert code == 0
        assert world.edge.early == 1
        await close(streams)


async def test_a_warm_tunnel_asks_the_controller_nothing(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry("wiki.corp.internal")) as world:
        world.edge.targets[("wiki.corp.internal", 80)] = echo
        for _ in range(3):
            _, streams = await socks(world, "wiki.corp.internal", 80)
            assert await exchange(streams, b"x" * 70_000) == b"x" * 70_000
            await close(streams)
        assert len(world.controller.seen(AuthoriseRequest)) == 1
        assert len(world.controller.seen(AccessTokenRequest)) == 1
        assert len(world.edge.tunnels) == 1


async def test_many_connections_at_once_share_one_tunnel(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry("wiki.corp.internal")) as world:
        world.edge.targets[("wiki.corp.internal", 80)] = echo
        found = await asyncio.gather(*(socks(world, "wiki.corp.internal", 80) for _ in range(20)))
        assert [code for code, _ in found] == [0] * 20
        assert len(world.edge.tunnels) == 1
        await close(*(streams for _, streams in found))


async def test_http_connect_reaches_an_address_in_a_network(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry("10.20.0.0/24")) as world:
        world.edge.targets[("10.20.0.9", 22)] = echo
        head, streams = await connect(world, "10.20.0.9:22")
        assert head.startswith("HTTP/1.1 200 ")
        assert await exchange(streams, b"hello") == b"hello"
        await close(streams)


async def test_what_is_no_resource_is_dialled_directly(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry("wiki.corp.internal")) as world:
        code, streams = await socks(world, "localhost", echo[1])
        assert code == 0
        assert await exchange(streams, b"direct") == b"direct"
        assert world.edge.opened == []
        await close(streams)


async def test_a_port_outside_the_resource_is_refused_here_and_recorded(tmp_path: Path) -> None:
    only_80 = Ports(tcp=(PortRange(80, 80),))
    async with online(tmp_path, entry("wiki.corp.internal", ports=only_80)) as world:
        head, streams = await connect(world, "wiki.corp.internal:81")
        assert head.startswith("HTTP/1.1 403 ")
        assert "Ostiary-Reason: port_not_allowed" in head
        code, other = await socks(world, "wiki.corp.internal", 81)
        assert code == 2
        assert world.edge.opened == []
        records = await world.controller.wait_for(Records)
        assert [(item.outcome, item.port, item.reporter) for item in records.records] == [
            ("port_not_allowed", 81, "client")
        ]
        shown = (await world.ask("status"))["denials"][0]
        assert (shown["reason"], shown["count"]) == ("port_not_allowed", 2)
        await close(streams, other)


@pytest.mark.parametrize(
    ("reason", "code", "status"),
    [
        (Reason.CONNECTION_REFUSED, 5, "502"),
        (Reason.CONNECT_TIMEOUT, 4, "504"),
        (Reason.EGRESS_FORBIDDEN, 2, "403"),
        (Reason.NETWORK_UNREACHABLE, 3, "502"),
    ],
)
async def test_what_the_connector_refuses_is_told_truthfully(
    tmp_path: Path, reason: Reason, code: int, status: str
) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        world.edge.refuse_open["tcp"] = reason
        told, streams = await socks(world, "wiki.corp.internal", 80)
        assert told == code
        head, other = await connect(world, "wiki.corp.internal:80")
        assert head.startswith(f"HTTP/1.1 {status} ")
        assert f"Ostiary-Reason: {reason.code}" in head
        await close(streams, other)


async def refused_with(world: World, reason: Reason) -> None:
    head, streams = await connect(world, "wiki.corp.internal:80")
    assert f"Ostiary-Reason: {reason.code}\r\n" in head, head
    await close(streams)


async def test_the_controllers_refusal_is_told(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        world.refuse_authorise = Reason.NO_CONNECTOR
        await refused_with(world, Reason.NO_CONNECTOR)


async def test_a_wrong_pin_stops_everything(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal"), edges=2) as world:
        world.paths = [world.edge.path(pin=world.edges[1].pin)]
        await refused_with(world, Reason.PIN_MISMATCH)
        assert world.edge.opened == []


async def test_a_refused_proof_is_told(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        world.edge.refuse_proof = Reason.PROOF_INVALID
        await refused_with(world, Reason.PROOF_INVALID)


async def test_the_second_path_serves_when_the_first_relay_says_no(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry("wiki.corp.internal"), edges=2) as world:
        world.edges[0].refuse_leg = Reason.CONNECTOR_NOT_ATTACHED
        world.edges[1].targets[("wiki.corp.internal", 80)] = echo
        code, streams = await socks(world, "wiki.corp.internal", 80)
        assert code == 0
        await close(streams)


async def test_the_second_path_races_a_first_one_that_hangs(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry("wiki.corp.internal"), edges=2) as world:
        world.edges[0].hold_legs = True
        world.edges[1].targets[("wiki.corp.internal", 80)] = echo
        began = asyncio.get_running_loop().time()
        code, streams = await socks(world, "wiki.corp.internal", 80)
        assert code == 0
        assert asyncio.get_running_loop().time() - began < 3
        await close(streams)


async def with_flow(world: World, then: Callable[[], Awaitable[None]]) -> str:
    """Opens a connection, does something, and returns how the connection ended."""
    _, (reader, writer) = await socks(world, "wiki.corp.internal", 80)
    assert await exchange((reader, writer), b"hello") == b"hello"
    await then()
    try:
        data = await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        return "reset"
    finally:
        writer.close()
    return f"end after {data!r}"


async def test_t36_a_new_snapshot_resets_what_it_does_not_allow(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry("wiki.corp.internal"), entry("10.0.0.1", 2)) as world:
        world.edge.targets[("wiki.corp.internal", 80)] = echo
        assert await with_flow(world, lambda: world.push(entry("10.0.0.1", 2))) == "reset"
        assert (await world.ask("status"))["denials"][0]["reason"] == "access_revoked"


async def test_a_lost_tunnel_resets_its_flows_and_the_next_one_is_made(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry("wiki.corp.internal")) as world:
        world.edge.targets[("wiki.corp.internal", 80)] = echo

        async def lose() -> None:
            world.edge.tunnels[0].close(Reason.SHUTTING_DOWN)

        assert await with_flow(world, lose) == "reset"
        code, streams = await socks(world, "wiki.corp.internal", 80)
        assert code == 0
        assert len(world.edge.tunnels) == 2
        await close(streams)


async def test_c24_new_flows_work_without_the_controller_while_the_token_lives(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry("wiki.corp.internal")) as world:
        world.edge.targets[("wiki.corp.internal", 80)] = echo
        _, first = await socks(world, "wiki.corp.internal", 80)
        world.controller.refuse = (503, {})
        world.controller.drop()
        await asyncio.sleep(0)
        code, streams = await socks(world, "wiki.corp.internal", 80)
        assert code == 0
        assert await exchange(first, b"still") == b"still"
        await close(first, streams)


async def test_c24_the_lease_ends_flows_and_refuses_new_ones(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry("wiki.corp.internal", lease_s=1)) as world:
        world.edge.targets[("wiki.corp.internal", 80)] = echo

        async def away() -> None:
            world.controller.refuse = (503, {})
            world.controller.drop()

        assert await with_flow(world, away) == "reset"
        await refused_with(world, Reason.LEASE_EXPIRED)


async def test_the_token_is_renewed_on_the_tunnel_under_a_live_flow(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry("wiki.corp.internal")) as world:
        world.edge.targets[("wiki.corp.internal", 80)] = echo
        world.access_life_s = 5
        _, streams = await socks(world, "wiki.corp.internal", 80)
        async with asyncio.timeout(60):
            while len(world.edge.proofs) < 2:
                await asyncio.sleep(0.05)
        assert [proof.number for proof in world.edge.proofs] == [1, 2]
        assert await exchange(streams, b"still") == b"still"
        await close(streams)


async def test_a_resource_granted_later_makes_the_client_fetch_a_new_token(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry("wiki.corp.internal")) as world:
        world.edge.targets[("wiki.corp.internal", 80)] = echo
        world.edge.targets[("db.corp.internal", 5432)] = echo
        _, streams = await socks(world, "wiki.corp.internal", 80)
        await world.push(entry("wiki.corp.internal"), entry("db.corp.internal", 2))
        code, other = await socks(world, "db.corp.internal", 5432)
        assert code == 0
        assert len(world.edge.tunnels) == 1
        await close(streams, other)


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x04\x01\x00\x50", b"CONNECT x HTTP/1.1\r\n\r\n", b""]
)
async def test_garbage_is_closed_and_the_proxy_lives(tmp_path: Path, garbage: bytes) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        reader, writer = await asyncio.open_connection(*world.proxy)
        writer.write(garbage)
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 5)
        writer.close()
        assert (await world.ask("status"))["state"] == "online"
