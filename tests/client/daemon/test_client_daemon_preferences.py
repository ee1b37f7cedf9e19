"""Settings at run time: checked, at once, kept over a restart; and the checks of their own accord."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from client_world import client_world, entry, online, running_daemon

from client.daemon.preferences import FILE, Preference, Preferences, one_of, parse_every
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


def test_a_value_counts_at_once_and_stays(tmp_path: Path) -> None:
    applied: list[str] = []
    preferences(StateDir(tmp_path), applied).set("colour", "blue")
    assert applied == ["blue"]
    again = preferences(StateDir(tmp_path), applied)
    again.load()
    assert applied == ["blue", "blue"]
    assert again.shown() == [{"key": "colour", "value": "blue", "default": "red", "set": True, "help": "Of the door."}]
    again.set("colour", "default")
    assert (applied[-1], again.shown()[0]["set"]) == ("red", False)


def test_a_wrong_value_changes_nothing_and_says_what_is_wanted(tmp_path: Path) -> None:
    applied: list[str] = []
    with pytest.raises(LocalError, match="one of red, blue is wanted"):
        preferences(StateDir(tmp_path), applied).set("colour", "green")
    with pytest.raises(LocalError, match=r"client\.toml"):
        preferences(StateDir(tmp_path), applied).set("mtu", "1500")
    assert (applied, (tmp_path / FILE).exists()) == ([], False)


def test_what_another_version_left_is_not_applied_and_not_lost(tmp_path: Path) -> None:
    state, applied = StateDir(tmp_path), list[str]()
    state.write_json(FILE, {"colour": "green", "shape": "round"})
    colour = Preference("red", "Of the door.", one_of("red", "blue"), applied.append)
    size = Preference("large", "Of the door.", one_of("small", "large"), lambda _: None)
    found = Preferences(state, {"colour": colour, "size": size})
    found.load()
    assert (found.shown()[0]["value"], found.shown()[0]["set"]) == ("red", False)
    found.set("size", "small")
    assert state.read_json(FILE) == {"colour": "green", "shape": "round", "size": "small"}
    found.set("size", "default")
    found.set("colour", "blue")
    assert (applied, state.read_json(FILE)) == (["blue"], {"colour": "blue", "shape": "round"})


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
    monkeypatch.setattr("client.daemon.app.parse_every", lambda text: None if text == "off" else 0.05)
    async with online(tmp_path, entry("wiki.corp.internal")) as world:
        assert (await world.ask("status"))["health"] == "unchecked"
        await world.ask("set", key="check-every", value="15s")
        async with asyncio.timeout(60):
            while (await world.ask("status"))["health"] != "ready":
                await asyncio.sleep(0.02)
