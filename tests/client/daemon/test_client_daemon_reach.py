"""End-to-end checks through to a connector: what status, doctor and ping rest on."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from client_world import CONNECTOR_NAME, World, client_world, entry, online, running_daemon

from client.daemon import dialling, reach
from protocol.acl.model import Entry, PortRange, Ports
from protocol.errors import RefusedError
from protocol.ids import NetworkId
from protocol.reasons import Reason
from runtime.status_socket import call


async def test_status_is_ready_only_after_a_connector_has_answered(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        before = await world.ask("status")
        assert (before["state"], before["health"]) == ("online", "unchecked")
        assert before["networks"][0]["checked"] is None
        after = await world.ask("status", verify_s=10.0)
        assert after["health"] == "ready"
        (network,) = after["networks"]
        assert (network["state"], network["network_name"]) == ("reachable", "office")
        assert network["connector_name"] == CONNECTOR_NAME
        assert network["rtt_ms"] >= 0
        assert len(world.edge.tunnels) == 1


async def test_a_connector_that_refuses_makes_status_unreachable_with_the_reason(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        world.edge.refuse_leg = Reason.CONNECTOR_NOT_ATTACHED
        status = await world.ask("status", verify_s=10.0)
        assert (status["state"], status["health"]) == ("online", "unreachable")
        assert status["networks"][0]["reason"] == "connector_not_attached"
        assert "net_" not in status["networks"][0]["detail"]


async def test_what_was_checked_a_moment_ago_is_not_checked_again(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        first = await world.ask("status", verify_s=10.0, fresh_s=3600)
        again = await world.ask("status", verify_s=10.0, fresh_s=3600)
        assert again["networks"][0]["checked"] >= first["networks"][0]["checked"]
        assert len(world.edge.tunnels) == 1


def network_of(number: int) -> NetworkId:
    return NetworkId(f"net_{number:022d}")


def elsewhere(number: int) -> Entry:
    """A resource in a remote network of its own."""
    item = entry(f"wiki{number}.corp.internal", number)
    return replace(item, resource=replace(item.resource, network=network_of(number)))


async def test_more_networks_than_are_checked_at_once_all_get_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "NETWORKS_MAX", 2)
    async with online(tmp_path, *(elsewhere(number) for number in (1, 2, 3))) as world:
        world.refuse_authorise = Reason.NO_CONNECTOR
        seen = []
        for fresh_s in (3600.0, 3600.0, 0.0, 0.0):
            status = await world.ask("status", verify_s=10.0, fresh_s=fresh_s)
            seen.append({item["network"]: item["checked"] for item in status["networks"]})
        assert [sum(when is not None for when in round_.values()) for round_ in seen] == [2, 3, 3, 3]
        assert all(seen[3][network_of(number)] > seen[1][network_of(number)] for number in (1, 2, 3))


async def test_networks_whose_tunnels_are_gone_do_not_push_the_others_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "NETWORKS_MAX", 1)
    async with online(tmp_path, elsewhere(1), elsewhere(2)) as world:
        reached = []
        for _ in range(3):
            status = await world.ask("status", verify_s=10.0, fresh_s=0.0)
            reached.append(next(item["network"] for item in status["networks"] if item["state"] == "reachable"))
            for tunnel in world.edge.tunnels:
                tunnel.close(Reason.SHUTTING_DOWN)
            async with asyncio.timeout(60):
                while (await world.ask("status"))["tunnels"]:
                    await asyncio.sleep(0.02)
        assert reached[0] != reached[1] != reached[2]


async def test_a_tunnel_that_is_lost_is_no_longer_called_reachable(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        await world.ask("status", verify_s=10.0)
        world.edge.refuse_leg = Reason.CONNECTOR_NOT_ATTACHED
        world.edge.tunnels[0].close(Reason.SHUTTING_DOWN)
        async with asyncio.timeout(60):
            while (status := await world.ask("status"))["health"] == "ready":
                await asyncio.sleep(0.02)
        assert status["networks"][0]["state"] == "unchecked"


async def test_without_resources_nothing_is_claimed(tmp_path: Path) -> None:
    async with online(tmp_path) as world:
        status = await world.ask("status", verify_s=5.0)
        assert (status["state"], status["health"], status["networks"]) == ("online", "no_resources", [])


async def test_a_wait_that_is_no_number_is_refused(tmp_path: Path) -> None:
    async with client_world(tmp_path) as world, running_daemon(world):
        for wrong in (-1, "5", True, float("inf")):
            with pytest.raises(RefusedError) as caught:
                await world.ask("status", verify_s=wrong)
            assert caught.value.reason is Reason.INVALID_INPUT


async def test_ping_times_every_hop_through_to_the_resource(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, online(tmp_path, entry("wiki.corp.internal")) as world:
        world.edge.targets["wiki.corp.internal", 443] = ("127.0.0.1", port)
        told: list[dict[str, Any]] = []
        asked = {"host": "thing 1", "port": 443}
        found = await call(world.settings.socket, "ping", asked, on_event=told.append)
        assert found["ok"], found
        assert told == [{"kind": "step", **step} for step in found["steps"]]
        assert (found["host"], found["port"]) == ("wiki.corp.internal", 443)
        assert [step["name"] for step in found["steps"]] == [
            "policy",
            "controller",
            "tunnel",
            "relay",
            "connector",
            "resource",
        ]
        assert all(step["status"] == "ok" for step in found["steps"])
        assert all(step["ms"] > 0 for step in found["steps"][2:])
        assert CONNECTOR_NAME in found["steps"][4]["sentence"]


async def test_ping_names_the_step_that_fails_and_what_to_do(tmp_path: Path) -> None:
    narrow = entry("wiki.corp.internal", ports=Ports(tcp=(PortRange(443, 443),)))
    async with online(tmp_path, narrow, entry("*.dev.internal", 2)) as world:
        refused = await world.ask("ping", host="wiki.corp.internal", port=80)
        assert not refused["ok"]
        assert [(step["name"], step["reason"]) for step in refused["steps"]] == [("policy", "port_not_allowed")]
        world.edge.refuse_open["tcp"] = Reason.CONNECTION_REFUSED
        closed = await world.ask("ping", host="wiki.corp.internal", port=443)
        assert (closed["ok"], closed["steps"][-1]["reason"]) == (False, "connection_refused")
        assert closed["steps"][-1]["next"] == Reason.CONNECTION_REFUSED.next_step
        with pytest.raises(RefusedError, match="name one host"):
            await world.ask("ping", host="thing 2")


async def test_doctor_names_networks_and_connectors_by_name(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        found = await world.ask("doctor")
        check = next(item for item in found["checks"] if item["name"] == "network office")
        assert check["status"] == "ok"
        assert check["sentence"].startswith(f"{CONNECTOR_NAME} answers through localhost in ")


def fall_silent(world: World) -> None:
    """The connector's process stands still: its sockets stay open, and the relay still holds legs of it."""
    world.edge.tunnels[0]._leg.pause_reading()  # type: ignore[attr-defined]
    world.edge.dead = True


async def test_a_connector_that_fell_silent_is_not_called_reachable_for_what_it_said_before(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        before = await world.ask("status", verify_s=10.0)
        assert before["health"] == "ready"
        fall_silent(world)
        late = await world.ask("status", verify_s=0.3, fresh_s=0.0)
        assert late["health"] == "unchecked", "it is being asked and has not answered"
        assert late["networks"][0]["checked"] == pytest.approx(before["networks"][0]["checked"], abs=0.5)
        told = await world.ask("status", verify_s=5.0, fresh_s=0.0)
        assert told["health"] == "unreachable"
        assert told["networks"][0]["reason"] == "peer_silent"


async def test_a_connector_that_answers_again_is_reachable_again(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        await world.ask("status", verify_s=10.0)
        fall_silent(world)
        await world.ask("status", verify_s=0.3, fresh_s=0.0)
        world.edge.dead = False
        assert (await world.ask("status", verify_s=15.0, fresh_s=0.0))["health"] == "ready"


async def test_doctor_and_ping_blame_the_connector_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialling, "HANDSHAKE_DEADLINE_S", 0.3)
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        await world.ask("status", verify_s=10.0)
        fall_silent(world)
        step = (await world.ask("ping", host="wiki.corp.internal", port=443))["steps"][-1]
        assert (step["name"], step["reason"], step["next"]) == (
            "connector",
            "peer_silent",
            "Check the connector's host.",
        )
        check = (await world.ask("doctor"))["checks"][-1]
        assert (check["name"], check["reason"]) == ("network office", "pairing_timeout")
        assert check["next"] == "Check the connector's host."
        step = (await world.ask("ping", host="wiki.corp.internal", port=443))["steps"][-1]
        assert (step["name"], step["reason"]) == ("tunnel", "pairing_timeout")


async def test_doctor_sends_nobody_to_doctor(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        world.refuse_authorise = Reason.TIMEOUT
        check = (await world.ask("doctor"))["checks"][-1]
        assert (check["status"], check["reason"]) == ("fail", "timeout")
        assert "doctor" not in check["next"]


async def test_after_down_nobody_says_what_is_granted_and_the_next_step_is_up(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        await world.ask("down")
        pinged = await world.ask("ping", host="wiki.corp.internal", port=80)
        assert (pinged["ok"], pinged["host"], pinged["port"]) == (False, "wiki.corp.internal", 80)
        for found in (pinged["steps"], (await world.ask("doctor"))["checks"]):
            failed = [item for item in found if item["status"] == "fail"]
            assert [(item["reason"], item["sentence"], item["next"]) for item in failed] == [
                ("unavailable", "The client is down.", "ostiary up")
            ]
        assert (await world.ask("ping", host="thing 1"))["steps"][-1]["next"] == "ostiary up"
        assert (await world.ask("resources"))["state"] == "down"
        assert (await world.ask("explain", host="wiki.corp.internal", port=80))["state"] == "down"
