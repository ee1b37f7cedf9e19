"""What happened to this host's connections: noted as it happens, told by the control socket, bounded."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from client_world import World, entry, online
from proxy_user import close, service, socks

from client.daemon.activity import KEPT, Activity
from protocol.acl.model import PortRange, Ports
from protocol.errors import RefusedError
from protocol.reasons import Reason
from runtime.clock import SystemClock
from runtime.status_socket import call


async def happened(world: World) -> list[dict[str, Any]]:
    found = (await world.ask("events", n=100))["events"]
    return [item for item in found if item["kind"] != "state"]


async def test_a_connection_is_held_then_allowed_then_closed(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry("wiki.corp.internal")) as world:
        world.edge.targets["wiki.corp.internal", 80] = echo
        _, streams = await socks(world, "wiki.corp.internal", 80)
        await close(streams)
        async with asyncio.timeout(60):
            while len(found := await happened(world)) < 3:
                await asyncio.sleep(0.02)
        assert [item["kind"] for item in found] == ["held", "allowed", "closed"]
        assert {item["flow"] for item in found} == {found[0]["flow"]}
        assert found[1]["resource_name"] == "thing 1"
        assert found[1]["connector"] == world.edge.connector
        assert (found[1]["host"], found[1]["port"], found[1]["transport"]) == ("wiki.corp.internal", 80, "tcp")


async def test_a_denial_says_why_and_what_to_do(tmp_path: Path) -> None:
    narrow = entry("wiki.corp.internal", ports=Ports(tcp=(PortRange(443, 443),)))
    async with online(tmp_path, narrow) as world:
        _, streams = await socks(world, "wiki.corp.internal", 80)
        await close(streams)
        (found,) = await happened(world)
        assert (found["kind"], found["reason"]) == ("denied", "port_not_allowed")
        assert found["next"] == Reason.PORT_NOT_ALLOWED.next_step


async def test_a_connection_that_policy_ends_is_cut_with_the_reason(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry("wiki.corp.internal")) as world:
        world.edge.targets["wiki.corp.internal", 80] = echo
        _, streams = await socks(world, "wiki.corp.internal", 80)
        await world.push(entry("other.corp.internal", 2))
        cut = [item for item in await happened(world) if item["kind"] == "cut"]
        assert [item["reason"] for item in cut] == ["access_revoked"]
        streams[1].transport.abort()


async def test_followers_get_the_past_and_then_what_comes(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal", ports=Ports(tcp=(PortRange(1, 1),)))) as world:
        seen: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        following = asyncio.create_task(
            call(world.settings.socket, "events", {"n": 50, "follow": True}, deadline_s=None, on_event=seen.put_nowait)
        )
        async with asyncio.timeout(60):
            while (await seen.get()).get("state") != "online":
                pass
            _, streams = await socks(world, "wiki.corp.internal", 80)
            await close(streams)
            while (item := await seen.get())["kind"] == "state":
                pass
        assert item["kind"] == "denied"
        following.cancel()


async def test_the_newest_of_some_kinds_are_found_behind_others(tmp_path: Path) -> None:
    narrow = entry("wiki.corp.internal", ports=Ports(tcp=(PortRange(443, 443),)))
    async with online(tmp_path, narrow) as world:
        _, streams = await socks(world, "wiki.corp.internal", 80)
        await close(streams)
        await world.ask("down")
        assert [item["kind"] for item in (await world.ask("events", n=1))["events"]] == ["state"]
        found = (await world.ask("events", n=1, kinds=["denied", "cut"]))["events"]
        assert [item["kind"] for item in found] == ["denied"]
        for wrong in ("denied", [1]):
            with pytest.raises(RefusedError, match="kinds"):
                await world.ask("events", kinds=wrong)


def test_the_list_is_bounded_and_a_slow_follower_loses_lines() -> None:
    activity = Activity(SystemClock())
    with activity.watching() as queue:
        for number in range(2 * KEPT):
            activity.state(f"state {number}")
        assert len(activity.last(10 * KEPT)) == KEPT
        assert queue.qsize() <= KEPT
    activity.state("after")
    assert queue.qsize() <= KEPT
    assert activity.last(1)[0].number == 2 * KEPT + 1
    activity.forget()
    assert activity.last(1) == []
