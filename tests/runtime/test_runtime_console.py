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


def test_a_better_next_step_replaces_the_general_one(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_error(LocalError(Reason.DAEMON_NOT_RUNNING), next_step="systemctl start ostiary-connector")
    assert "next: systemctl start ostiary-connector\n" in capsys.readouterr().err
    console.print_error(LocalError(Reason.DAEMON_NOT_RUNNING), as_json=True, next_step="start it")
    assert json.loads(capsys.readouterr().out)["error"]["next"] == "start it"


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
