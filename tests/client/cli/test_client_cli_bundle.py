"""`ostiary report` and what it takes out: no secret leaves, people become numbers, what is missing is said."""

import io
import json
import sys
import tarfile
from pathlib import Path

import pytest
from command_line import CommandLine
from fake_daemon import FakeDaemon
from hypothesis import given
from hypothesis import strategies as st

from client.cli.kernel_routes import readable_ipv6_routes, readable_routes
from client.cli.redaction import REMOVED, Redactor, names_in
from protocol.errors import LocalError
from protocol.reasons import Reason

TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJkZXYifQ.c2lnbmF0dXJl"
KEY = "-----BEGIN PRIVATE KEY-----\nMIGHAgEA\n-----END PRIVATE KEY-----"
STATUS = {
    "state": "online",
    "user": "Grace Hopper",
    "controller": {"url": "https://ostiary.corp.example"},
    "networks": [{"network_name": "office", "connector_name": "office-1"}],
}
RESOURCES = {"resources": [{"name": "Payroll", "address": "db.corp.internal", "network_name": "office"}]}


@pytest.mark.parametrize(
    "secret",
    [
        TOKEN,
        "otk_abcdefgh12345678",
        "ost_" + "A" * 43,
        "ost_api_" + "b" * 43,
        KEY,
        "Bearer abcdefgh.ijkl",
        "https://c/device?user_code=WDJB-MJHT",
        "http://me:hunter2@proxy.example:8080",
        "http://me:abcdefgh@hunter2@proxy.example:8080",
        "https://abcdefgh@proxy.example",
        "upstream_proxy = me:hunter2@proxy.example:8080",
    ],
)
def test_t11_no_secret_leaves(secret: str) -> None:
    redactor = Redactor()
    cleaned = redactor.clean(f"before {secret} after")
    assert REMOVED in cleaned
    assert not any(part in cleaned for part in ("eyJ", "otk_", "ost_", "MIGH", "abcdefgh", "WDJB", "hunter2"))
    assert (cleaned.startswith("before "), cleaned.endswith(" after")) == (True, True)
    assert redactor.counts == {"secret": 1}


def test_the_same_person_and_address_stay_the_same_number() -> None:
    cleaned = Redactor().clean(
        "ada@corp.example 203.0.113.9 8.8.8.8 bob@corp.example ADA@corp.example 8.8.8.8 2001:4860::1"
    )
    assert cleaned == "user-1 203.0.113.9 address-1 user-2 user-1 address-1 address-2"


def test_private_addresses_go_only_when_asked_and_loopback_never() -> None:
    text = "10.1.2.3 169.254.7.9 fd00::1 127.0.0.1 ::1 0.0.0.0 224.0.0.251"
    assert Redactor().clean(text) == text
    cleaned = Redactor(private_addresses=True).clean(text)
    assert cleaned == "address-1 address-2 address-3 127.0.0.1 ::1 0.0.0.0 224.0.0.251"


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("fe80::1%eth0", "address-1%eth0"),
        ("fe80::21b:21ff:fe3a:4b5c", "address-1"),
        ("fd00::21b:21ff:fe3a:4b5c", "address-1"),
        ("ff02::1:ff3a:4b5c", "address-1"),
        ("enx001b213a4b5c 00:1b:21:3a:4b:5c", "enxmac-1 mac-1"),
    ],
)
def test_nothing_tells_a_hardware_address(text: str, cleaned: str) -> None:
    assert Redactor().clean(text) == cleaned


ROUTE = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t09090808\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0002010A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
eth0\tsomething else
"""
IPV6_ROUTE = f"""fd000000000000000000000000000000 40 {"0" * 32} 00 {"0" * 32} 00000100 00000001 00000000 00000001     eth0
{"0" * 32} 00 {"0" * 32} 00 fe80000000000000021b21fffe3a4b5c 00000400 00000003 00000000 00000003     eth0
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the kernel writes them as they are in memory")
def test_the_kernels_routes_are_read_so_that_their_addresses_can_be_replaced() -> None:
    assert readable_routes(ROUTE) == (
        "eth0 0.0.0.0/0 via 8.8.9.9 metric 0 flags 0003\neth0 10.1.2.0/24 via 0.0.0.0 metric 100 flags 0001\n"
    )
    assert readable_ipv6_routes(IPV6_ROUTE) == (
        "eth0 fd00::/64 via :: metric 256 flags 00000001\n"
        "eth0 ::/0 via fe80::21b:21ff:fe3a:4b5c metric 1024 flags 00000003\n"
    )
    cleaned = Redactor(private_addresses=True).clean(readable_routes(ROUTE) + readable_ipv6_routes(IPV6_ROUTE))
    assert not any(part in cleaned for part in ("8.8.9.9", "10.1.2", "fd00", "4b5c"))


@given(st.text(max_size=200), st.lists(st.text(min_size=1, max_size=12), max_size=4))
def test_redaction_never_fails_and_is_stable(text: str, names: list[str]) -> None:
    named = [("thing", name) for name in names]
    assert Redactor(named, private_addresses=True).clean(text) == Redactor(named, private_addresses=True).clean(text)


def test_names_are_replaced_as_whole_words() -> None:
    redactor = Redactor(names_in(STATUS, RESOURCES, "laptop"))
    cleaned = redactor.clean("Payroll at db.corp.internal by office-1 in OFFICE on laptop, not laptops")
    assert cleaned == "resource-1 at name-1 by connector-1 in network-1 on host-1, not laptops"


def contents(path: Path) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as archive:
        return {
            member.name.partition("/")[2]: archive.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in archive.getmembers()
        }


def test_a_report_lists_what_is_in_it(ostiary: CommandLine, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.results |= {
        "version": {"version": "1"},
        "status": STATUS,
        "resources": RESOURCES,
        "doctor": {"ok": True, "checks": []},
        "events": {"events": [{"kind": "state", "state": "online"}]},
        "logs": {"lines": [f'{{"event": "x", "mail": "grace@corp.example", "leak": "{TOKEN}"}}', "Grace Hopper"]},
        "netcheck": LocalError(Reason.CONFIG_INVALID, "no controller"),
    }
    path = tmp_path / "report.tar.gz"
    ran = ostiary("report", "-o", str(path))
    assert ran.code == 0, ran.err
    files = contents(path)
    assert {"ABOUT.txt", "status.json", "daemon.log", "events.jsonl", "host.txt", "settings.txt"} <= files.keys()
    assert all(name in ran.out for name in files)
    assert "left out: netcheck: " in ran.out
    everything = "".join(files.values())
    assert not any(part in everything for part in (TOKEN, "grace@", "Grace Hopper"))
    assert "Payroll" in everything
    assert path.stat().st_mode & 0o777 == 0o600
    daemon.asked.clear()
    assert ostiary("report", "-o", str(path)).code == 1
    nowhere = ostiary("report", "-o", str(tmp_path / "nowhere" / "x"))
    assert nowhere.code == 2
    assert nowhere.err.splitlines()[-1] == "next: Name another one with -o."
    assert daemon.asked == []


def test_what_json_escapes_is_found_as_well(ostiary: CommandLine, daemon: FakeDaemon, tmp_path: Path) -> None:
    told = "refused:\n8.8.8.8\nJ\u00fcrgen \u00c4rmel"
    daemon.results |= {
        "status": STATUS | {"user": "J\u00fcrgen \u00c4rmel", "why": [{"8.8.8.8": told}]},
        "events": {"events": [{"detail": told}]},
        "logs": {"lines": [json.dumps({"event": told, "n": 1}), f"plain: {told}", "[not JSON"]},
    }
    assert ostiary("report", "-o", str(tmp_path / "report.tar.gz")).code == 0
    files = contents(tmp_path / "report.tar.gz")
    for name in ("status.json", "events.jsonl", "daemon.log"):
        assert not any(part in files[name] for part in ("8.8.8.8", "rmel")), name
    assert json.loads(files["daemon.log"].splitlines()[0]) == {"event": "refused:\naddress-1\nuser-1", "n": 1}
    assert "[not JSON" in files["daemon.log"]


def test_an_anonymous_report_holds_no_names(ostiary: CommandLine, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.results |= {"status": STATUS, "resources": RESOURCES}
    ran = ostiary("report", "--anonymise", "--json", "-o", str(tmp_path / "report.tar.gz"))
    everything = "".join(contents(tmp_path / "report.tar.gz").values())
    assert not any(part in everything for part in ("Payroll", "db.corp.internal", "office-1", "ostiary.corp.example"))
    assert ran.json["replaced"]["resource"] >= 1
    assert "logs" in ran.json["missing"]


def test_a_report_is_made_also_without_a_daemon(ostiary: CommandLine, tmp_path: Path) -> None:
    ran = ostiary("report", "-o", str(tmp_path / "report.tar.gz"), "--json")
    assert ran.code == 0
    assert "host.txt" in ran.json["contents"]
    assert "not running" in json.dumps(ran.json["missing"])


@pytest.mark.parametrize("options", [(), ("--anonymise",)])
def test_a_report_says_when_names_could_not_be_known(
    ostiary: CommandLine, daemon: FakeDaemon, tmp_path: Path, options: tuple[str, ...]
) -> None:
    daemon.results |= {"status": STATUS}
    ran = ostiary("report", *options, "-o", str(tmp_path / "some.tar.gz"))
    about = contents(tmp_path / "some.tar.gz")["ABOUT.txt"]
    assert ("Not known, and so not replaced: names of resources." in about) is bool(options)
    assert ("not known, and so not replaced: names of resources" in ran.out) is bool(options)
    daemon.results |= {"resources": RESOURCES}
    ostiary("report", *options, "-o", str(tmp_path / "all.tar.gz"))
    about = contents(tmp_path / "all.tar.gz")["ABOUT.txt"]
    assert "Not known" not in about
    assert ("relays and the controller" in about) is bool(options)


def test_hosts_of_forwards_are_names_also_without_a_daemon(
    ostiary: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSTIARY_FORWARDS", "5432=db.corp.internal:5432,8080=[fd00::7]:80")
    ran = ostiary("report", "--anonymise", "-o", str(tmp_path / "report.tar.gz"))
    files = contents(tmp_path / "report.tar.gz")
    assert "5432=name-1:5432,8080=[address-" in files["settings.txt"], ran.err
    assert "db.corp.internal" not in "".join(files.values())
    wanted = "Not known, and so not replaced: names of people, networks, connectors, relays, the controller, resources."
    assert wanted in files["ABOUT.txt"]
