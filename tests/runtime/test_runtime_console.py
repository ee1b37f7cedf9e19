"""Console: exit codes, one-line errors, JSON, tables."""

import json

import pytest

from protocol.errors import LocalError, RefusedError
from protocol.reasons import Reason
from runtime import console


def test_every_reason_has_an_exit_code_of_the_contract() -> None:
    allowed = {0, 1, 2, 3, 4, 5, 6, 7, 8}
    assert {console.exit_code(reason) for reason in Reason} <= allowed
    assert console.exit_code(Reason.NOT_A_RESOURCE) == console.DENIED
    assert console.exit_code(Reason.SESSION_ENDED) == console.SIGN_IN
    assert console.exit_code(Reason.DAEMON_NOT_RUNNING) == console.NO_DAEMON
    assert console.exit_code(Reason.CONFIG_INVALID) == console.USAGE
    assert console.exit_code(Reason.CONNECTION_REFUSED) == console.FAILED


def test_an_error_is_two_lines_and_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, console.exit_on_error():
        raise LocalError(Reason.CONFIG_INVALID, "key 'x'\x1b[31m")
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == ("error: The configuration is not valid. (key 'x'\\x1b[31m)\nnext: Correct the key that is named.\n")


def test_an_error_as_json_is_one_object_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, console.exit_on_error(as_json=True):
        raise RefusedError(Reason.ENROLMENT_USED, "")
    assert caught.value.code == 1
    body = json.loads(capsys.readouterr().out)
    assert (body["schema"], body["ok"], body["error"]["reason"]) == (1, False, "enrolment_used")
    assert body["error"]["next"]


def test_advice_replaces_the_general_sentence_and_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    error = console.AdviceError(
        Reason.DAEMON_NOT_RUNNING, "/run/x", sentence="The relay is not running.", next_step="start it"
    )
    console.print_error(error)
    assert capsys.readouterr().err == "error: The relay is not running. (/run/x)\nnext: start it\n"
    console.print_error(error, as_json=True)
    body = json.loads(capsys.readouterr().out)["error"]
    assert (body["reason"], body["next"]) == ("daemon_not_running", "start it")


@pytest.mark.parametrize(
    ("why", "ready", "code", "text"),
    [
        (None, True, 0, "ready\n"),
        (None, False, 0, "live\n"),
        (LocalError(Reason.SHUTTING_DOWN, "drains"), False, 0, "live\n"),
        (
            LocalError(Reason.SHUTTING_DOWN, "drains"),
            True,
            3,
            "not ready: The component is shutting down. (drains)\n"
            "next: Try again; another one takes over where there is one.\n",
        ),
    ],
)
def test_health_has_one_shape(
    why: LocalError | None, ready: bool, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    body = None if why is None else console.error_object(why)
    assert console.print_health(why_not=body, ready=ready, as_json=False) == code
    assert capsys.readouterr().out == text
    assert console.print_health(why_not=body, ready=ready, as_json=True) == code
    shown = json.loads(capsys.readouterr().out)
    assert shown == {"schema": 1, "ok": code == 0, "live": True, "ready": why is None, "why": body}


def test_settings_and_versions_have_one_shape(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("mode", "tun", "default")]
    console.print_settings(rows, as_json=False, standing="not enrolled", facts={"enrolled": False})
    assert capsys.readouterr().out == "SETTING  VALUE  FROM\nmode     tun    default\nnot enrolled\n"
    console.print_settings(rows, as_json=True, standing="not enrolled", facts={"enrolled": False})
    assert json.loads(capsys.readouterr().out) == {
        "schema": 1,
        "ok": True,
        "settings": [{"key": "mode", "value": "tun", "origin": "default"}],
        "enrolled": False,
    }
    console.print_version("ostiary-x", as_json=True)
    assert json.loads(capsys.readouterr().out).keys() == {"schema", "version", "protocol"}


def test_interruption_is_130() -> None:
    with pytest.raises(SystemExit) as caught, console.exit_on_error():
        raise KeyboardInterrupt
    assert caught.value.code == 130


def test_tables_align_and_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_table(["NAME", "STATE"], [["relay-1", "attached"], ["r\x1b[2J\n", None]])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["NAME        STATE", "relay-1     attached", "r\\x1b[2J\\n"]


def test_lines_and_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_lines("one", "two\r")
    console.warn("careful")
    assert capsys.readouterr() == ("one\ntwo\\r\n", "warning: careful\n")
