"""The command line: exit codes, JSON, advice (and no secrets in sight)."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from connector_world import CONNECTOR, ISSUER, NETWORK, World
from tls_material import tls_material
from typer.testing import CliRunner

from connector.cli import app
from connector.identity import Identity, make_certificate, save_identity
from connector.probe import parse_target
from connector.render import render_status
from connector.settings import Settings
from protocol.errors import LocalError
from protocol.tokens.keys import generate_key, key_to_pem
from runtime.clock import SystemClock
from runtime.files import StateDir
from runtime.status_socket import call

COMMANDS = ("enroll", "run", "status", "health", "test", "check-config", "version", "witness export")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An enrolled connector whose controller is not there."""
    key, state = generate_key(), StateDir(tmp_path / "state")
    state.ensure()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    save_identity(
        state,
        Identity(
            CONNECTOR,
            NETWORK,
            ISSUER,
            f"http://127.0.0.1:{port}",
            key,
            key_to_pem(key),
            make_certificate(key, SystemClock().wall()),
            tls_material().ca_pem,
            World().keys,
        ),
    )
    return {"OSTIARY_STATE_DIR": str(state.path), "OSTIARY_RUNTIME_DIR": str(tmp_path / "run"), "NO_COLOR": "1"}


def invoke(env: dict[str, str], *argv: str, stdin: str | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(argv), env=env, input=stdin)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_teaches_itself(command: str) -> None:
    code, out, _ = invoke({}, *command.split(), "--help")
    assert code == 0
    assert "Usage:" in out
    assert len(out) > 150


def test_the_version() -> None:
    assert json.loads(invoke({}, "version", "--json")[1])["schema"] == 1
    assert invoke({}, "version")[1].startswith("ostiary-connector ")


def test_check_config_shows_values_and_where_they_come_from(env: dict[str, str]) -> None:
    code, out, _ = invoke(env, "check-config")
    assert code == 0
    assert "OSTIARY_STATE_DIR" in out
    assert CONNECTOR in out
    body = json.loads(invoke(env, "check-config", "--json")[1])
    assert body["ok"]
    assert {"key": "parked_legs", "value": "2", "origin": "default"} in body["settings"]


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"OSTIARY_PARKED_LEGS": "99"}, "parked_legs"),
        ({"OSTIARY_PARKED_LGES": "2"}, "did you mean OSTIARY_PARKED_LEGS?"),
        ({"OSTIARY_RESOLVERS": "10.0.0.1,dns.example"}, "dns.example"),
    ],
)
def test_wrong_settings_are_exit_code_2_and_name_the_key(env: dict[str, str], extra: dict[str, str], says: str) -> None:
    code, _, err = invoke({**env, **extra}, "check-config")
    assert code == 2
    assert says in err
    assert "\nnext: " in err


def test_check_config_shows_the_settings_of_a_connector_that_is_not_enrolled(env: dict[str, str]) -> None:
    fresh = {**env, "OSTIARY_STATE_DIR": "/nonexistent"}
    code, out, _ = invoke(fresh, "check-config")
    assert code == 0
    assert "/nonexistent" in out
    assert "not enrolled; next: ostiary-connector enroll" in out
    body = json.loads(invoke(fresh, "check-config", "--json")[1])
    assert (body["ok"], body["enrolled"], body["connector"]) == (True, False, None)


def test_without_a_daemon(env: dict[str, str]) -> None:
    for argv in (("status",), ("health",), ("health", "--ready")):
        code, out, err = invoke(env, *argv)
        assert (code, out) == (5, "")
        assert "The connector is not running." in err
        assert "next: Start it: `sudo ostiary-connector run`" in err
    body = json.loads(invoke(env, "status", "--json")[1])
    assert (body["ok"], body["error"]["reason"]) == (False, "daemon_not_running")


def test_a_destination_is_tested_without_a_daemon(env: dict[str, str]) -> None:
    code, out, err = invoke(env, "test", "127.0.0.1:80")
    assert code == 8
    assert "testing directly" in err
    assert "refused: 127.0.0.1 is loopback" in out
    assert invoke(env, "test", "nonsense")[0] == 2
    body = json.loads(invoke(env, "test", "169.254.169.254:80", "--json")[1])
    assert body["error"]["reason"] == "egress_forbidden"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("db.corp:5432", "db.corp", 5432), ("10.0.0.5:80", "10.0.0.5", 80), ("[fd00::5]:443", "fd00::5", 443)],
)
def test_targets(text: str, host: str, port: int) -> None:
    target = parse_target(text)
    assert (str(target.host), target.port) == (host, port)


@pytest.mark.parametrize(
    "text", ["", "host", "host:", "host:0", "host:65536", "fd00::5:443", ":80", "127.1:80", "h:８０"]
)
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(LocalError):
        parse_target(text)


def test_enrolling_needs_exactly_one_token(env: dict[str, str], tmp_path: Path) -> None:
    for argv in ((), ("otk_x", "--token-file", "y")):
        code, _, err = invoke(env, "enroll", *argv)
        assert code == 2
        assert "--token-file" in err


def test_t11_a_token_in_argv_is_warned_about_and_not_repeated(env: dict[str, str]) -> None:
    code, out, err = invoke(env, "enroll", "otk_verysecretrubbish")
    assert code == 1
    assert "visible to others in `ps`" in err
    assert "verysecretrubbish" not in out + err


@pytest.mark.parametrize("argv", [("--token-file", "-"), ("-",)])
def test_a_token_from_stdin(env: dict[str, str], argv: tuple[str, ...]) -> None:
    code, _, err = invoke(env, "enroll", *argv, stdin="otk_rubbish\n")
    assert code == 1
    assert "enrolment token is not valid" in err
    assert "warning" not in err


def test_status_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    error = {"reason": "relay_unreachable", "sentence": "No relay could be reached.", "detail": "d", "next": "n"}
    controller = {
        "url": "https://c",
        "connected": True,
        "since_s": 5.0,
        "heard_s_ago": 0.1,
        "clock_offset_ms": -12.0,
        "rtt_ms": 1.5,
        "error": None,
    }
    relay = {"relay": "rel_1", "fqdn": "r.example", "port": 8444, "since_s": 90.0, "parked": 2, "error": None}
    answer: dict[str, Any] = {
        "connector": "con_1",
        "ready": True,
        "draining": False,
        "uptime_s": 4000,
        "controller": controller,
        "config": {"revision": 7, "resources": 3, "expired": False, "egress_allow": ["127.0.0.1/32"]},
        "problem": error,
        "resolvers": ["10.0.0.53"],
        "flows": 4,
        "bytes_up": 999,
        "bytes_down": 12_345_678,
        "records": {"waiting": 1, "dropped": 2},
        "key": {"phase": "announced", "next_pin": "sha256/next"},
        "witness": {
            "checkpoints": 3,
            "newest": {"epoch": 1, "position": 7, "hash": "h"},
            "conflicts": 1,
            "last_conflict": "event 5 has another hash",
            "refused": 2,
        },
        "relays": [{**relay, "attached": True}, {**relay, "attached": False, "error": error}],
        "tunnels": [{"device": "dev_1", "user": "usr_1", "relay": "rel_1", "streams": 3, "rtt_ms": None}],
    }
    render_status(answer)
    out = capsys.readouterr().out
    for part in ("ready, up 1 h 6 min", "clock -12 ms", "revision 7", "lifted for 127.0.0.1/32", "12.3 MB down"):
        assert part in out
    for part in ("attached for 1 min", "not attached: No relay could be reached.", "2 dropped", "dev_1"):
        assert part in out
    for part in ("event 7 of epoch 1, 3 checkpoints", "REWRITTEN: event 5 has another hash", "witness export"):
        assert part in out
    away = {**controller, "connected": False, "error": error, "heard_s_ago": 200_000.0}
    render_status({**answer, "controller": away, "config": None, "ready": False, "problem": None, "tunnels": []})
    out = capsys.readouterr().out
    assert "NOT READY" in out
    assert "NOT connected, last heard 2 d ago: No relay could be reached." in out


@pytest.fixture
def daemon(env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "connector", "run", "--log-json"],
        env={**env, "PATH": "/usr/bin"},
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        yield process
        if process.poll() is None:
            process.kill()


async def test_the_installed_daemon_from_start_to_sigterm(env: dict[str, str], daemon: subprocess.Popen[str]) -> None:
    path = Settings(runtime_dir=Path(env["OSTIARY_RUNTIME_DIR"])).socket_path
    async with asyncio.timeout(60):
        while not path.exists():
            await asyncio.sleep(0.05)
    health = await call(path, "health")
    assert (health["live"], health["ready"]) == (True, False)
    assert health["why"]["reason"] == "controller_unreachable"
    code, out, _ = await asyncio.to_thread(invoke, env, "health", "--ready")
    assert code == 3
    assert out.startswith("not ready: ")
    assert (await asyncio.to_thread(invoke, env, "health", "--live"))[0] == 0
    code, out, _ = await asyncio.to_thread(invoke, env, "status", "--json")
    assert json.loads(out)["connector"] == CONNECTOR
    second = await asyncio.to_thread(invoke, env, "run")
    assert second[0] == 1
    assert "already running" in second[2]
    daemon.send_signal(signal.SIGTERM)
    _, log = await asyncio.to_thread(daemon.communicate, None, 20)
    assert daemon.returncode == 0
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert "process.stop_requested" in events
    assert not path.exists()
