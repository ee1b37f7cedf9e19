"""`ostiary report` and what it takes out: no secret leaves, people become numbers, what is missing is said."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from command_line import CommandLine
from fake_daemon import FakeDaemon
from hypothesis import given
from hypothesis import strategies as st

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
    assert Redactor().clean("10.1.2.3 127.0.0.1 fe80::1") == "10.1.2.3 127.0.0.1 fe80::1"
    assert Redactor(private_addresses=True).clean("10.1.2.3 127.0.0.1") == "address-1 127.0.0.1"


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
    assert ostiary("report", "-o", str(path)).code == 1


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
