"""The console script: quick, quiet, the same however a command is spelt, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import CommandLine
from fake_daemon import FakeDaemon

from client.cli.main import run_plain

ROOT = Path(__file__).parents[3]
HEAVY = (
    "fastapi",
    "websockets",
    "cryptography",
    "OpenSSL",
    "pyroute2",
    "rich",
    "pydantic",
    "typer",
    "structlog",
    "uvloop",
    "asyncio",
    "ssl",
    "dns",
    "jwt",
)
_PROBE = """
import sys
sys.argv = ["ostiary", *sys.argv[1:]]
from client.cli.main import main
try:
    main()
except SystemExit as left:
    print("left with", left.code, file=sys.stderr)
print(" ".join(sorted(module for module in sys.modules if "." not in module)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("status", "--json"),
        ("status", "--check", "ready"),
        ("resources",),
        ("explain", "db:5432"),
        ("ping", "db:5432"),
        ("events",),
        ("doctor",),
        ("down",),
        ("version",),
    ],
)
def test_everyday_commands_load_nothing_heavy(daemon: FakeDaemon, arguments: tuple[str, ...]) -> None:
    daemon.results |= {
        "status": {"state": "online", "since": 1},
        "resources": {"resources": []},
        "explain": {"host": "db", "port": 5432, "allowed": True},
        "ping": {"ok": True, "host": "db", "port": 5432, "steps": []},
        "events": {"events": []},
        "doctor": {"ok": True, "checks": []},
        "down": {"state": "down"},
        "version": {"version": "1"},
    }
    ran = subprocess.run(
        [sys.executable, "-c", _PROBE, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    *_, code, modules = ran.stderr.splitlines()
    assert code == "left with 0"
    assert set(modules.split()) & set(HEAVY) == set()


@pytest.mark.parametrize(
    ("plain", "spelt_out"),
    [
        (["status", "--json"], ["status", "--json", "--no-watch"]),
        (["status", "--check", "live"], ["status", "--check=live"]),
        (["explain", "db:1", "--udp", "--json"], ["explain", "--json", "--udp", "--", "db:1"]),
        (["ping", "db:1", "--udp"], ["ping", "--udp", "--count", "1", "--", "db:1"]),
        (["events", "--trouble", "--json"], ["events", "--json", "--trouble", "--lines", "20"]),
        (["version", "--json"], ["version", "--json"]),
        (["resources", "--json"], ["resources", "--json"]),
    ],
)
def test_plain_and_spelt_out_commands_do_the_same(
    daemon: FakeDaemon, plain: list[str], spelt_out: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from client.cli.commands import app

    daemon.results |= {
        "status": {"state": "offline"},
        "resources": {"resources": []},
        "explain": {"host": "db", "port": 1, "allowed": False, "reason": "no_grant"},
        "ping": {"ok": False, "host": "db", "port": 1, "steps": [{"status": "fail", "reason": "no_grant"}]},
        "events": {"events": [{"kind": "state", "state": "online", "at": 1.0}]},
        "version": {"version": "1"},
    }
    code = run_plain(plain)
    first = capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        app([item for item in spelt_out if item != "--no-watch"], prog_name="ostiary")
    assert (code, first) == (left.value.code, capsys.readouterr())
    assert daemon.asked[0] == daemon.asked[1]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["status", "--help"],
        ["status", "now"],
        ["status", "--check"],
        ["explain"],
        ["explain", "a", "b"],
        ["explain", "a", "--udp", "--icmp"],
        ["resources", "--yaml"],
        ["up"],
        ["admin", "status"],
    ],
)
def test_everything_else_is_for_typer(arguments: list[str]) -> None:
    assert run_plain(arguments) is None


@pytest.mark.parametrize(
    "arguments", [("--help",), ("status", "--help"), ("admin", "--help"), ("admin", "grant", "-h")]
)
def test_help_goes_to_stdout_and_teaches(ostiary: CommandLine, arguments: tuple[str, ...]) -> None:
    ran = ostiary(*arguments)
    assert (ran.code, ran.err) == (0, "")
    assert "ostiary" in ran.out
    assert "\x1b" not in ran.out


def test_help_lists_the_exit_codes(ostiary: CommandLine) -> None:
    assert "8 denied by policy" in ostiary("--help").out


@pytest.mark.parametrize(
    "arguments",
    [("stauts",), ("status", "--jsn"), ("admin", "netwrk"), ("admin", "network", "crate"), ("up", "a", "b")],
)
def test_wrong_usage_leaves_with_two(ostiary: CommandLine, arguments: tuple[str, ...]) -> None:
    ran = ostiary(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert "\nnext: See `ostiary" in ran.err


def test_version_option(ostiary: CommandLine) -> None:
    assert ostiary("--version").out.startswith("ostiary ")


def test_a_reader_that_left_is_no_error(daemon: FakeDaemon) -> None:
    daemon.results["resources"] = {"resources": [{"name": f"r{number}", "address": "a"} for number in range(20_000)]}
    ran = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m client.cli.main resources | head -n 1"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (ran.stdout.split(), ran.stderr) == (["NAME", "ADDRESS", "PORTS", "NETWORK"], "")


def test_ctrl_c_leaves_with_130(ostiary: CommandLine, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    daemon.results["status"] = {"state": "online"}
    monkeypatch.setattr("client.cli.user.time.sleep", interrupt)
    assert ostiary("status", "--watch").code == 130


def test_every_command_teaches_by_an_example(ostiary: CommandLine) -> None:
    from client.cli.reference import walk

    commands = list(walk())
    assert len(commands) > 60
    for command in commands:
        shown = any(f"  {prefix}{command.name}" in command.help for prefix in ("", "sudo "))
        assert shown, f"{command.name} shows no example of itself"


def test_the_reference_is_up_to_date() -> None:
    from client.cli.reference import text

    page = (ROOT / "docs" / "commands.md").read_text()
    assert page == text(), "run `python -m client.cli.reference > docs/commands.md`"
