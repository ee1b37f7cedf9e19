"""What happened to this host's connections: noted as it happens, told by the control socket, bounded."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from client_world import World, entry, online
from proxy_user import close, service, socks

from client.core.classify import Target
from client.daemon.activity import KEPT, WHOLE_HOLD_S, Activity
from client.daemon.denials import Denials
from protocol.acl.model import PortRange, Ports, Transport
from protocol.errors import RefusedError
from protocol.ids import NO_REVISION, FlowId
from protocol.reasons import Reason
from runtime.clock import ManualClock, SystemClock
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


async def ends_of_held(world: World, wanted: int) -> list[tuple[str, str]]:
    """Waits until so many attempts have ended; returns kind and reason of each end, in the order of the attempts."""
    async with asyncio.timeout(60):
        while True:
            found = await happened(world)
            held = [item["flow"] for item in found if item["kind"] == "held"]
            ends = [item for item in found if item.get("flow") in held and item["kind"] in ENDS]
            if len(held) >= wanted and len(ends) >= len(held):
                break
            await asyncio.sleep(0.02)
    assert sorted(item["flow"] for item in ends) == sorted(held), "one end each"
    by_flow = {item["flow"]: item for item in ends}
    return [(by_flow[flow]["kind"], by_flow[flow].get("reason", "")) for flow in held]


ENDS = ("allowed", "denied", "cancelled")
FLOW = FlowId("flow_1")
TARGET = Target("wiki.corp.internal", Transport.TCP, 80, entry("wiki.corp.internal"))


async def test_each_attempt_that_is_refused_ends_although_the_same_was_refused_just_before(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        world.edge.refuse_open["tcp"] = Reason.CONNECTION_REFUSED
        for _ in range(3):
            _, streams = await socks(world, "wiki.corp.internal", 80)
            await close(streams)
        assert await ends_of_held(world, 3) == [("denied", "connection_refused")] * 3
        (refusal,) = (await world.ask("status"))["denials"]
        assert refusal["count"] == 3, "and is one refusal, counted"


async def test_an_attempt_that_the_application_gives_up_ends_as_cancelled(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry("wiki.corp.internal")) as world:
        world.edge.delay_proof_s = 0.3
        world.edge.targets["wiki.corp.internal", 80] = echo
        reader, writer = await asyncio.open_connection(*world.proxy)
        writer.write(b"\x05\x01\x00")
        assert await reader.readexactly(2) == b"\x05\x00"
        writer.write(b"\x05\x01\x00\x03\x12wiki.corp.internal\x00\x50")
        async with asyncio.timeout(60):
            while not [item for item in await happened(world) if item["kind"] == "held"]:
                await asyncio.sleep(0.02)
        writer.transport.abort()
        assert await ends_of_held(world, 1) == [("cancelled", "cancelled")]


def kinds(activity: Activity) -> list[tuple[str, str | None, Reason | None]]:
    return [(item.kind, item.flow, item.reason) for item in activity.last(10)]


async def let_go(activity: Activity, how: str) -> None:
    """A task that holds an attempt, and ends so."""

    async def hold() -> None:
        activity.flow("held", TARGET, FLOW)
        if how == "crash":
            raise ValueError(how)
        if how == "cancel":
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await asyncio.wait((task,), timeout=None if how != "cancel" else 0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("how", "reason"), [("return", Reason.CANCELLED), ("cancel", Reason.CANCELLED), ("crash", Reason.INTERNAL)]
)
async def test_a_task_that_ends_without_a_word_has_given_its_attempt_up(how: str, reason: Reason) -> None:
    activity = Activity(SystemClock())
    await let_go(activity, how)
    assert kinds(activity) == [("held", FLOW, None), ("cancelled", FLOW, reason)]


async def test_what_was_held_to_the_end_of_its_time_says_so() -> None:
    clock = ManualClock()
    activity = Activity(clock)

    async def hold() -> None:
        activity.flow("held", TARGET, FLOW)
        clock.advance(WHOLE_HOLD_S)

    await asyncio.create_task(hold())
    await asyncio.sleep(0)
    assert kinds(activity)[1:] == [("cancelled", FLOW, Reason.TIMEOUT)]


async def test_an_attempt_whose_policy_changed_while_it_was_held_is_denied_once() -> None:
    denials = Denials(SystemClock(), entry=lambda _: None, revision=lambda: NO_REVISION)

    async def hold() -> None:
        denials.activity.flow("held", TARGET, FLOW)
        denials.cut("db.corp.internal", Transport.TCP, 80, Reason.ACCESS_REVOKED, TARGET.resource)
        denials.cut(TARGET.host, TARGET.transport, TARGET.port, Reason.ACCESS_REVOKED, TARGET.resource)

    await asyncio.create_task(hold())
    await asyncio.sleep(0)
    assert kinds(denials.activity) == [
        ("held", FLOW, None),
        ("cut", None, Reason.ACCESS_REVOKED),
        ("denied", FLOW, Reason.ACCESS_REVOKED),
    ]


async def test_another_identity_is_not_told_how_an_attempt_of_the_last_one_ended() -> None:
    activity = Activity(SystemClock())

    async def hold() -> None:
        activity.flow("held", TARGET, FLOW)
        activity.forget()

    await asyncio.create_task(hold())
    await asyncio.sleep(0)
    assert kinds(activity) == []


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
