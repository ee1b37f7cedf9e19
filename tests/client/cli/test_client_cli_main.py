"""The console script: quick, quiet, the same however a command is spelt, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import CommandLine
from fake_daemon import FakeDaemon

from client.cli import help_pages
from client.cli.plain import VERBS, run

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


LINES = {
    "up": ("up", "--timeout", "5s"),
    "explain": ("explain", "db:5432"),
    "request": ("request", "db:5432", "--reason", "release", "--for=2h"),
    "ping": ("ping", "db:5432"),
    "set": ("set", "log-level=debug"),
    "switch": ("switch", "acme"),
    "forward": ("forward", "db:5432"),
    "dns query": ("dns", "query", "db.corp.internal", "-t", "TXT"),
    "report": ("report", "-o", "REPORT"),
}
"""What is typed for verbs that want more than their name."""
RESULTS = {
    "up": {"state": "online"},
    "login": {"state": "online"},
    "auth": {"state": "online"},
    "status": {"state": "online", "since": 1},
    "resources": {"resources": []},
    "explain": {"host": "db", "port": 5432, "allowed": True},
    "ping": {"ok": True, "host": "db", "port": 5432, "steps": []},
    "events": {"events": []},
    "doctor": {"ok": True, "checks": []},
    "down": {"state": "down"},
    "logout": {"state": "sign_in_required"},
    "version": {"version": "1"},
    "logs": {"lines": []},
    "netcheck": {"ok": True, "checks": []},
    "request": {"request": {"id": "req_1", "status": "open"}},
    "withdraw": {"request": {"id": "req_1", "status": "withdrawn"}},
    "requests": {"requests": []},
    "get": {"settings": []},
    "set": {"settings": [{"key": "log-level", "value": "debug"}]},
    "accounts": {"accounts": []},
    "switch": {"accounts": []},
    "forward": {},
    "dns_status": {"mode": "resolved"},
    "dns_query": {"answers": ["x"]},
    "dns_reset": {"mode": "resolved"},
}
HEAVY_ALL_THE_SAME = {"service status": {"subprocess"}}
"""It asks systemctl."""


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_loads_what_it_does_not_need(daemon: FakeDaemon, verb: str, tmp_path: Path) -> None:
    daemon.results |= RESULTS
    arguments = [word.replace("REPORT", str(tmp_path / "r.tar.gz")) for word in LINES.get(verb, verb.split())]
    code, modules = probe(*arguments)
    assert code in ("0", "3"), "3: the host of the tests may have no systemd"
    allowed = HEAVY_ALL_THE_SAME.get(verb, set())
    # The report looks at the settings as the daemon does.
    assert verb == "report" or modules & {*HEAVY, "subprocess"} == allowed


def test_help_loads_nothing_heavy() -> None:
    for arguments in (["--help"], ["status", "-h"], ["dns", "query", "--help"], ["admin", "--help"]):
        code, modules = probe(*arguments, COLUMNS="80")
        assert (code, modules & {*HEAVY, "subprocess"}) == ("0", set())


def probe(*arguments: str, **env: str) -> tuple[str, set[str]]:
    """Runs the command in a process of its own; returns its exit code and the modules that it loaded."""
    ran = subprocess.run(
        [sys.executable, "-c", _PROBE, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    *_, code, modules = ran.stderr.splitlines()
    return code.removeprefix("left with "), set(modules.split())


def test_the_stored_help_is_what_typer_prints(ostiary: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    from client.cli.reference import pages

    stored = (ROOT / "client" / "cli" / "help_pages.json").read_text()
    assert stored == pages() + "\n", "run `make reference`"
    monkeypatch.setenv("COLUMNS", "80")
    for arguments in (("get",), ("dns", "query"), ("service",), ("admin",), ()):
        quick = ostiary(*arguments, "--help")
        monkeypatch.setattr("client.cli.help_pages.page", lambda _: None)
        assert ostiary(*arguments, "--help") == quick
        monkeypatch.undo()
        monkeypatch.setenv("COLUMNS", "80")


def test_a_narrow_terminal_gets_narrow_help(ostiary: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    for width in (60, 80):
        monkeypatch.setenv("COLUMNS", str(width))
        assert max(map(len, ostiary("status", "--help").out.splitlines()[:8])) < width
    assert help_pages.page(["status", "--help"], {"COLUMNS": "60"}) is None
    assert help_pages.page(["stauts", "--help"], {}) is None


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
        (["wait", "--for=live"], ["wait", "--for", "live", "--timeout", "60s"]),
        (["logs", "-n", "3", "--json"], ["logs", "--lines", "3", "--json"]),
        (["set", "log-level=debug"], ["set", "--", "log-level=debug"]),
        (["get", "--json"], ["get", "--json"]),
        (["switch", "acme", "--new"], ["switch", "--new", "--", "acme"]),
        (["accounts", "--json"], ["accounts", "--json"]),
        (["request", "db", "--reason", "why", "--for", "2h"], ["request", "--for=2h", "--reason=why", "--", "db"]),
        (["requests", "--withdraw", "req_1"], ["requests", "--withdraw=req_1"]),
        (["forward", "db:1", "99"], ["forward", "--", "db:1", "99"]),
        (["netcheck", "--json"], ["netcheck", "--json"]),
        (["auth", "--within", "2h", "--json"], ["auth", "--within=2h", "--timeout", "10m", "--json"]),
        (["login", "--qr", "--json"], ["login", "--qr", "--timeout=10m", "--json"]),
        (["up", "a.example", "--no-browser", "--json"], ["up", "--no-browser", "--json", "--", "a.example"]),
        (["dns", "query", "db", "-t", "TXT"], ["dns", "query", "--type", "TXT", "--", "db"]),
        (["dns", "reset", "--forget"], ["dns", "reset", "--forget"]),
    ],
)
def test_plain_and_spelt_out_commands_do_the_same(
    daemon: FakeDaemon, plain: list[str], spelt_out: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from client.cli.commands import app

    daemon.results |= RESULTS | {
        "status": {"state": "offline"},
        "resources": {"resources": []},
        "explain": {"host": "db", "port": 1, "allowed": False, "reason": "no_grant"},
        "ping": {"ok": False, "host": "db", "port": 1, "steps": [{"status": "fail", "reason": "no_grant"}]},
        "events": {"events": [{"kind": "state", "state": "online", "at": 1.0}]},
        "version": {"version": "1"},
    }
    code = run(plain)
    first = capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        app([item for item in spelt_out if item != "--no-watch"], prog_name="ostiary")
    assert (code, first) == (left.value.code, capsys.readouterr())
    assert daemon.asked[0] == daemon.asked[1]


@pytest.mark.parametrize("verb", VERBS)
def test_plain_spellings_are_those_that_typer_declares(verb: str) -> None:
    from typer.core import TyperArgument, TyperGroup, TyperOption
    from typer.main import get_command

    from client.cli.commands import app

    command = get_command(app)
    for word in verb.split():
        assert isinstance(command, TyperGroup)
        command = command.commands[word]
    arguments = [item for item in command.params if isinstance(item, TyperArgument)]
    flags: set[str] = set()
    values: dict[str, str | None] = {}
    aliases: dict[str, str] = {}
    for option in command.params:
        if isinstance(option, TyperOption):
            name, *others = sorted(option.opts, key=len, reverse=True)
            aliases |= dict.fromkeys(others, name)
            default = option.default
            if option.is_flag:
                assert (default, option.secondary_opts) == (False, [])
                flags.add(name)
            else:
                values[name] = None if default is None else str(default)

    spelling = VERBS[verb]
    assert spelling.words == (sum(item.required for item in arguments), len(arguments))
    assert {*spelling.flags, "--json"} == flags
    assert spelling.values == values
    assert (spelling.aliases or {}) == aliases


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
        ["up", "a", "b"],
        ["request", "db"],
        ["wait", "--for", "ever"],
        ["logs", "-n", "many"],
        ["logs", "-n=3"],
        ["logs", "--lines", "10001"],
        ["forward", "db:1", "65536"],
        ["switch", "acme", "--new", "--remove"],
        ["requests", "--withdraw", "--json"],
        ["wait", "--timeout", "1s", "--timeout", "2s"],
        ["dns"],
        ["admin", "status"],
    ],
)
def test_everything_else_is_for_typer(arguments: list[str]) -> None:
    assert run(arguments) is None


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
        assert "   Example" not in command.help, f"{command.name} shows its example too far to the right"


def test_the_reference_is_up_to_date() -> None:
    from client.cli.reference import text

    page = (ROOT / "docs" / "commands.md").read_text()
    assert page == text(), "run `python -m client.cli.reference > docs/commands.md`"
