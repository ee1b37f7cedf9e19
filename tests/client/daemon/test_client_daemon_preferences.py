"""Settings at run time: checked, at once, kept over a restart; and the checks of their own accord."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from client_world import World, client_world, entry, online, running_daemon

from client.daemon.known_preferences import Knobs, chosen, known
from client.daemon.preferences import FILE, Preference, Preferences, one_of, parse_every
from client.daemon.settings import ClientSettings
from client.host.keys import load_or_create_key
from protocol.errors import LocalError, RefusedError
from protocol.reasons import Reason
from runtime.files import StateDir


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    """The log level is the process's: given back."""
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


def preferences(state: StateDir, applied: list[str]) -> Preferences:
    return Preferences(state, {"colour": Preference("red", "Of the door.", one_of("red", "blue"), applied.append)})


async def test_a_value_counts_at_once_and_stays(tmp_path: Path) -> None:
    applied: list[str] = []
    await preferences(StateDir(tmp_path), applied).set("colour", "blue")
    assert applied == ["blue"]
    again = preferences(StateDir(tmp_path), applied)
    await again.load()
    assert applied == ["blue", "blue"]
    shown = {"key": "colour", "value": "blue", "default": "red", "set": True, "help": "Of the door."}
    assert again.shown() == [shown | {"restart_needed": False}]
    await again.set("colour", "default")
    assert (applied[-1], again.shown()[0]["set"]) == ("red", False)


async def test_a_wrong_value_changes_nothing_and_says_what_is_wanted(tmp_path: Path) -> None:
    applied: list[str] = []
    with pytest.raises(LocalError, match="one of red, blue is wanted"):
        await preferences(StateDir(tmp_path), applied).set("colour", "green")
    with pytest.raises(LocalError, match=r"client\.toml"):
        await preferences(StateDir(tmp_path), applied).set("mtu", "1500")
    assert (applied, (tmp_path / FILE).exists()) == ([], False)


async def test_what_another_version_left_is_not_applied_and_not_lost(tmp_path: Path) -> None:
    state, applied = StateDir(tmp_path), list[str]()
    state.write_json(FILE, {"colour": "green", "shape": "round"})
    colour = Preference("red", "Of the door.", one_of("red", "blue"), applied.append)
    size = Preference("large", "Of the door.", one_of("small", "large"), lambda _: None)
    found = Preferences(state, {"colour": colour, "size": size})
    await found.load()
    assert (found.shown()[0]["value"], found.shown()[0]["set"]) == ("red", False)
    await found.set("size", "small")
    assert state.read_json(FILE) == {"colour": "green", "shape": "round", "size": "small"}
    await found.set("size", "default")
    await found.set("colour", "blue")
    assert (applied, state.read_json(FILE)) == (["blue"], {"colour": "blue", "shape": "round"})


async def test_what_cannot_be_applied_is_not_kept(tmp_path: Path) -> None:
    def refuse(value: str) -> None:
        if value == "blue":
            raise LocalError(Reason.PORT_IN_USE, "the door")

    state = StateDir(tmp_path)
    known = {"colour": Preference("red", "Of the door.", one_of("red", "blue"), refuse)}
    found = Preferences(state, known)
    with pytest.raises(LocalError) as caught:
        await found.set("colour", "blue")
    assert caught.value.reason is Reason.PORT_IN_USE
    assert (found.shown()[0]["value"], state.read_json(FILE)) == ("red", {})
    # The same at a start: the daemon runs on, so that it can be mended.
    state.write_json(FILE, {"colour": "blue"})
    again = Preferences(state, known)
    await again.load()
    assert again.shown()[0]["value"] == "red"


async def test_what_the_configuration_says_is_taken_back_unchecked(tmp_path: Path) -> None:
    """A configuration may say what cannot be typed."""
    applied: list[str] = []
    known = {"colour": Preference("#ff8800", "Of the door.", one_of("red", "blue"), applied.append)}
    found = Preferences(StateDir(tmp_path), known)
    await found.set("colour", "blue")
    await found.set("colour", "default")
    assert (applied, found.shown()[0]["set"]) == (["blue", "#ff8800"], False)
    with pytest.raises(LocalError):
        await found.set("colour", "#ff8800")


async def test_a_time_of_the_configuration_is_taken_back_as_it_stands_there(tmp_path: Path) -> None:
    idle: list[float] = []

    async def no_dns(_strict: bool) -> None:
        return

    settings = ClientSettings(udp_idle_s=90.5, pool_v4="198.18.0.0/25")
    found = Preferences(
        StateDir(tmp_path), known(settings, Knobs(idle.append, no_dns), cast(Any, None), cast(Any, None))
    )
    for key, value in (("udp-idle", "2m"), ("pool-v4", "100.112.0.0/16")):
        await found.set(key, value)
        await found.set(key, "default")
    assert idle == [120.0, 90.5]
    assert not any(item["set"] for item in found.shown())


async def test_what_counts_after_a_restart_says_so(tmp_path: Path) -> None:
    known = {"size": Preference("large", "Of the door.", one_of("small", "large"))}
    found = Preferences(StateDir(tmp_path), known)
    await found.load()
    await found.set("size", "small")
    assert found.shown()[0]["restart_needed"] is True
    await found.set("size", "large")
    assert found.shown()[0]["restart_needed"] is False
    await found.set("size", "small")
    again = Preferences(StateDir(tmp_path), known)
    await again.load()
    assert (again.shown()[0]["value"], again.shown()[0]["restart_needed"]) == ("small", False)
    await again.set("size", "default")
    assert again.shown()[0]["restart_needed"] is True


async def test_t50_what_is_roots_is_not_set_by_others(tmp_path: Path) -> None:
    applied: list[str] = []
    lock = Preference("on", "Of the door.", one_of("on", "off"), applied.append, needs_root=lambda text: text == "off")
    found = Preferences(StateDir(tmp_path), {"lock": lock})
    with pytest.raises(LocalError) as caught:
        await found.set("lock", "off", root=False)
    assert (caught.value.reason, applied) == (Reason.NEEDS_ROOT, [])
    await found.set("lock", "off", root=True)
    await found.set("lock", "on", root=False)
    with pytest.raises(LocalError):
        await Preferences(StateDir(tmp_path), {"lock": replace(lock, default="off")}).set("lock", "default", root=False)


@pytest.mark.parametrize(("text", "seconds"), [("off", None), ("15s", 15.0), ("5m", 300.0), ("1h", 3600.0)])
def test_times(text: str, seconds: float | None) -> None:
    assert parse_every(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "1s", "2h", "-5m", "5 m", "99999h"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="between 15s and 1h"):
        parse_every(text)


async def test_the_daemon_takes_a_setting_and_keeps_it(tmp_path: Path) -> None:
    async with client_world(tmp_path) as world:
        async with running_daemon(world):
            await world.ask("set", key="log-level", value="debug")
            assert logging.getLogger().level == logging.DEBUG
            with pytest.raises(RefusedError) as caught:
                await world.ask("set", key="log-level", value="loud")
            assert caught.value.reason is Reason.INVALID_INPUT
        logging.getLogger().setLevel(logging.INFO)
        async with running_daemon(world):
            found = {item["key"]: item for item in (await world.ask("get"))["settings"]}
            assert (found["log-level"]["value"], logging.getLogger().level) == ("debug", logging.DEBUG)
            assert found["check-every"]["value"] == "off"


async def test_networks_are_checked_by_themselves_when_that_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.daemon.known_preferences.parse_every", lambda text: None if text == "off" else 0.05)
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        assert (await world.ask("status"))["health"] == "unchecked"
        await world.ask("set", key="check-every", value="15s")
        async with asyncio.timeout(60):
            while (await world.ask("status"))["health"] != "ready":
                await asyncio.sleep(0.02)


async def said(world: World, key: str) -> dict[str, Any]:
    return next(item for item in (await world.ask("get"))["settings"] if item["key"] == key)


async def connects(address: tuple[str, int]) -> bool:
    try:
        _, writer = await asyncio.open_connection(*address)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def test_the_proxy_moves_and_stays_moved(tmp_path: Path) -> None:
    port = free_port()
    async with client_world(tmp_path) as world:
        async with running_daemon(world):
            before = world.proxy
            await world.ask("set", key="proxy-listen", value=f"127.0.0.1:{port}")
            assert (await world.ask("status"))["proxy"] == f"127.0.0.1:{port}"
            assert (await connects(("127.0.0.1", port)), await connects(before)) == (True, False)
            with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(RefusedError) as caught:
                await world.ask("set", key="proxy-listen", value=f"127.0.0.1:{taken.getsockname()[1]}")
            assert caught.value.reason is Reason.PORT_IN_USE
            assert await connects(("127.0.0.1", port))
            with pytest.raises(RefusedError, match="loopback"):
                await world.ask("set", key="proxy-listen", value="0.0.0.0:1055")
        async with running_daemon(world):
            assert world.proxy == ("127.0.0.1", port)
        with socket.create_server(("127.0.0.1", port)):
            async with running_daemon(world):
                assert world.proxy[1] != port, "somebody else has it: the configuration's is better than none"


async def test_t55_strict_dns_is_turned_on_and_off_while_names_are_in_use(tmp_path: Path) -> None:
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        assert (await world.ask("dns_status"))["guarded"] == 0
        await world.ask("set", key="strict-dns", value="on")
        shown = await world.ask("dns_status")
        assert (shown["mode"], shown["strict"], shown["guarded"]) == ("proxy", True, 1)
        await world.ask("down")
        assert (await world.ask("dns_status"))["guarded"] == 1
        # Names of an earlier whitelist are opened when root says so, also without a resolver of ours.
        assert (await world.ask("dns_reset", forget=True))["guarded"] == 0
        for verb, args in (("dns_reset", {}), ("dns_query", {"name": "wiki.corp.internal"})):
            with pytest.raises(RefusedError) as caught:
                await world.ask(verb, **args)
            assert caught.value.reason is Reason.NO_RESOLVER
        await world.ask("set", key="strict-dns", value="off")
        assert (await world.ask("dns_status"))["strict"] is False


async def test_strict_dns_that_was_set_holds_from_the_next_start_on(tmp_path: Path) -> None:
    async with client_world(tmp_path) as world:
        async with running_daemon(world):
            await world.ask("set", key="strict-dns", value="on")
        async with running_daemon(world):
            assert (await world.ask("dns_status"))["strict"] is True


async def test_a_client_that_shall_not_connect_by_itself_stays_down_until_up(tmp_path: Path) -> None:
    async with client_world(tmp_path) as world:
        world.sign_in()
        load_or_create_key(world.settings.state_dir)
        async with running_daemon(world):
            await world.ask("set", key="connect-at-start", value="off")
            assert (await world.ask("status"))["state"] != "down", "it is about starts"
        async with running_daemon(world):
            assert (await world.ask("status"))["state"] == "down"
            waiting = asyncio.create_task(world.ask("up"))
            await world.until("connecting")
            waiting.cancel()


async def test_settings_of_the_device_count_after_a_restart(tmp_path: Path) -> None:
    async with client_world(tmp_path) as world, running_daemon(world):
        for key, value in (("mtu", "1400"), ("pool-v4", "100.112.0.0/16")):
            await world.ask("set", key=key, value=value)
            assert (await said(world, key))["restart_needed"] is True
        found = chosen(world.settings, StateDir(world.settings.state_dir))
        assert (found.settings.mtu, str(found.pool_v4)) == (1400, "100.112.0.0/16")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mtu", "900"),
        ("mtu", "１４００"),
        ("pool-v4", "10.0.0.0/30"),
        ("pool-v4", "10.0.0.1/8"),
        ("pool-v4", "224.0.0.0/8"),
        ("pool-v4", "0.0.0.0/0"),
        ("udp-idle", "1s"),
        ("udp-idle", "forever"),
        ("strict-dns", "yes"),
        ("notifications", "loud"),
        ("proxy-listen", "1055"),
        ("prewarm", ""),
    ],
)
async def test_wrong_values_are_told_and_change_nothing(tmp_path: Path, key: str, value: str) -> None:
    async with client_world(tmp_path) as world, running_daemon(world):
        before = await said(world, key)
        with pytest.raises(RefusedError) as caught:
            await world.ask("set", key=key, value=value)
        assert (caught.value.reason, "wanted" in caught.value.detail) == (Reason.INVALID_INPUT, True)
        assert await said(world, key) == before
