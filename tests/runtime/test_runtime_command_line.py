"""The five commands are declared alike."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from client.cli.commands import app as ostiary
from client.cli.daemon import app as ostiaryd
from connector.cli import app as ostiary_connector
from controller.cli.main import app as ostiary_controller
from protocol.errors import LocalError
from protocol.reasons import Reason
from protocol.version import PROTOCOL, SOFTWARE
from relay.cli import app as ostiary_relay
from runtime.command_line import ask_daemon, command_group, enrolment_token

COMMANDS = {
    "ostiary": ostiary,
    "ostiaryd": ostiaryd,
    "ostiary-controller": ostiary_controller,
    "ostiary-relay": ostiary_relay,
    "ostiary-connector": ostiary_connector,
}
DAEMONS = {name: app for name, app in COMMANDS.items() if name != "ostiary"}


def invoke(app: typer.Typer, name: str, *arguments: str, **env: str) -> Result:
    return CliRunner().invoke(app, list(arguments), prog_name=name, env=env)


@pytest.mark.parametrize(("name", "app"), COMMANDS.items())
def test_help_is_plain_and_versions_agree(name: str, app: typer.Typer) -> None:
    for flag in ("-h", "--help"):
        shown = invoke(app, name, flag)
        assert (shown.exit_code, shown.stdout.startswith("Usage: ")) == (0, True)
        assert shown.stdout.isascii(), "boxes and colours"
    line = f"{name} {SOFTWARE} (protocol {PROTOCOL})"
    assert invoke(app, name, "--version").stdout == line + "\n"
    assert invoke(app, name, "version").stdout.splitlines()[0] == line
    body = json.loads(invoke(app, name, "version", "--json").stdout)
    assert (body["schema"], body["version"], body["protocol"]) == (1, SOFTWARE, PROTOCOL)


@pytest.mark.parametrize(("name", "app"), COMMANDS.items())
@pytest.mark.parametrize("argument", ["nonsense", "--nonsense"])
def test_wrong_usage_is_told_like_every_error(name: str, app: typer.Typer, argument: str) -> None:
    done = invoke(app, name, argument)
    assert (done.exit_code, done.stdout) == (2, "")
    first, last = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert argument in first
    assert last == f"next: See `{name} --help`."


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("completion",), "Missing argument 'shell'. Choose from: bash, zsh, fish"),
        (("wait", "--for", "nothing"), "'nothing' is not one of 'live', 'ready', 'resource'."),
        (("events", "-n", "x"), "it should be a whole number"),
        (("ping", "db", "--count", "0"), "it should be greater than or equal to 1"),
    ],
)
def test_wrong_usage_is_told_on_one_line_in_plain_words(arguments: tuple[str, ...], sentence: str) -> None:
    first, _ = invoke(ostiary, "ostiary", *arguments).stderr.splitlines()
    assert first.endswith(sentence)
    assert "\\" not in first
    assert "Value error" not in first


@pytest.mark.parametrize(("name", "app"), DAEMONS.items())
def test_check_config_has_one_form(name: str, app: typer.Typer, tmp_path: Path) -> None:
    env = {"OSTIARY_STATE_DIR": str(tmp_path / "state")}
    table = invoke(app, name, "check-config", **env)
    assert table.exit_code == 0, table.stderr
    assert table.stdout.splitlines()[0].split() == ["SETTING", "VALUE", "FROM"]
    body = json.loads(invoke(app, name, "check-config", "--json", **env).stdout)
    assert (body["schema"], body["ok"]) == (1, True)
    assert {"key": "state_dir", "value": str(tmp_path / "state"), "origin": "OSTIARY_STATE_DIR"} in body["settings"]


@pytest.mark.parametrize("name", ["ostiary-relay", "ostiary-connector"])
def test_a_daemon_that_is_not_there_is_named_with_the_way_to_start_it(name: str, tmp_path: Path) -> None:
    for verb in ("status", "health"):
        done = invoke(COMMANDS[name], name, verb, "--runtime-dir", str(tmp_path))
        assert done.exit_code == 5
        assert f"The {name.removeprefix('ostiary-')} is not running." in done.stderr
        assert done.stderr.endswith(f"next: Start it: `sudo {name} run`, or its service.\n")


def test_other_errors_of_a_daemon_pass_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(LocalError) as caught:
        ask_daemon("relay", tmp_path / "no.sock", "status")
    assert caught.value.reason is Reason.DAEMON_NOT_RUNNING


def test_a_list_of_commands_shows_whole_sentences() -> None:
    shown = invoke(ostiary_controller, "ostiary-controller", "--help").stdout
    sentence = "Set the controller up: directory, master secret, database, CA, signing keys, first owner."
    assert sentence in " ".join(shown.split())


def test_a_group_without_a_verb_prints_its_help_and_is_wrong_usage() -> None:
    done = invoke(ostiary_controller, "ostiary-controller", "keys")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: ostiary-controller keys")


def test_a_command_decides_its_exit_code_and_an_interruption_is_130() -> None:
    app = command_group("For the test.")

    @app.command()
    def leave(code: int) -> None:
        raise typer.Exit(code)

    @app.command()
    def interrupted() -> None:
        raise KeyboardInterrupt

    @app.command()
    def asked_in_vain() -> None:
        raise typer.Abort

    assert [invoke(app, "x", *words).exit_code for words in (("leave", "7"), ("interrupted",), ("asked-in-vain",))] == [
        7,
        130,
        130,
    ]


def test_an_enrolment_token_is_given_once(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("otk_abc\n")
    assert enrolment_token(None, str(tmp_path / "token")) == "otk_abc"
    for both in ((None, None), ("otk_abc", str(tmp_path / "token"))):
        with pytest.raises(LocalError) as caught:
            enrolment_token(*both)
        assert caught.value.reason is Reason.INVALID_INPUT


def test_t11_a_token_in_argv_is_warned_about_and_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert enrolment_token("otk_secret", None) == "otk_secret"
    err = capsys.readouterr().err
    assert "visible to others in `ps`" in err
    assert "otk_secret" not in err


def test_the_module_loads_no_event_loop() -> None:
    probe = "import sys, runtime.command_line; print('uvloop' in sys.modules or 'asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
