"""No green light without a connector's answer; ping, wait and events against a daemon that says what the test wants."""

import json
import time
from typing import Any

import pytest
from command_line import CommandLine
from fake_daemon import FakeDaemon

from protocol.errors import RefusedError
from protocol.reasons import Reason

NETWORK = {
    "network": "net_A",
    "network_name": "office",
    "state": "reachable",
    "connector_name": "office-1",
    "rtt_ms": 4.2,
}
DEAD = {"network": "net_B", "network_name": "lab", "state": "unreachable", "reason": "no_connector"}


def status_of(health: str, *networks: dict[str, Any]) -> dict[str, Any]:
    checked = time.time() - 4
    return {"state": "online", "health": health, "networks": [{**item, "checked": checked} for item in networks]}


@pytest.mark.parametrize(
    ("health", "networks", "code", "ready"),
    [
        ("ready", [NETWORK], 0, 0),
        ("degraded", [NETWORK, DEAD], 0, 0),
        ("unreachable", [DEAD], 3, 3),
        ("unchecked", [{"network_name": "office", "state": "unchecked"}], 3, 3),
        ("no_resources", [], 0, 3),
    ],
)
def test_a_status_is_good_only_when_a_connector_answers(
    ostiary: CommandLine, daemon: FakeDaemon, health: str, networks: list[dict[str, Any]], code: int, ready: int
) -> None:
    daemon.results["status"] = status_of(health, *networks)
    assert ostiary("status").code == code
    assert ostiary("status", "--check", "live").code == 0
    probed = ostiary("status", "--check", "ready", "--json")
    assert (probed.code, probed.json["ok"], probed.json["health"]) == (ready, ready == 0, health)
    assert daemon.asked[-1][1]["fresh_s"] <= 1


def test_each_network_says_who_answers_and_how_long_ago(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["status"] = status_of("degraded", NETWORK, DEAD)
    lines = ostiary("status").out.splitlines()
    assert lines[0] == "online; NOT EVERY NETWORK IS REACHABLE"
    assert "  office  office-1 answers in 4 ms; checked 4 s ago" in lines
    assert "  lab     UNREACHABLE: No connector of this remote network is online.; checked 4 s ago" in lines
    assert lines[-1] == "next: ostiary doctor"


def step(name: str, status: str = "ok", **more: Any) -> dict[str, Any]:
    return {"name": name, "status": status, "ms": 1.25, "sentence": f"{name} speaks", "next": "", **more}


def test_ping_shows_each_step_with_its_time(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    answer = {"ok": True, "host": "db", "port": 5432, "transport": "tcp", "steps": [step("tunnel"), step("resource")]}
    daemon.results["ping"] = answer
    ran = ostiary("ping", "db:5432")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "ok      tunnel          1.2 ms  tunnel speaks",
        "ok      resource        1.2 ms  resource speaks",
        "db:5432 is reachable",
    ]
    assert daemon.asked == [("ping", {"host": "db", "port": 5432, "transport": "tcp"})]
    assert ostiary("ping", "db:5432", "--json").json == {"schema": 1, **answer}


def test_ping_shows_each_step_as_it_happens(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    tunnel, resource = step("tunnel"), step("resource", "fail", reason="connection_refused", next="Do this.")
    daemon.events["ping"] = [{"kind": "step", **tunnel}, {"kind": "of a newer daemon"}]
    daemon.results["ping"] = RefusedError(Reason.SHUTTING_DOWN)
    ran = ostiary("ping", "db:5432")
    assert ran.out.splitlines() == ["ok      tunnel          1.2 ms  tunnel speaks"], "before the answer"
    assert ran.code != 0
    daemon.results["ping"] = {"ok": False, "host": "db", "port": 5432, "transport": "tcp", "steps": [tunnel, resource]}
    lines = ostiary("ping", "db:5432").out.splitlines()
    assert [line.split()[1] for line in lines[:2]] == ["tunnel", "resource"], "each once"
    assert lines[2:] == ["db:5432 is NOT reachable", "next: Do this."]
    assert len(ostiary("ping", "db:5432", "--json").out.splitlines()) == 1


@pytest.mark.parametrize(("reason", "code"), [("port_not_allowed", 8), ("no_connector", 3), ("connection_refused", 1)])
def test_a_failed_ping_leaves_with_the_code_of_its_cause(
    ostiary: CommandLine, daemon: FakeDaemon, reason: str, code: int
) -> None:
    broken = step("policy", "fail", ms=None, reason=reason, next="Do this.")
    daemon.results["ping"] = {"ok": False, "host": "db", "port": 1, "transport": "tcp", "steps": [broken]}
    ran = ostiary("ping", "Payroll DB")
    assert ran.code == code
    assert ran.out.splitlines()[-2:] == ["db:1 is NOT reachable", "next: Do this."]
    assert daemon.asked[0][1]["host"] == "Payroll DB"


def test_wait_comes_back_when_a_connector_answers(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["status"] = status_of("ready", NETWORK)
    assert ostiary("wait").code == 0
    assert ostiary("wait", "--json").json["for"] == "ready"


def test_wait_gives_up_with_the_reason(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["status"] = status_of("unreachable", DEAD)
    ran = ostiary("wait", "--timeout", "0s")
    assert ran.code == 7
    assert "NO CONNECTOR ANSWERS" in ran.err
    daemon.results["status"] = {"state": "sign_in_required"}
    assert ostiary("wait").code == 4


@pytest.mark.parametrize("state", ["down", "not_configured"])
def test_wait_says_ostiary_up_to_whoever_took_it_down(ostiary: CommandLine, daemon: FakeDaemon, state: str) -> None:
    daemon.results["status"] = {"state": state}
    ran = ostiary("wait")
    assert ran.code == 3
    assert ran.err.splitlines()[-1].startswith("next: ostiary up")
    assert "sign" not in ran.err


def test_wait_for_a_resource_needs_its_name(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["status"] = status_of("ready", NETWORK)
    daemon.results["ping"] = {"ok": True, "host": "db", "port": 1, "transport": "tcp", "steps": []}
    assert ostiary("wait", "--for", "resource", "db:1").code == 0
    assert ostiary("wait", "--for", "resource").code == 2
    assert ostiary("wait", "db:1").code == 2


def test_wait_without_a_daemon_waits_and_then_says_so(ostiary: CommandLine) -> None:
    ran = ostiary("wait", "--for", "live", "--timeout", "0s")
    assert ran.code == 7
    assert "not running" in ran.err
    assert ran.err.splitlines()[-1].startswith("next: Start it")


RESOURCE = ("wait", "--for", "resource", "vault:443")


def refused_by(name: str, reason: str) -> dict[str, Any]:
    broken = step(name, "fail", ms=None, reason=reason, next="Do this.")
    return {"ok": False, "host": "vault", "port": 443, "transport": "tcp", "steps": [broken]}


def test_wait_for_a_resource_that_policy_denies_ends_at_once_with_one_advice(
    ostiary: CommandLine, daemon: FakeDaemon
) -> None:
    daemon.results |= {"status": status_of("ready", NETWORK), "ping": refused_by("policy", "no_grant")}
    began = time.monotonic()
    ran = ostiary(*RESOURCE, "--timeout", "30s")
    assert (ran.code, time.monotonic() - began < 5) == (8, True)
    assert ran.err.splitlines() == ["error: vault:443 is not reachable: policy speaks", "next: Do this."]


@pytest.mark.parametrize(
    ("state", "ping"),
    [
        ("connecting", refused_by("policy", "not_a_resource")),
        ("online", refused_by("resource", "connection_refused")),
        ("online", refused_by("resource", "connector_not_allowed")),
    ],
)
def test_wait_goes_on_while_the_whitelist_may_be_old_or_the_far_side_not_ready(
    ostiary: CommandLine, daemon: FakeDaemon, state: str, ping: dict[str, Any]
) -> None:
    daemon.results |= {"status": {"state": state}, "ping": ping}
    ran = ostiary(*RESOURCE, "--timeout", "1200ms")
    assert ran.code == 7
    assert ran.err.count("next:") == 1
    assert len([verb for verb, _ in daemon.asked if verb == "ping"]) > 1


def test_wait_ends_with_its_time_although_a_look_takes_longer(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["status"] = status_of("ready", NETWORK)
    daemon.hang.add("ping")
    began = time.monotonic()
    assert ostiary(*RESOURCE, "--timeout", "1s").code == 7
    assert time.monotonic() - began < 2.5
    daemon.hang.add("status")
    began = time.monotonic()
    assert ostiary("wait", "--timeout", "1s").code == 7
    assert time.monotonic() - began < 2.5
    assert daemon.asked[-1][1]["verify_s"] <= 1


@pytest.mark.parametrize(("terminal", "lines"), [(True, 1), (False, 0)])
def test_a_wait_that_lasts_says_on_a_terminal_what_for(
    ostiary: CommandLine, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, terminal: bool, lines: int
) -> None:
    monkeypatch.setattr("client.cli.checking.TELL_AFTER_S", 0.1)
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    daemon.results["status"] = status_of("unreachable", DEAD)
    ran = ostiary("wait", "--timeout", "1s")
    assert ran.err.count("waiting for a connector to answer, 1 s at most…\n") == lines
    assert ran.out == ""


def test_a_wrong_duration_ends_with_the_help_of_the_command(ostiary: CommandLine) -> None:
    ran = ostiary("wait", "--timeout", "abc")
    assert (ran.code, ran.err.splitlines()[-1]) == (2, "next: See `ostiary wait --help`.")


def test_netcheck_without_a_daemon_names_the_other_way(ostiary: CommandLine) -> None:
    ran = ostiary("netcheck")
    assert ran.code == 5
    assert "ostiary netcheck https://" in ran.err.splitlines()[-1]


def network_check(name: str, status: str = "ok", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "status": status,
        "ms": None,
        "sentence": f"{name} speaks",
        "reason": None,
        "next": "",
        **more,
    }


@pytest.mark.parametrize(
    ("checks", "last", "code"),
    [
        ([network_check("relay r.example")], "this network lets through what Ostiary needs", 0),
        ([network_check("relays", "skipped")], "the controller is reachable; relays were not checked", 0),
        (
            [network_check("controller", "skipped")],
            "a server answers in the controller's place; neither its certificate nor relays were checked",
            0,
        ),
        ([network_check("clock", "warn", next="Set it."), network_check("relay r.example")], "next: Set it.", 0),
        ([network_check("relay r.example", "fail", reason="relay_unreachable", next="Open it.")], "next: Open it.", 3),
    ],
)
def test_a_network_is_called_good_only_when_every_check_was_made_and_is_good(
    ostiary: CommandLine, daemon: FakeDaemon, checks: list[dict[str, Any]], last: str, code: int
) -> None:
    every = [network_check("dns"), *checks, network_check("udp", "skipped")]
    daemon.results["netcheck"] = {"ok": code == 0, "checks": every}
    ran = ostiary("netcheck")
    assert (ran.out.splitlines()[-1], ran.code) == (last, code)


HAPPENED: list[dict[str, Any]] = [
    {"number": 1, "at": 1.0, "kind": "state", "state": "online"},
    {"number": 2, "at": 2.0, "kind": "allowed", "host": "db", "port": 5432, "transport": "tcp", "resource_name": "DB"},
    {
        "number": 3,
        "at": 3.0,
        "kind": "denied",
        "host": "db",
        "port": 22,
        "transport": "tcp",
        "reason": "port_not_allowed",
        "sentence": "The resource does not include this port.",
        "next": "Ask.",
    },
]


def test_events_say_what_happened_and_why(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["events"] = {"events": HAPPENED}
    lines = [line[9:] for line in ostiary("events").out.splitlines()]
    assert lines == [
        "client   is online",
        "allowed  db:5432 (DB)",
        "DENIED   db:22: The resource does not include this port.",
        "next: Ask.",
    ]
    assert len(ostiary("events", "--trouble").out.splitlines()) == 3


@pytest.mark.parametrize(
    ("state", "said"),
    [("sign_in_required", "needs a sign-in"), ("not_configured", "is not set up"), ("offline", "is offline")],
)
def test_events_name_a_state_as_people_say_it(ostiary: CommandLine, daemon: FakeDaemon, state: str, said: str) -> None:
    daemon.results["events"] = {"events": [{"number": 1, "at": 1.0, "kind": "state", "state": state}]}
    assert ostiary("events").out[9:] == f"client   {said}\n"


def test_trouble_is_asked_for_so_that_what_went_well_takes_no_line(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["events"] = {"events": []}
    ostiary("events", "--trouble", "-n", "3")
    assert daemon.asked == [("events", {"n": 3, "follow": False, "kinds": ["cut", "denied", "state"]})]


def test_events_as_json_are_lines_with_the_schema(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.events["events"], daemon.results["events"] = HAPPENED, {"events": []}
    ran = ostiary("events", "-f", "--json", "--trouble")
    assert [json.loads(line)["kind"] for line in ran.out.splitlines()] == ["state", "denied"]
    assert all(json.loads(line)["schema"] == 1 for line in ran.out.splitlines())
    assert daemon.asked == [("events", {"n": 20, "follow": True, "kinds": ["cut", "denied", "state"]})]
