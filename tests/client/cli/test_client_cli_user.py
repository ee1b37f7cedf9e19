"""The user's commands against a daemon that says what the test wants: golden output, exit codes, next steps."""

import grp
import json
import pwd
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from fake_daemon import FakeDaemon

from client.cli.user import has_desktop, parse_target
from protocol.errors import LocalError, RefusedError
from protocol.reasons import Reason


def online(now: float) -> dict[str, Any]:
    return {
        "state": "online",
        "since": now - 200,
        "user": "grace@corp.example",
        "device": "dev_AAAAAAAAAAAAAAAAAAAAAA",
        "controller": {"url": "https://c.example", "connected": True, "since": now - 190, "clock_offset_ms": 3},
        "revision": 41,
        "epoch": 1,
        "snapshot_not_after": now + 3 * 3600 + 30,
        "session_expires": now + 29 * 86400 + 30,
        "tunnels": [
            {
                "connector": "con_BBBBBBBBBBBBBBBBBBBBBB",
                "relay": "relay.example",
                "since": now - 65,
                "rtt_ms": 12.4,
                "flows": 1,
                "access_expires": now + 200,
            }
        ],
        "flows": 1,
        "dns": {"mode": "resolv.conf", "server": "100.96.0.1"},
        "mode": "tun",
        "denials": [
            {"at": now - 30, "host": "10.20.0.10", "port": 8080, "transport": "tcp", "reason": "port_not_allowed"}
        ],
        "warnings": [],
    }


def test_status_says_how_fresh_everything_is(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["status"] = online(time.time())
    ran = ostiary("status")
    assert ran.code == 0
    assert ran.err == ""
    assert ran.out.splitlines() == [
        "online for 3 min as grace@corp.example",
        "  controller  https://c.example, connected for 3 min",
        "  policy      revision 41, to be renewed in 3 h",
        "  sign-in     ends in 29 days",
        "  device      dev_AAAAAAAAAAAAAAAAAAAAAA",
        "  mode        tun, names by resolv.conf at 100.96.0.1",
        "  flows       1 open now",
        "tunnels",
        "  con_BBBBBBBBBBBBBBBBBBBBBB via relay.example  up for 1 min, 12 ms, 1 flow, access renewed in 3 min",
        "refused lately",
        "  10.20.0.10:8080  30 s ago: The resource does not include this port.",
    ]


@pytest.mark.parametrize(
    ("state", "code", "step"),
    [
        ("online", 0, None),
        ("connecting", 3, "ostiary doctor"),
        ("offline", 3, "ostiary doctor"),
        ("down", 3, "ostiary up"),
        ("sign_in_required", 4, "ostiary login"),
        ("not_configured", 3, "ostiary up https://CONTROLLER --ca-pin sha256/…"),
    ],
)
def test_status_ends_with_the_next_command(
    ostiary: CommandLine, daemon: FakeDaemon, state: str, code: int, step: str | None
) -> None:
    daemon.results["status"] = {"state": state, "since": None}
    ran = ostiary("status")
    assert ran.code == code
    last = ran.out.splitlines()[-1]
    assert last == f"next: {step}" if step else not last.startswith("next:")


def test_status_of_a_wrong_clock_and_a_warning(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["status"] = {
        "state": "online",
        "controller": {"url": "https://c.example", "connected": False, "clock_offset_ms": -7300},
        "warnings": [{"reason": "clock_offset", "sentence": "This host's clock is wrong.", "next": "Set the clock."}],
    }
    lines = ostiary("status").out.splitlines()
    assert "  controller  https://c.example, not connected; this host's clock is 7.3 s behind" in lines
    assert lines[-2:] == ["warning: This host's clock is wrong.", "next: Set the clock."]


def test_status_of_the_proxy_mode(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    dns = {"mode": "off", "server": ""}
    daemon.results["status"] = {"state": "online", "mode": "proxy", "proxy": "127.0.0.1:1055", "dns": dns}
    assert "  mode   proxy, SOCKS5 and HTTP CONNECT on 127.0.0.1:1055" in ostiary("status").out.splitlines()


def test_explain_of_what_is_allowed_but_failed(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["explain"] = {
        "host": "dead",
        "port": 80,
        "transport": "tcp",
        "allowed": True,
        "at": time.time() - 3,
        "last_failure": {"reason": "host_unreachable", "sentence": "The host cannot be reached."},
        "next": "Check the host.",
    }
    ran = ostiary("explain", "dead:80")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "dead:80 is allowed.",
        "But the last attempt failed 3 s ago: The host cannot be reached.",
        "next: Check the host.",
    ]


def test_status_json_is_versioned_also_when_not_online(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["status"] = {"state": "down", "since": 5}
    ran = ostiary("status", "--json")
    assert (ran.code, ran.json) == (3, {"schema": 1, "state": "down", "since": 5})


def test_status_without_a_daemon(ostiary: CommandLine) -> None:
    ran = ostiary("status")
    assert (ran.code, ran.out) == (5, "")
    assert ran.err.splitlines()[0].startswith("error: The client daemon is not running. (")
    assert ran.err.splitlines()[1] == "next: Start it: `sudo ostiaryd`, or its service."
    told = ostiary("status", "--json")
    assert (told.code, told.json["ok"], told.json["error"]["reason"]) == (5, False, "daemon_not_running")


@pytest.mark.parametrize(("state", "live", "ready"), [("online", 0, 0), ("sign_in_required", 0, 4), ("down", 0, 3)])
def test_status_check(ostiary: CommandLine, daemon: FakeDaemon, state: str, live: int, ready: int) -> None:
    daemon.results["status"] = {"state": state}
    assert ostiary("status", "--check", "live").code == live
    ran = ostiary("status", "--check", "ready")
    assert (ran.code, ran.out) == (ready, "")
    assert ("next: " in ran.err) == (ready != 0)
    # Spelt in another way it goes through typer, with the same result.
    assert ostiary("status", "--check=ready").code == ready
    assert ostiary("status", "--check", "sure").code == 2


def test_status_does_not_believe_a_hostile_name(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["status"] = {"state": "online", "user": "grace\x1b[2J"}
    assert "\x1b" not in ostiary("status").out


def test_resources(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["resources"] = {
        "resources": [
            {
                "id": "res_AAAAAAAAAAAAAAAAAAAAAA",
                "name": "db",
                "address": "db.corp.internal",
                "ports": {"tcp": [[5432, 5432], [8000, 8100]], "udp": [], "icmp": True},
                "network_name": "office",
            },
            {"name": "all", "address": "10.0.0.0/8", "ports": {"tcp": ["1-65535"], "udp": ["53"]}, "network": "lab"},
        ]
    }
    ran = ostiary("resources")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "NAME  ADDRESS           PORTS                     NETWORK",
        "db    db.corp.internal  tcp 5432,8000-8100; ping  office",
        "all   10.0.0.0/8        tcp all; udp 53           lab",
    ]
    assert [item["name"] for item in ostiary("resources", "--json").json["resources"]] == ["db", "all"]


def test_resources_none(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["resources"] = {"resources": []}
    ran = ostiary("resources")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith("You have no resources")


@pytest.mark.parametrize("command", [("resources",), ("explain", "10.20.0.10:8080")])
def test_while_the_client_is_down_nothing_is_said_about_grants(
    ostiary: CommandLine, daemon: FakeDaemon, command: tuple[str, ...]
) -> None:
    daemon.results |= {"resources": {"resources": [], "state": "down"}, "explain": denied() | {"state": "down"}}
    ran = ostiary(*command)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.splitlines() == ["error: The client is down.", "next: ostiary up"]
    assert ostiary(*command, "--json").json["error"]["next"] == "ostiary up"
    names = ostiary("resources", "--names")
    assert (names.code, names.out, names.err) == (0, "", ""), "the shell asks for them while somebody types"


def test_doctor_without_an_answer_does_not_send_to_doctor(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results |= {"status": {"state": "online"}, "doctor": RefusedError(Reason.TIMEOUT, "x")}
    ran = ostiary("doctor")
    assert ran.code == 7
    assert "doctor" not in ran.out.splitlines()[-1]


def denied() -> dict[str, Any]:
    return {
        "host": "10.20.0.10",
        "port": 8080,
        "transport": "tcp",
        "allowed": False,
        "reason": "port_not_allowed",
        "sentence": "The resource does not include this port.",
        "next": "Ask an administrator to add the port.",
        "resource": "res_AAAAAAAAAAAAAAAAAAAAAA",
        "resource_name": "servers",
        "grants": [],
        "ask": ["ada@corp.example"],
        "revision": 41,
        "path": None,
        "source": "snapshot",
    }


def test_explain_refused(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["explain"] = denied()
    ran = ostiary("explain", "10.20.0.10:8080")
    assert ran.code == 8
    assert ran.out.splitlines() == [
        "10.20.0.10:8080 is refused: The resource does not include this port.",
        "  resource    servers",
        "  decided by  your policy, revision 41",
        "  ask         ada@corp.example",
        "next: Ask an administrator to add the port.",
    ]
    assert daemon.asked == [("explain", {"host": "10.20.0.10", "port": 8080, "transport": "tcp"})]
    told = ostiary("explain", "10.20.0.10:8080", "--json")
    assert (told.code, told.json["reason"], told.json["sentence"]) == (
        8,
        "port_not_allowed",
        "The resource does not include this port.",
    )


def test_explain_allowed(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["explain"] = {
        "host": "echo.corp.internal",
        "port": 7,
        "transport": "udp",
        "allowed": True,
        "reason": None,
        "resource_name": "echo",
        "via": ["group engineers"],
        "revision": 41,
        "source": "controller",
        "path": {"connector": "office-1", "relay": "relay-1"},
        "next": "",
    }
    ran = ostiary("explain", "echo.corp.internal:7", "--udp")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "echo.corp.internal:7 (UDP) is allowed.",
        "  resource    echo",
        "  granted by  group engineers",
        "  path        office-1 via relay-1",
        "  decided by  the controller's answer, revision 41",
    ]
    assert daemon.asked[-1][1]["transport"] == "udp"


def test_explain_bypass(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["explain"] = {
        "host": "example.com",
        "port": 443,
        "intercepted": False,
        "allowed": False,
        "ask": ["Ada"],
        "revision": 4,
    }
    ran = ostiary("explain", "https://example.com/page")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "example.com:443 is not handled by Ostiary: your host reaches it directly, as if the client did not run.",
        "If it should be a resource for you, ask Ada.",
    ]
    assert daemon.asked[-1][1] == {"host": "example.com", "port": 443, "transport": "tcp"}


@pytest.mark.parametrize("arguments", [["a:0"], ["a:70000"], ["a:b"], [":5"], ["[::1]x"], ["a", "--udp", "--icmp"], []])
def test_explain_of_nonsense_is_wrong_usage(ostiary: CommandLine, daemon: FakeDaemon, arguments: list[str]) -> None:
    ran = ostiary("explain", *arguments)
    assert (ran.code, ran.out, daemon.asked) == (2, "", [])


@pytest.mark.parametrize(
    ("text", "transport", "target"),
    [
        ("db", "tcp", ("db", None)),
        ("db:5432", "tcp", ("db", 5432)),
        ("fd00::1", "tcp", ("fd00::1", None)),
        ("[fd00::1]:80", "tcp", ("fd00::1", 80)),
        ("[fd00::1]", "tcp", ("fd00::1", None)),
        ("http://wiki/x", "tcp", ("wiki", 80)),
        ("https://me@wiki:8443/x", "tcp", ("wiki", 8443)),
        ("echo:7", "icmp", ("echo", None)),
    ],
)
def test_parse_target(text: str, transport: str, target: tuple[str, int | None]) -> None:
    assert parse_target(text, transport) == target


def test_down_and_logout(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results |= {"down": {"state": "down"}, "logout": {"state": "sign_in_required"}}
    assert ostiary("down").out == "down: your host's own network is as it was.\n"
    daemon.results["down"] = {"state": "down", "dns": {"strict": "on"}}
    assert "strict DNS keeps the names" in ostiary("down").out
    assert ostiary("logout", "--json").json == {"schema": 1, "state": "sign_in_required"}


def test_permission_denied_by_the_daemon(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["down"] = RefusedError(Reason.PERMISSION_DENIED, "uid 1000")
    ran = ostiary("down")
    assert (ran.code, ran.out) == (6, "")
    assert "next: Use sudo, or let whoever is signed in do it." in ran.err
    daemon.results["set"] = RefusedError(Reason.NEEDS_ROOT, "mtu=1400 is for root to set")
    assert ostiary("set", "mtu=1400").err.endswith("next: Run the same command with sudo.\n")


@pytest.mark.parametrize(
    ("gid", "members", "step"),
    [
        (0, [], "Run the same command with sudo."),
        (77, [], "join the group office (`sudo usermod -aG office grace`) and sign out"),
        (77, ["grace"], "You are in the group office since this session began"),
    ],
)
def test_permission_denied_by_the_socket_says_the_way_in(
    ostiary: CommandLine, monkeypatch: pytest.MonkeyPatch, gid: int, members: list[str], step: str
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "no")

    def group(_: int) -> grp.struct_group:
        return grp.struct_group(("office", "x", gid, members))

    def user(_: int) -> pwd.struct_passwd:
        return pwd.struct_passwd(("grace", "x", 1000, 1000, "", "/home/grace", "/bin/sh"))

    (Path.home() / "run").mkdir(exist_ok=True)
    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr(grp, "getgrgid", group)
    monkeypatch.setattr(pwd, "getpwuid", user)
    ran = ostiary("status")
    assert ran.code == 6
    assert step in ran.err


def test_doctor_all_well(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["status"] = {"state": "online"}
    daemon.results["doctor"] = {
        "checks": [
            {"name": "tun", "status": "ok", "sentence": "Packets go through."},
            {"name": "clock", "ok": True, "sentence": "3 ms apart."},
        ]
    }
    ran = ostiary("doctor")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "ok      daemon  It runs and answers.",
        "ok      tun     Packets go through.",
        "ok      clock   3 ms apart.",
        "everything works",
    ]


def test_doctor_names_the_cause_and_the_next_command(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["status"] = {"state": "online"}
    daemon.results["doctor"] = {
        "checks": [
            {"name": "daemon", "status": "ok", "sentence": "It runs."},
            {"name": "relay", "status": "fail", "reason": "relay_unreachable", "sentence": "relay:8444: refused"},
            {"name": "connector", "status": "skipped", "sentence": "No relay."},
        ]
    }
    ran = ostiary("doctor")
    assert ran.code == 3
    assert ran.out.splitlines() == [
        "ok      daemon     It runs.",
        "FAILED  relay      relay:8444: refused",
        "skipped connector  No relay.",
        "next: Check that this host may connect to the relay's port.",
    ]


@pytest.mark.parametrize(
    ("state", "step"),
    [
        ("not_configured", "ostiary up https://CONTROLLER --ca-pin sha256/…"),
        ("sign_in_required", "ostiary login"),
        ("down", "ostiary up"),
    ],
)
def test_doctor_knows_the_command_for_the_state(
    ostiary: CommandLine, daemon: FakeDaemon, state: str, step: str
) -> None:
    check = {"name": "controller", "status": "fail", "reason": "sign_in_required", "next": "Run `ostiary login`."}
    daemon.results |= {"status": {"state": state}, "doctor": {"checks": [check]}}
    ran = ostiary("doctor")
    assert (ran.code, ran.out.splitlines()[-1]) == (4, f"next: {step}")


def test_doctor_without_a_daemon(ostiary: CommandLine) -> None:
    ran = ostiary("doctor")
    assert ran.code == 5
    assert ran.out.startswith("FAILED  daemon")
    assert ran.out.splitlines()[-1] == "next: Start it: `sudo ostiaryd`, or its service."
    assert ostiary("doctor", "--json").json["checks"][0]["reason"] == "daemon_not_running"


LOGGED = (
    '{"revision": 28, "event": "controller.connected", "level": "info", "logger": "runtime.agent_link", '
    '"timestamp": "2026-11-22T13:21:25.019572Z", "component": "client"}'
)


def test_logs_are_for_people_or_programs(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.results["logs"] = {"lines": ["plain line", LOGGED, "{broken"]}
    ran = ostiary("logs", "-n", "3")
    assert ran.out.splitlines() == ["plain line", "13:21:25 info     controller.connected revision=28", "{broken"]
    assert daemon.asked[-1] == ("logs", {"n": 3, "follow": False})
    told = [json.loads(line) for line in ostiary("logs", "--json").out.splitlines()]
    assert [item.get("line", item.get("event")) for item in told] == ["plain line", "controller.connected", "{broken"]
    assert {item["schema"] for item in told} == {1}


def test_logs_follow_prints_as_it_comes(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    daemon.events["logs"] = [{"kind": "log", "line": "one"}, {"kind": "log", "line": LOGGED}]
    daemon.results["logs"] = {"lines": []}
    assert ostiary("logs", "-f").out.splitlines() == ["one", "13:21:25 info     controller.connected revision=28"]


def test_version_with_and_without_a_daemon(ostiary: CommandLine, daemon: FakeDaemon) -> None:
    assert ostiary("version").out.splitlines()[1] == "ostiaryd is not running"
    daemon.results["version"] = {"version": "0.1.0"}
    assert ostiary("version", "--json").json["daemon"] == "0.1.0"


def test_desktop_only_with_a_display_and_not_as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert has_desktop({"DISPLAY": ":0"})
    assert has_desktop({"WAYLAND_DISPLAY": "wayland-0"})
    assert not has_desktop({})
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert not has_desktop({"DISPLAY": ":0"})


def test_parse_target_refuses_bad_ports() -> None:
    with pytest.raises(LocalError):
        parse_target("db:99999", "tcp")
