"""Which way to the host's resolver is chosen, and what systemd-resolved is told (T-59)."""

import os
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest

from client.host import resolver_settings
from client.host.journal import Journal
from client.host.resolver_settings import ResolvConf, SystemdResolved, choose_resolver_settings, run_resolvectl
from protocol.errors import LocalError
from protocol.reasons import Reason

OURS = [ip_address("100.96.0.1")]


class FakeResolvectl:
    """Remembers what it was told; ``shows`` is what ``dns DEVICE`` prints."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []
        self.shows = "Link 5 (ostiary0): 100.96.0.1\n"
        self.fails = False

    def __call__(self, arguments: Sequence[str]) -> str:
        self.told.append(tuple(arguments))
        if self.fails:
            raise LocalError(Reason.DNS_SETUP_FAILED, "no such link")
        return self.shows if arguments[0] == "dns" and len(arguments) == 2 else ""


@pytest.fixture
def resolvectl() -> FakeResolvectl:
    return FakeResolvectl()


@pytest.fixture
def resolved(resolvectl: FakeResolvectl, tmp_path: Path) -> SystemdResolved:
    upstream = tmp_path / "upstream"
    upstream.write_text("nameserver 192.0.2.53\nnameserver 100.96.0.1\n")
    return SystemdResolved("ostiary0", OURS, resolvectl=resolvectl, upstream_file=upstream)


def test_resolved_is_told_to_split(resolved: SystemdResolved, resolvectl: FakeResolvectl) -> None:
    resolved.apply(["db.prod.internal", "corp.internal", "db.prod.internal"])
    assert resolvectl.told == [
        ("dns", "ostiary0", "100.96.0.1"),
        ("default-route", "ostiary0", "false"),
        ("llmnr", "ostiary0", "false"),
        ("domain", "ostiary0", "~corp.internal", "~db.prod.internal", "~use-application-dns.net"),
    ]
    assert resolved.upstreams() == ("192.0.2.53",)


def test_resolved_is_told_of_changes_only(resolved: SystemdResolved, resolvectl: FakeResolvectl) -> None:
    resolved.apply(["a.internal"])
    resolvectl.told.clear()
    resolved.update(["a.internal"])
    assert resolvectl.told == []
    resolved.update(["b.internal"])
    resolved.update([])
    assert resolvectl.told == [
        ("domain", "ostiary0", "~b.internal", "~use-application-dns.net"),
        ("domain", "ostiary0", "~use-application-dns.net"),
    ]


def test_restarted_resolved_is_told_everything_again(resolved: SystemdResolved, resolvectl: FakeResolvectl) -> None:
    resolved.apply(["a.internal"])
    assert not resolved.repair()
    resolvectl.shows = "Link 5 (ostiary0):\n"
    resolvectl.told.clear()
    assert resolved.repair()
    assert ("domain", "ostiary0", "~a.internal", "~use-application-dns.net") in resolvectl.told


def test_revert_of_a_device_that_is_gone_is_no_error(resolved: SystemdResolved, resolvectl: FakeResolvectl) -> None:
    resolved.restore()
    assert resolvectl.told == [("revert", "ostiary0")]
    resolvectl.fails = True
    resolved.restore()


# --- the choice ------------------------------------------------------------------------------------------------------


def choose(tmp_path: Path, content: str, *, running: bool) -> resolver_settings.ResolverSettings:
    path, socket = tmp_path / "resolv.conf", tmp_path / "socket"
    path.write_text(content)
    if running:
        socket.touch()
    return choose_resolver_settings(Journal(tmp_path / "journal"), "ostiary0", OURS, path=path, resolved_socket=socket)


def test_resolv_conf_when_it_names_servers_itself(tmp_path: Path) -> None:
    chosen = choose(tmp_path, "nameserver 192.0.2.53\n", running=True)
    assert isinstance(chosen, ResolvConf)
    assert chosen.name == "resolv.conf"
    assert "names the host's nameservers" in chosen.explanation


def test_resolved_when_it_runs_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_settings, "RESOLVECTL", str(tmp_path / "resolvectl"))
    (tmp_path / "resolvectl").touch()
    chosen = choose(tmp_path, "nameserver 127.0.0.53\n", running=True)
    assert isinstance(chosen, SystemdResolved)
    assert chosen.name == "systemd-resolved"
    assert "systemd-resolved runs" in chosen.explanation


def test_resolv_conf_when_resolved_is_only_named(tmp_path: Path) -> None:
    assert "does not run" in choose(tmp_path, "nameserver 127.0.0.53\n", running=False).explanation


def test_resolv_conf_without_resolvectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_settings, "RESOLVECTL", str(tmp_path / "missing"))
    chosen = choose(tmp_path, "nameserver 127.0.0.53\n", running=True)
    assert isinstance(chosen, ResolvConf)
    assert "there is no" in chosen.explanation


# --- the program -----------------------------------------------------------------------------------------------------


def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    path = tmp_path / "resolvectl"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    monkeypatch.setattr(resolver_settings, "RESOLVECTL", str(path))


def test_t59_environment_is_clean_and_path_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, 'echo "$*"; env')
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "resolvectl").write_text("#!/bin/sh\necho executed the wrong one\n")
    (evil / "resolvectl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{evil}:{os.environ['PATH']}")
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("SECRET", "x")
    said = run_resolvectl(["dns", "ostiary0", "; reboot"])
    assert said.startswith("dns ostiary0 ; reboot\n")
    assert "wrong one" not in said
    names = {line.split("=")[0] for line in said.splitlines()[1:]}
    assert names <= {"PATH", "LC_ALL", "PWD", "SHLVL", "_", "OLDPWD"}
    assert str(evil) not in said


def test_failure_carries_what_the_program_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, "echo no such link >&2; exit 1")
    with pytest.raises(LocalError, match="no such link") as caught:
        run_resolvectl(["dns", "ostiary0"])
    assert caught.value.reason is Reason.DNS_SETUP_FAILED


def test_missing_program_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_settings, "RESOLVECTL", str(tmp_path / "missing"))
    with pytest.raises(LocalError, match="missing"):
        run_resolvectl(["dns", "ostiary0"])
