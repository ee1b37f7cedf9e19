"""The life of a session through the control socket: what survives a restart, what root alone may do, what is refused."""

import asyncio
import json
from pathlib import Path

import pytest
from client_world import SESSION, World, client_world, entry, online, resource_id, running_daemon

from client.host.keys import load_key
from protocol.control import Enforced, Goodbye, Hello, PushSnapshot, Revoked, SignOut
from protocol.errors import RefusedError
from protocol.ids import SessionId
from protocol.reasons import Reason


async def test_a_fresh_daemon_says_what_it_needs(tmp_path: Path) -> None:
    async with client_world(tmp_path) as world, running_daemon(world):
        status = await world.ask("status")
        assert status["state"] == "not_configured"
        assert (status["user"], status["tunnels"], status["revision"]) == (None, [], None)
        with pytest.raises(RefusedError) as caught:
            await world.ask("up")
        assert caught.value.reason is Reason.CONFIG_INVALID


async def test_the_snapshot_is_confirmed_and_shown(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal"), entry("10.0.0.0/8", 2)) as world:
        shown = await world.ask("resources")
        assert [item["address"] for item in shown["resources"]] == ["wiki.corp.internal", "10.0.0.0/8"]
        assert shown["resources"][0]["network_name"] == "office"
        status = await world.until("online")
        assert (status["user"], status["revision"], status["mode"]) == ("Grace", 2, "proxy")
        confirmed = world.controller.seen(Enforced)[-1]
        assert (confirmed.epoch, confirmed.revision, len(confirmed.digest)) == (1, 2, 43)


async def test_t8_an_older_snapshot_is_refused(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        old = world.snapshot()
        await world.push()
        await world.controller.push(PushSnapshot(old))
        await world.push(entry("10.0.0.1", 2))
        assert (await world.ask("resources"))["resources"][0]["address"] == "10.0.0.1"
        assert [item.revision for item in world.controller.seen(Enforced)] == [2, 3, 4]


async def test_a_higher_epoch_may_begin_at_a_lower_revision(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        world.epoch, world.revision = 2, 0
        await world.controller.push(PushSnapshot(world.snapshot()))
        await world.controller.wait_for(Enforced, nth=2)
        assert (await world.ask("status"))["epoch"] == 2


async def test_a_snapshot_for_another_device_is_refused(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        other = world.controller.issuer
        world.controller.issuer = "ctl_somebody_else"
        await world.controller.push(PushSnapshot(world.snapshot()))
        world.controller.issuer = other
        await world.push(entry("wiki.corp.internal"))
        assert len(world.controller.seen(Enforced)) == 2


async def restarted(world: World) -> dict[str, object]:
    """Starts the daemon with the controller away; returns its resources."""
    world.controller.refuse = (503, {})
    async with running_daemon(world):
        return await world.ask("resources")


async def test_the_snapshot_survives_a_restart(tmp_path: Path) -> None:
    async with client_world(tmp_path) as world:
        world.sign_in()
        async with running_daemon(world):
            await world.controller.wait_for(Hello)
            await world.push(entry("wiki.corp.internal"))
        again = await restarted(world)
        assert again["revision"] == 2
        await world.controller.wait_for(Goodbye)


async def test_t57_an_edited_or_exchanged_snapshot_is_not_used(tmp_path: Path) -> None:
    async with client_world(tmp_path) as world:
        world.sign_in()
        async with running_daemon(world):
            await world.controller.wait_for(Hello)
            await world.push(entry("wiki.corp.internal"))
            yesterdays = world.store().snapshot()
            await world.push(entry("10.0.0.1", 2))
        path = world.settings.state_dir / "snapshot.jws"
        good = path.read_text()
        assert yesterdays is not None
        head, body, signature = good.split(".")
        flipped = "A" if body[40] != "A" else "B"
        for bad in (yesterdays, f"{head}.{body[:40]}{flipped}{body[41:]}.{signature}", "", "nonsense"):
            path.write_text(bad)
            assert (await restarted(world))["revision"] is None, bad[:30]
        path.write_text(good)
        assert (await restarted(world))["revision"] == 3


async def test_a_revoked_device_is_cut_and_must_sign_in(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        await world.controller.push(Revoked(Reason.DEVICE_REVOKED.code))
        status = await world.until("sign_in_required")
        assert status["tunnels"] == []
        assert world.store().snapshot() is None
        left = world.store().identity()
        assert left is not None
        assert not left.signed_in


async def test_t55_after_the_session_names_stay_recognised_and_are_refused(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        await world.controller.push(Revoked(Reason.SESSION_ENDED.code))
        await world.until("sign_in_required")
        told = await world.ask("explain", host="wiki.corp.internal", port=80, transport="tcp")
        assert (told["allowed"], told["reason"]) == (False, "sign_in_required")
        assert "intercepted" not in told


async def test_logout_tells_the_controller(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        result = await world.ask("logout")
        assert result["state"] == "sign_in_required"
        await world.controller.wait_for(SignOut)


async def test_down_forgets_the_policy_and_up_brings_it_back(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        assert (await world.ask("down"))["state"] == "down"
        assert (await world.ask("resources"))["resources"] == []
        coming = asyncio.get_running_loop().create_task(world.ask("up"))
        await world.controller.wait_for(Hello, nth=2)
        world.revision += 1
        await world.controller.push(PushSnapshot(world.snapshot()))
        assert (await coming)["state"] == "online"


async def test_down_lasts_over_a_restart(tmp_path: Path) -> None:
    async with client_world(tmp_path) as world:
        world.sign_in()
        async with running_daemon(world):
            await world.ask("down")
        async with running_daemon(world):
            assert (await world.ask("status"))["state"] == "down"


async def test_t56_another_controller_wipes_everything(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        state = world.settings.state_dir
        key = load_key(state)
        assert key is not None
        with pytest.raises(RefusedError):  # nobody answers there; but its URL must be reachable first
            await world.ask("up", url="http://127.0.0.1:9")
        assert (await world.ask("status"))["state"] == "online"
        async with client_world(tmp_path / "other") as other:
            with pytest.raises(RefusedError):
                await world.ask("up", url=other.controller.url)
        assert json.loads((state / "controller.json").read_text())["url"] == other.controller.url
        assert not (state / "identity.json").exists()
        assert not (state / "snapshot.jws").exists()
        assert (await world.ask("status"))["revision"] is None
        new = load_key(state)
        assert new is None or new.private_numbers() != key.private_numbers()


@pytest.mark.parametrize(
    "arguments", [{"url": 5}, {"ca_pin": "sha256/x"}, {"url": "https://a", "ca_pin": "x"}, {"token": "otk_x"}]
)
async def test_malformed_arguments_are_named(tmp_path: Path, arguments: dict[str, object]) -> None:
    async with client_world(tmp_path) as world, running_daemon(world):
        with pytest.raises(RefusedError) as caught:
            await world.ask("up", **arguments)
        assert caught.value.reason in (Reason.INVALID_INPUT, Reason.ENROLMENT_INVALID)


async def test_explain_tells_resource_grants_and_path(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        world.explained = {"allowed": True, "via": ("engineers",), "ask": ()}
        told = await world.ask("explain", host="wiki.corp.internal", port=80, transport="tcp")
        assert (told["allowed"], told["resource"], told["via"]) == (True, resource_id(1), ["engineers"])
        assert told["path"] is None


async def test_explain_asks_the_controller_where_the_snapshot_says_nothing(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        told = await world.ask("explain", host="public.example", port=443, transport="tcp")
        assert (told["intercepted"], told["source"]) == (False, "snapshot")
        world.explained = {"allowed": False, "reason": "no_grant", "ask": ("Ada",), "resource_name": "vault"}
        told = await world.ask("explain", host="vault.corp.internal", port=443, transport="tcp")
        assert (told["reason"], told["ask"], told["resource_name"]) == ("no_grant", ["Ada"], "vault")
        assert told["source"] == "controller"
        assert "intercepted" not in told


async def test_the_doctor_walks_the_whole_chain(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        healthy = await world.ask("doctor")
        assert healthy["ok"], healthy
        assert [item["name"] for item in healthy["checks"]] == [
            "proxy",
            "controller",
            "clock",
            "policy",
            "network office",
        ]
        world.edge.refuse_leg = Reason.CONNECTOR_NOT_ATTACHED
        for tunnel in tuple(world.edge.tunnels):
            tunnel.close(Reason.NORMAL)
        async with asyncio.timeout(60):
            while (await world.ask("status"))["tunnels"]:
                await asyncio.sleep(0.01)
        sick = await world.ask("doctor")
        assert not sick["ok"]
        assert sick["checks"][-1]["reason"] == "connector_not_attached"


async def test_logs_come_with_secrets_taken_out(tmp_path: Path) -> None:
    async with client_world(tmp_path) as world, running_daemon(world):
        assert (await world.ask("logs", n=10)) == {"lines": []}
        with pytest.raises(RefusedError):
            await world.ask("logs", n=-1)


async def test_the_session_of_the_identity_is_the_one_in_the_file(tmp_path: Path) -> None:
    async with online(tmp_path) as world:
        stored = world.store().identity()
        assert stored is not None
        assert stored.session == SESSION != SessionId("")
