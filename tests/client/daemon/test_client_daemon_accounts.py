"""Several sign-ins on one host: kept apart, one active, each its owner's (T-50, T-56)."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from client_world import client_world, entry, online, running_daemon
from proxy_user import service, socks

from client.daemon.access_control import RIGHTS, Right
from client.daemon.accounts import ACTIVE_FILE, FOLDER, Accounts
from client.daemon.identity import IdentityStore
from client.daemon.ownership import Ownership
from client.daemon.policy import Policy
from client.host.keys import load_key, load_or_create_key
from protocol.control import Enforced, Hello, PushSnapshot
from protocol.errors import LocalError, RefusedError
from protocol.ids import DeviceId
from protocol.reasons import Reason
from protocol.tokens.claims import Snapshot
from runtime.files import StateDir
from runtime.status_socket import Emit, Peer


async def test_a_switch_leaves_nothing_of_the_old_account_in_force(tmp_path: Path) -> None:
    async with service() as echo, online(tmp_path, entry("wiki.corp.internal")) as world:
        world.edge.targets["wiki.corp.internal", 80] = echo
        _, streams = await socks(world, "wiki.corp.internal", 80)
        found = await world.ask("switch", account="acme", new=True)
        assert [(item["account"], item["active"]) for item in found["accounts"]] == [("default", False), ("acme", True)]
        with pytest.raises(ConnectionResetError):
            await streams[0].read()
        streams[1].transport.abort()
        status = await world.ask("status")
        assert (status["state"], status["user"], status["networks"]) == ("not_configured", None, [])
        assert (await world.ask("resources"))["resources"] == []
        assert (await world.ask("events", n=100))["events"][-1]["state"] == "not_configured"


async def test_the_old_account_is_still_signed_in_when_one_comes_back(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        await world.ask("switch", account="acme", new=True)
        await world.ask("switch", account="default")
        status = await world.until("online")
        assert (status["user"], status["revision"]) == ("Grace", 2)


async def test_a_snapshot_that_waits_is_never_another_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        acme = IdentityStore(StateDir(world.settings.state_dir / FOLDER / "acme"))
        acme.state.ensure()
        controller, identity = world.store().controller(), world.store().identity()
        assert controller is not None
        assert identity is not None
        acme.store_controller(controller)
        acme.store_identity(replace(identity, device=DeviceId("dev_" + "B" * 22)))
        busy, take = asyncio.Event(), Policy.take
        arrived: list[int] = []

        async def stuck(_: Policy, snapshot: Snapshot) -> bool:
            arrived.append(snapshot.revision)
            busy.set()
            return await asyncio.Event().wait()

        monkeypatch.setattr(Policy, "take", stuck)
        for _ in range(2):  # one is being enforced, one waits
            world.revision += 1
            await world.controller.push(PushSnapshot(world.snapshot()))
            await busy.wait()
        await asyncio.sleep(0.1)
        assert arrived == [3]
        monkeypatch.setattr(Policy, "take", take)
        await world.ask("switch", account="acme")
        await world.controller.wait_for(Hello, nth=2)
        await asyncio.sleep(0.1)
        assert (await world.ask("status"))["revision"] is None
        assert acme.snapshot() is None
        assert [item.revision for item in world.controller.seen(Enforced)] == [2]


async def test_the_choice_survives_a_restart(tmp_path: Path) -> None:
    async with client_world(tmp_path) as world:
        world.sign_in()
        async with running_daemon(world):
            await world.ask("switch", account="acme", new=True)
        async with running_daemon(world):
            assert (await world.ask("status"))["state"] == "not_configured"
            await world.ask("switch", account="default")
            assert (await world.ask("accounts"))["accounts"][0]["user"] == "Grace"


async def test_wrong_names_are_refused_and_change_nothing(tmp_path: Path) -> None:
    async with client_world(tmp_path) as world, running_daemon(world):
        for name in ("../x", "", "A", "a/b", "x" * 40, ".hidden"):
            with pytest.raises(RefusedError) as caught:
                await world.ask("switch", account=name, new=True)
            assert caught.value.reason is Reason.INVALID_INPUT
        with pytest.raises(RefusedError) as caught:
            await world.ask("switch", account="nobody")
        assert caught.value.reason is Reason.NOT_FOUND
        with pytest.raises(RefusedError) as caught:
            await world.ask("switch", account="default", remove=True)
        assert caught.value.reason is Reason.IN_USE


async def test_a_removed_account_takes_its_key_along(tmp_path: Path) -> None:
    async with client_world(tmp_path) as world, running_daemon(world):
        await world.ask("switch", account="acme", new=True)
        folder = world.settings.state_dir / FOLDER / "acme"
        load_or_create_key(folder)
        with pytest.raises(RefusedError):
            await world.ask("switch", account="acme", remove=True)
        await world.ask("switch", account="default")
        await world.ask("switch", account="acme", remove=True)
        assert not folder.exists()
        assert load_key(world.settings.state_dir) is None


class Nobody:
    """A session that must not be touched."""

    async def reopen(self, admit: object, change: object) -> None:
        raise AssertionError(admit, change)


async def emit(_event: object) -> None:
    """Nobody listens."""


async def test_t50_another_users_account_is_not_to_be_had(tmp_path: Path) -> None:
    accounts = Accounts(StateDir(tmp_path))
    theirs = StateDir(tmp_path / FOLDER / "theirs")
    theirs.ensure()
    Ownership(theirs).take(54_321)
    listener: Emit = emit
    switch = accounts.verbs(Nobody())["switch"]  # type: ignore[arg-type]
    with pytest.raises(LocalError) as caught:
        await switch({"account": "theirs"}, Peer(54_322, 1, 1), listener)
    assert caught.value.reason is Reason.PERMISSION_DENIED
    for change in ("new", "remove"):
        with pytest.raises(LocalError) as caught:
            await switch({"account": "theirs", change: True}, Peer(54_321, 1, 1), listener)
        assert caught.value.reason is Reason.NEEDS_ROOT
    assert (RIGHTS["switch"], RIGHTS["accounts"]) == (Right.USE, Right.READ)


def test_a_damaged_choice_is_told_not_guessed(tmp_path: Path) -> None:
    for damaged in ('{"account": "gone"}', '{"account": "../etc"}', "[]"):
        (tmp_path / ACTIVE_FILE).write_text(damaged)
        with pytest.raises(LocalError) as caught:
            Accounts(StateDir(tmp_path))
        assert caught.value.reason is Reason.STATE_CORRUPT
