"""Settings, the kept log lines, and `ostiaryd`'s commands that need no daemon."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from client.daemon.log_buffer import LINES_MAX, LogBuffer
from client.daemon.settings import ClientSettings, load_settings
from client.host import SOCKET_MARK
from client.host.cleanup import JOURNAL_FILE
from client.host.journal import Journal
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.files import StateDir


def load(**overrides: object) -> ClientSettings:
    return load_settings(config_file=None, overrides=overrides, env={})


def test_defaults() -> None:
    settings = load()
    assert (settings.mode, settings.proxy_address()) == ("tun", ("127.0.0.1", 1055))
    assert settings.mark == SOCKET_MARK
    assert str(settings.pools()[0][0]) == "100.96.0.0/16"
    assert load(mode="proxy").mark is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "vpn"},
        {"proxy_listen": "0.0.0.0:1055"},
        {"proxy_listen": "192.0.2.1:1055"},
        {"proxy_listen": "localhost:1055"},
        {"proxy_listen": "127.0.0.1:99999"},
        {"pool_v4": "100.96.0.1/16"},
        {"pool_v6": "nonsense"},
        {"mtu": 100},
    ],
)
def test_t50_wrong_values_are_named_and_only_loopback_is_listened_on(wrong: dict[str, object]) -> None:
    with pytest.raises(LocalError) as caught:
        load(**wrong)
    assert caught.value.reason is Reason.CONFIG_INVALID


def test_ipv6_can_be_left_out_and_pools_chosen() -> None:
    v4, v6 = load(pool_v4="10.200.0.0/16", pool_v6="off").pools()
    assert [str(pool) for pool in v4] == ["10.200.0.0/16"]
    assert v6 is None
    assert load(proxy_listen="[::1]:8080").proxy_address() == ("::1", 8080)


def test_the_newest_lines_are_kept() -> None:
    buffer = LogBuffer()
    logger = logging.Logger("test")  # noqa: LOG001 - not a part of the process's loggers
    logger.addHandler(buffer)
    for number in range(LINES_MAX + 5):
        logger.warning("line %d", number)
    assert buffer.last(2) == [f"line {LINES_MAX + 3}", f"line {LINES_MAX + 4}"]
    assert len(buffer.last(LINES_MAX * 2)) == LINES_MAX
    assert buffer.last(0) == []


async def test_a_follower_sees_what_comes() -> None:
    buffer = LogBuffer()
    logger = logging.Logger("test")  # noqa: LOG001 - not a part of the process's loggers
    logger.addHandler(buffer)
    following = buffer.follow()
    waiting = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    logger.warning("hello")
    assert await asyncio.wait_for(waiting, 60) == "hello"
    await following.aclose()


def ostiaryd(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from client.cli.daemon import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "OSTIARY_STATE_DIR": str(folder / "state"),
            "OSTIARY_RUNTIME_DIR": str(folder / "run"),
            **env,
        },
    )


def test_check_config_names_values_with_their_origins(tmp_path: Path) -> None:
    done = ostiaryd(tmp_path, "--mode", "proxy", "check-config", "--json", OSTIARY_MTU="1500")
    rows = {row["key"]: (row["value"], row["origin"]) for row in json.loads(done.stdout)["settings"]}
    assert rows["mode"] == ("proxy", "flag")
    assert rows["mtu"] == ("1500", "OSTIARY_MTU")
    assert rows["group"] == ("ostiary", "default")


def test_a_wrong_key_is_one_clear_error(tmp_path: Path) -> None:
    config = tmp_path / "client.toml"
    config.write_text('mod = "proxy"\n')
    done = ostiaryd(tmp_path, "--config", str(config), "check-config")
    assert done.returncode == 2
    assert "did you mean mode?" in done.stderr
    assert "Traceback" not in done.stderr


def test_cleanup_without_leftovers(tmp_path: Path) -> None:
    assert ostiaryd(tmp_path, "cleanup").stdout == "nothing to clean up\n"


def test_f14_cleanup_undoes_the_journal(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    state.ensure()
    Journal(state / JOURNAL_FILE).record("a-kind-of-a-newer-version", {})
    done = ostiaryd(tmp_path, "cleanup")
    assert (done.returncode, done.stdout) == (1, "still there: a change of kind a-kind-of-a-newer-version\n")
    told = json.loads(ostiaryd(tmp_path, "cleanup", "--json").stdout)
    assert (told["ok"], told["taken_back"]) == (False, [])


@pytest.mark.parametrize("where", ["flag", "environment", "file"])
@pytest.mark.parametrize("wrong", ["a key", "a variable", "a value"])
def test_f14_cleanup_works_with_wrong_settings(tmp_path: Path, where: str, wrong: str) -> None:
    kept = StateDir(tmp_path / "kept")
    kept.ensure()
    Journal(kept / JOURNAL_FILE).record("a-kind-of-a-newer-version", {})
    config = tmp_path / "client.toml"
    lines = [f'state_dir = "{kept.path}"'] if where == "file" else []
    config.write_text("\n".join(["mod = 1" if wrong == "a key" else "mtu = 1500", *lines]))
    env = {"OSTIARY_STATE_DIR": str(kept.path) if where == "environment" else ""}
    env |= {"OSTIARY_MOOD": "x"} if wrong == "a variable" else {}
    env |= {"OSTIARY_MODE": "vpn"} if wrong == "a value" else {}
    flags = ["--state-dir", str(kept.path)] if where == "flag" else []
    done = ostiaryd(tmp_path, "--config", str(config), *flags, "cleanup", **env)
    assert (done.returncode, done.stdout) == (1, "still there: a change of kind a-kind-of-a-newer-version\n")
    assert "warning: " in done.stderr
    assert {"a key": "'mod'", "a variable": "OSTIARY_MOOD", "a value": "'vpn'"}[wrong] in done.stderr


@pytest.mark.parametrize("text", ["mtu = = 1", "state_dir = 1"])
def test_f14_cleanup_works_with_a_file_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    config = tmp_path / "client.toml"
    config.write_text(text)
    done = ostiaryd(tmp_path, "--config", str(config), "cleanup", "--json")
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, True)
    assert str(config) in done.stderr


def test_f16_cleanup_leaves_a_running_daemon_alone(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    state.ensure()
    state.lock()
    done = ostiaryd(tmp_path, "cleanup")
    state.unlock()
    assert done.returncode == 1
    assert "already running" in done.stderr


def test_version(tmp_path: Path) -> None:
    assert ostiaryd(tmp_path, "version").stdout == ostiaryd(tmp_path, "--version").stdout
