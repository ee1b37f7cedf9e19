"""`ostiary-controller` as a person and as a script meet it."""

import io
import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.cli.main import main
from protocol.enrolment import parse_untrusted
from protocol.version import SOFTWARE
from runtime import logging

URL = "https://localhost:8443"


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        value = json.loads(self.out)
        assert value["schema"] == 1
        return value


class Terminal(io.StringIO):
    """A standard input at which a person sits."""

    def isatty(self) -> bool:
        return True


class Cli:
    """Runs the command inside this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], folder: Path) -> None:
        self._monkeypatch = monkeypatch
        self._capfd = capfd
        self.folder = folder

    def __call__(self, *arguments: str) -> Ran:
        self._monkeypatch.setattr(sys, "argv", ["ostiary-controller", *arguments])
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        printed = self._capfd.readouterr()
        code = left.value.code
        return Ran(0 if code is None else int(code), printed.out, printed.err)

    def init(self, *more: str) -> Ran:
        password = self.folder / "password"
        password.write_text("correct horse battery staple\n")
        owner = ("--owner", "ada@corp.example", "--owner-name", "Ada", "--password-file", str(password))
        return self("init", "--public-url", URL, *owner, "--json", *more)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Cli]:
    for name in [name for name in os.environ if name.startswith("OSTIARY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OSTIARY_STATE_DIR", str(tmp_path / "state"))
    # `serve` takes its port before it looks at anything else, and 8443 may be a neighbour's: another worker of this run, or a
    # controller that lives on this host. Nobody else is at this address.
    number = os.getpid()
    host = f"127.{64 + number // 65025 % 64}.{number // 255 % 255}.{number % 255 + 1}"
    with socket.create_server((host, 0)) as probe:
        monkeypatch.setenv("OSTIARY_LISTEN_PORT", str(probe.getsockname()[1]))
    monkeypatch.setenv("OSTIARY_LISTEN_HOST", host)
    # `serve` sets up the logging of its process, and this is not its process.
    monkeypatch.setattr(logging, "configure", lambda *_: None)
    mask = os.umask(0o022)
    yield Cli(monkeypatch, capfd, tmp_path)
    os.umask(mask)


def test_init_makes_everything_and_keeps_it(cli: Cli) -> None:
    first = cli.init()
    assert first.code == 0, first.err
    assert first.json["ca_pin"].startswith("sha256/")
    assert first.json["owner"].startswith("usr_")
    assert {"master secret", "database schema", "CA", "signing keys", "owner"} <= set(first.json["made"])
    state = cli.folder / "state"
    modes = {path.name: path.stat().st_mode & 0o777 for path in state.iterdir()}
    assert modes["master.secret"] == 0o600
    assert modes["controller.db"] == 0o600
    assert modes["ca.pem"] == 0o644
    assert state.stat().st_mode & 0o777 == 0o700
    again = cli.init()
    assert (again.json["made"], again.json["ca_pin"], again.json["owner"]) == (
        [],
        first.json["ca_pin"],
        first.json["owner"],
    )


def test_init_tells_a_person_what_comes_next(cli: Cli) -> None:
    cli.init()
    shown = cli("init")
    assert "CA pin      sha256/" in shown.out
    assert "ostiary-controller serve" in shown.out
    assert f"ostiary admin login {URL} --ca-pin sha256/" in shown.out
    other = cli("init", "--public-url", "https://other.example")
    assert other.code == 0
    assert "was set up as https://localhost:8443" in other.err


def test_the_first_owner_may_be_made_in_the_browser(cli: Cli) -> None:
    made = cli("init", "--public-url", URL, "--without-owner", "--json").json
    assert made["owner"] is None
    assert made["setup_token"].startswith("ost_setup_")
    again = cli("admin", "setup-token")
    assert again.code == 0
    assert URL in again.out
    token = again.out.split("set-up token")[1].split()[0]
    assert token != made["setup_token"]
    with sqlite3.connect(cli.folder / "state" / "controller.db") as database:
        stored = str(database.execute("SELECT * FROM enrolments").fetchall())
    assert stored.count("'setup', 'setup'") == 1, "the earlier one is void"
    assert token not in stored
    assert cli.init().json["owner"] is not None
    late = cli("admin", "setup-token")
    assert (late.code != 0, late.out) == (True, "")
    assert "has an owner" in late.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("init", "--public-url", URL, "--owner", "a@b.c", "--without-owner"), "--without-owner"),
        (("init",), "--public-url"),
        (("init", "--public-url", "http://plain.example"), "https://HOST"),
        (("init", "--public-url", "https://host/path"), "without a path"),
        (("init", "--public-url", URL, "--owner", "a@b.c"), "--password-file"),
        (("init", "--public-url", URL, "--owner-name", "x"), "--owner"),
        (("init", "--public-url", URL, "--owner", "a@b.c", "--password-file", "/nowhere"), "/nowhere"),
        (("keys", "list"), "next: Run `ostiary-controller init`."),
        (("serve",), "next: Run `ostiary-controller init`."),
        (("health",), "next: Run `ostiary-controller init`."),
        (("events", "verify"), "next: Run `ostiary-controller init`"),
        (("check-config", "extra"), "extra"),
    ],
)
def test_mistakes_are_one_sentence_with_a_next_step(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    ran = cli(*arguments)
    assert ran.code in (1, 2)
    assert ran.out == ""
    assert words in ran.err
    assert "Traceback" not in ran.err
    assert len(ran.err.strip().splitlines()) <= 5


def test_the_owners_password_is_asked_for_at_a_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def typed(prompt: str, stream: object) -> str:
        asked.append(prompt)
        return "correct horse battery"

    monkeypatch.setattr("getpass.getpass", typed)
    monkeypatch.setattr("sys.stdin", Terminal())
    ran = cli("init", "--public-url", URL, "--owner", "ada@corp.example", "--json")
    assert ran.json["owner"].startswith("usr_")
    prompt = "Password for ada@corp.example (at least 12 characters)"
    assert asked == [f"{prompt}: ", f"{prompt} again: "]


def test_a_weak_owner_password_is_refused_and_nothing_is_half_made(cli: Cli) -> None:
    weak = cli.folder / "weak"
    weak.write_text("short")
    ran = cli("init", "--public-url", URL, "--owner", "a@b.c", "--password-file", str(weak))
    assert (ran.code, "at least 12 characters" in ran.err) == (2, True)
    assert cli.init().json["owner"].startswith("usr_")


def test_settings_are_strict_and_shown_with_their_origin(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OSTIARY_LISTEN_PORT", "9443")
    monkeypatch.setenv("OSTIARY_DATABASE_URL", "postgresql://u:hunter2@h/d")
    shown = cli("check-config", "--json").json["settings"]
    assert {"key": "listen_port", "value": "9443", "origin": "OSTIARY_LISTEN_PORT"} in shown
    assert "hunter2" not in str(shown)
    assert "hunter2" not in cli("check-config").out
    monkeypatch.setenv("OSTIARY_LISEN_PORT", "1")
    ran = cli("check-config")
    assert (ran.code, "did you mean OSTIARY_LISTEN_PORT" in ran.err) == (2, True)
    monkeypatch.delenv("OSTIARY_LISEN_PORT")
    file = tmp_path / "controller.toml"
    for text, words in (
        ("listen_prt = 1", "listen_port"),
        ('listen_port = "x"', "listen_port"),
        ("listen_port = 0", "listen_port"),
        ('tls = "maybe"', "internal, files, off"),
        ('tls = "files"', "tls_certificate"),
        ("not toml", "controller.toml"),
    ):
        file.write_text(text)
        monkeypatch.delenv("OSTIARY_LISTEN_PORT", raising=False)
        ran = cli("--config", str(file), "check-config")
        assert (ran.code, words in ran.err) == (2, True), (text, ran.err)


def test_keys_rotate_and_are_distrusted_beside_a_server(cli: Cli) -> None:
    cli.init()
    before = cli("keys", "list", "--json").json["keys"]
    assert [key["status"] for key in before] == ["active", "next"]
    after = cli("keys", "rotate", "--json").json["keys"]
    assert after[0]["kid"] == before[1]["kid"]
    distrusted = cli("keys", "distrust", after[0]["kid"], "--json").json["keys"]
    assert [key["status"] for key in distrusted] == ["active", "next", "previous", "distrusted"]
    assert "distrusted" in cli("keys", "list").out
    unknown = cli("keys", "distrust", "unknown")
    assert (unknown.code, "signing key" in unknown.err) == (1, True)


def test_t9_a_changed_event_is_named(cli: Cli) -> None:
    cli.init()
    whole = cli("events", "verify", "--json")
    assert (whole.code, whole.json["ok"], whole.json["faults"]) == (0, True, [])
    exported = [json.loads(line) for line in cli("events", "export").out.splitlines()]
    events = [item for item in exported if item["kind"] == "event"]
    assert [item["position"] for item in events] == list(range(1, whole.json["checked"] + 1))
    assert events[0]["type"] == "controller.initialised/1"
    assert "ada@corp.example" not in str(exported)
    target = cli.folder / "events.jsonl"
    assert cli("events", "export", "--output", str(target)).code == 0
    assert target.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(cli.folder / "state" / "controller.db") as database:
        for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute("UPDATE events SET actor = 'somebody' WHERE position = 3")
    database.close()
    broken = cli("events", "verify", "--json")
    assert (broken.code, broken.json["faults"][0]["position"]) == (1, 3)
    assert "event 3:" in cli("events", "verify").out


def test_a_password_can_be_reset_on_the_host(cli: Cli) -> None:
    cli.init()
    made_up = cli("admin", "reset-password", "ADA@corp.example", "--json")
    assert len(made_up.json["password"]) >= 20
    fresh = cli.folder / "fresh"
    fresh.write_text("another long password\n")
    given = cli("admin", "reset-password", "ada@corp.example", "--password-file", str(fresh), "--json")
    assert given.json["password"] is None
    unknown = cli("admin", "reset-password", "nobody@corp.example")
    assert (unknown.code, "nobody@corp.example" in unknown.err) == (1, True)


def test_the_schema_can_be_looked_after(cli: Cli) -> None:
    empty = cli("db", "current", "--json")
    assert (empty.json["current"], empty.json["up_to_date"]) == (None, False)
    assert cli("db", "upgrade", "--json").json["up_to_date"] is True
    assert cli("db", "check", "--json").json["ok"] is True
    assert cli("db", "current").out.startswith("schema   ")
    assert cli("db", "downgrade", "--json", "--", "-1").json["up_to_date"] is False
    assert cli("db", "check").code == 1
    cli("db", "upgrade")
    with sqlite3.connect(cli.folder / "state" / "controller.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'future'")
    database.close()
    for command in (("init", "--public-url", URL), ("serve",), ("db", "upgrade"), ("keys", "list")):
        newer = cli(*command)
        assert (newer.code, "written by a newer version" in newer.err) == (1, True), (command, newer.err)


def test_the_master_secret_is_missed_and_recognised(cli: Cli) -> None:
    cli.init()
    secret = cli.folder / "state" / "master.secret"
    secret.unlink()
    for command in (("serve",), ("keys", "rotate")):
        ran = cli(*command)
        assert (ran.code, "master.secret is missing" in ran.err) == (2, True)
    secret.write_bytes(b"x" * 32)
    secret.chmod(0o600)
    wrong = cli("serve")
    assert (wrong.code, "was not sealed with this master.secret" in wrong.err) == (1, True)


def test_version_and_openapi(cli: Cli) -> None:
    assert SOFTWARE in cli("--version").out
    assert cli("version", "--json").json["version"] == SOFTWARE
    assert json.loads(cli("openapi").out)["openapi"].startswith("3.1")


@pytest.mark.parametrize(
    "command",
    [
        ("init",),
        ("serve",),
        ("health",),
        ("check-config",),
        ("openapi",),
        ("db", "upgrade"),
        ("db", "downgrade"),
        ("keys", "rotate"),
        ("keys", "distrust"),
        ("events", "verify"),
        ("events", "export"),
        ("events", "replay"),
        ("admin", "reset-password"),
    ],
)
def test_help_teaches_with_an_example(cli: Cli, command: tuple[str, ...]) -> None:
    shown = cli(*command, "--help")
    assert shown.code == 0
    assert "ostiary-controller" in shown.out.partition("Options:")[0].partition("\n")[2]
    assert "\x1b" not in shown.out


def test_nothing_heavy_is_imported_for_help() -> None:
    code = (
        "import sys; sys.argv = ['ostiary-controller', '--help']\n"
        "from controller.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'fastapi', 'sqlalchemy', 'pydantic', 'cryptography', 'structlog', 'uvicorn'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_relay_token_needs_nobody_who_signs_in(cli: Cli) -> None:
    pin = cli.init().json["ca_pin"]
    file = cli.folder / "relay.token"
    made = cli("relay-token", "relay-1", "--fqdn", "relay.corp.example", "--port", "8444", "--output", str(file))
    assert (made.code, made.out) == (0, "")
    assert file.stat().st_mode & 0o777 == 0o600
    token = parse_untrusted(file.read_text())
    assert (token.kind, token.url, token.pin) == ("relay", URL, pin)
    again = parse_untrusted(cli("relay-token", "relay-1", "--fqdn", "relay.corp.example").out)
    assert again.secret != token.secret
    assert cli("relay-token", "relay-2", "--fqdn", "not a name").code == 2


def test_behind_a_proxy_a_relay_token_carries_no_pin(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.init()
    monkeypatch.setenv("OSTIARY_TLS", "off")
    assert parse_untrusted(cli("relay-token", "relay-1", "--fqdn", "relay.corp.example").out).pin is None
