"""`ostiary dns`: what is printed, and the exit codes."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from client.cli import commands_dns, dns
from protocol.errors import RefusedError
from protocol.reasons import Reason

STATUS: dict[str, Any] = {
    "mode": "systemd-resolved",
    "server": "100.96.0.1",
    "explanation": "it runs",
    "strict": True,
    "splits": True,
    "domains": ["corp.internal"],
    "domain_count": 3,
    "upstreams": ["192.0.2.53"],
    "guarded": 4,
    "known_names": 1,
    "synthetic_names": 2,
}
ANSWER: dict[str, Any] = {
    "name": "wiki.corp.internal",
    "type": "A",
    "answered_by": "client",
    "rcode": "NOERROR",
    "answers": ["wiki.corp.internal. 30 IN A 100.96.0.9"],
    "why": [],
    "took_ms": 0.4,
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Runs one command against a daemon that answers ``result``."""

    def runner(*arguments: str, result: dict[str, Any] | Exception) -> tuple[int, str]:
        def call(verb: str, args: dict[str, Any] | None = None) -> dict[str, Any]:
            if isinstance(result, Exception):
                raise result
            return result | {"asked": [verb, args]}

        monkeypatch.setattr(dns, "call", call)
        done = CliRunner().invoke(commands_dns.app, arguments)
        return done.exit_code, done.output

    return runner


def test_status_names_the_way_the_domains_and_where_the_rest_goes(run: Callable[..., tuple[int, str]]) -> None:
    code, out = run("status", result=STATUS)
    assert code == 0
    for part in ("systemd-resolved: it runs", "corp.internal and 2 more", "192.0.2.53", "4 names never reach another"):
        assert part in out
    code, out = run("status", result=STATUS | {"mode": "off", "domains": [], "strict": False})
    assert code == 3
    assert "the client is not up" in out


def test_status_names_the_search_domains_and_what_cannot_be_kept(run: Callable[..., tuple[int, str]]) -> None:
    _, out = run("status", result=STATUS | {"searches": ["office.example", "b.example"]})
    assert "reach another resolver, nor with office.example b.example behind them" in out
    assert "a search domain that this host gets while no daemon runs" in out, "systemd-resolved cannot be told then"
    _, out = run("status", result=STATUS | {"mode": "resolv.conf", "splits": False, "searches": ["office.example"]})
    assert "while no daemon runs" not in out, "every question comes to us, and nobody else is asked"


def test_the_help_of_query_names_every_exit_code(run: Callable[..., tuple[int, str]]) -> None:
    _, out = run("query", "--help", result={})
    assert {"0", "1", "3", "7", "8"} <= set(out.split())


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({}, 0, "the client itself"),
        ({"answers": [], "rcode": "NXDOMAIN"}, 1, "NXDOMAIN"),
        ({"answers": []}, 1, "no such data"),
        ({"answers": [], "rcode": "SERVFAIL", "why": ["Strict DNS keeps it."]}, 8, "Strict DNS keeps it."),
        ({"answered_by": "upstream"}, 0, "no resource of yours"),
    ],
)
def test_query_says_who_answered_and_why_not(
    run: Callable[..., tuple[int, str]], change: dict[str, Any], code: int, said: str
) -> None:
    exit_code, out = run("query", "wiki.corp.internal", result=ANSWER | change)
    assert exit_code == code
    assert said in out
    as_json = json.loads(run("query", "x.internal", "--type", "TXT", "--json", result=ANSWER | change)[1])
    assert as_json["asked"] == ["dns_query", {"name": "x.internal", "type": "TXT"}]


def test_reset_forgets_names_only_when_told(run: Callable[..., tuple[int, str]]) -> None:
    assert json.loads(run("reset", "--json", result=STATUS)[1])["asked"] == ["dns_reset", {"forget": False}]
    assert json.loads(run("reset", "--forget", "--json", result=STATUS)[1])["asked"] == ["dns_reset", {"forget": True}]


def test_a_refusal_keeps_its_exit_code(run: Callable[..., tuple[int, str]]) -> None:
    assert run("reset", "--forget", result=RefusedError(Reason.NEEDS_ROOT, "x"))[0] == 6


def test_the_proxy_mode_says_that_it_has_no_questions(run: Callable[..., tuple[int, str]]) -> None:
    shown = STATUS | {"mode": "proxy", "explanation": "programs hand names to the proxy", "domains": []}
    code, out = run("status", result=shown)
    assert code == 0
    assert out.splitlines() == [
        "questions   none: programs hand names to the proxy",
        "strict      on: 4 names are never looked up elsewhere",
    ]


@pytest.mark.parametrize(("reason", "code"), [("pairing_timeout", 7), ("timeout", 7), ("no_connector", 3)])
def test_who_was_asked_and_was_silent_did_not_answer(
    run: Callable[..., tuple[int, str]], reason: str, code: int
) -> None:
    silent = {"answered_by": "connector", "rcode": "SERVFAIL", "answers": [], "why": ["Silent."], "reason": reason}
    exit_code, out = run("query", "wiki.corp.internal", result=ANSWER | silent)
    assert exit_code == code
    assert out.splitlines()[-1].startswith("asked the resource's connector, no answer")
    assert "answered" not in out


def test_a_refusal_and_a_connectors_own_failure_are_answers(run: Callable[..., tuple[int, str]]) -> None:
    failed = {"rcode": "SERVFAIL", "answers": [], "why": ["No."], "reason": "name_withheld"}
    assert run("query", "wiki.corp.internal", result=ANSWER | failed)[0] == 8
    failed |= {"answered_by": "connector", "reason": "resolver_failed"}
    assert "answered by the resource's connector" in run("query", "wiki.corp.internal", result=ANSWER | failed)[1]


def test_while_the_client_is_down_no_name_is_called_no_resource(run: Callable[..., tuple[int, str]]) -> None:
    code, out = run("query", "wiki.corp.internal", result=ANSWER | {"answered_by": "upstream", "up": False})
    assert code == 3
    assert out.splitlines() == ["error: The client is down.", "next: ostiary up"]
    code, out = run("query", "wiki.corp.internal", result=ANSWER | {"up": False})
    assert code == 0, "what strict DNS keeps, we answer"
    assert "`ostiary up`" in out
