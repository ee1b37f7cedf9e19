"""`ostiary request` and `ostiary requests`: what is asked of the daemon, what a person reads, exit codes."""

import json
import time
from typing import Any

import pytest
from command_line import CommandLine
from fake_daemon import FakeDaemon

from client.cli import asking
from protocol.errors import RefusedError
from protocol.reasons import Reason


def asked(status: str = "open", **more: Any) -> dict[str, Any]:
    return {
        "id": "arq_QQQQQQQQQQQQQQQQQQQQQQ",
        "target": "db.corp",
        "port": 5432,
        "status": status,
        "asked": time.time() - 65,
        "expires": time.time() + 6 * 86_400 + 100,
        "duration_s": 7200,
        "reason": "release",
        "answer": "",
        "granted_until": None,
        **more,
    }


def test_request_says_what_happens_next(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["request"] = {"request": asked()}
    ran = ostiary("request", "db.corp:5432", "--reason", "release", "--for", "2h")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "asked for db.corp:5432, for 2 h.",
        "  answered by  somebody who may, or it closes in 6 days",
        "next: ostiary requests",
    ]
    (_, args), *_ = daemon.asked
    assert args == {"target": "db.corp", "port": 5432, "reason": "release", "duration_s": 7200}


def test_a_name_with_blanks_is_no_host(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["request"] = {"request": asked()}
    assert ostiary("request", "Payroll database", "--reason", "audit", "--json").code == 0
    assert daemon.asked[0][1]["target"] == "Payroll database"
    assert daemon.asked[0][1]["duration_s"] is None


@pytest.mark.parametrize(
    ("status", "code", "line"),
    [
        ("approved", 0, "db.corp:5432 is yours until it ends in 2 h."),
        ("denied", 8, "access to db.corp:5432 was denied."),
        ("withdrawn", 1, "the request for db.corp:5432 is withdrawn."),
    ],
)
def test_wait_comes_back_with_the_answer(
    ostiary: CommandLine, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, status: str, code: int, line: str
) -> None:
    monkeypatch.setattr(asking, "POLL_S", 0.01)
    until = time.time() + 7300 if status == "approved" else None
    daemon.results["request"] = {"request": asked()}
    daemon.results["requests"] = {"requests": [asked(status, granted_until=until, answer="so be it")]}
    ran = ostiary("request", "db.corp:5432", "--reason", "release", "--wait")
    assert ran.code == code
    assert ran.out.splitlines() == [line, "  answer  so be it"]


def test_wait_gives_up(ostiary: CommandLine, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "POLL_S", 0.01)
    daemon.results["request"] = {"request": asked()}
    daemon.results["requests"] = {"requests": [asked()]}
    ran = ostiary("request", "db.corp", "--reason", "r", "--wait", "--timeout", "50ms", "--json")
    assert ran.code == 7


def test_requests_are_listed_and_withdrawn(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    until = time.time() + 7300
    daemon.results["requests"] = {"requests": [asked("approved", granted_until=until, answer="until ten"), asked()]}
    ran = ostiary("requests")
    assert ran.code == 0
    assert "approved, ends in 2 h" in ran.out
    assert "until ten" in ran.out
    assert len(json.loads(ostiary("requests", "--json").out)["requests"]) == 2
    daemon.results["withdraw"] = {"request": asked("withdrawn")}
    ran = ostiary("requests", "--withdraw", "arq_QQQQQQQQQQQQQQQQQQQQQQ")
    assert ran.out == "request arq_QQQQQQQQQQQQQQQQQQQQQQ for db.corp:5432 is withdrawn\n"


def test_nothing_asked_for_names_the_command(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["requests"] = {"requests": []}
    assert 'next: ostiary request HOST[:PORT] --reason "…"' in ostiary("requests").err


def test_a_refusal_has_its_exit_code(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["request"] = RefusedError(Reason.SIGN_IN_REQUIRED, "nobody")
    assert ostiary("request", "db.corp", "--reason", "r").code == 4


def test_what_is_granted_already_is_explained_in_place_of_asked_for(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["request"] = RefusedError(Reason.ALREADY_EXISTS, "said by the controller")
    ran = ostiary("request", "wiki.corp:443", "--reason", "x")
    assert "You have a grant for this already." in ran.err
    assert ran.err.endswith("next: ostiary explain wiki.corp:443\n")


def test_a_bad_duration_is_wrong_usage(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    assert ostiary("request", "db.corp", "--reason", "r", "--for", "soon").code == 2
    assert not daemon.asked


def test_explain_ends_with_the_command_to_type(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    command = 'ostiary request db.corp:5432 --reason "…"'
    daemon.results["explain"] = {
        "host": "db.corp",
        "port": 5432,
        "transport": "tcp",
        "allowed": False,
        "reason": "no_grant",
        "sentence": "No grant gives you this resource.",
        "request": command,
        "next": command,
    }
    ran = ostiary("explain", "db.corp:5432")
    assert (ran.code, ran.out.splitlines()[-1]) == (8, f"next: {command}")
    daemon.results["explain"] = {"host": "x", "port": None, "intercepted": False, "allowed": False, "request": "r"}
    assert ostiary("explain", "x").out.splitlines()[-1] == "to ask for access: r"
