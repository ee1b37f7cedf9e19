"""Services: what install, uninstall and status do to a host, with systemctl's part played by a double."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import runtime
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.console import AdviceError
from runtime.service import ROLES, WRITTEN, Service, Standing, loaded_by_programs, run_program, unit_text


class Systemd:
    """The host's programs: remembers what it was told, and says what a test wants."""

    def __init__(self, said: str = "LoadState=loaded\nActiveState=active\nSubState=running\n") -> None:
        self.told: list[tuple[str, ...]] = []
        self.said = said

    def __call__(self, name: str, arguments: Sequence[str]) -> str:
        self.told.append((name, *arguments))
        return self.said if "show" in arguments else ""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host's files, with a client installed below /opt that only root can change."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    root = tmp_path / "host"
    for folder in ("etc/systemd/system", "opt/ostiary/bin", "var/lib/ostiary/relay"):
        (root / folder).mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    for role in ROLES.values():
        (root / "opt/ostiary/bin" / role.program).write_text("#!/bin/sh\n")
        (root / "opt/ostiary/bin" / role.program).chmod(0o755)
    for folder in ("opt/ostiary/lib/runtime", "usr/bin"):
        (root / folder).mkdir(parents=True)
    (root / "usr/bin/python3").write_text("#!/bin/sh\n")
    (root / "usr/bin/python3").chmod(0o755)
    (root / "opt/ostiary/bin/python").symlink_to(root / "usr/bin/python3")
    return root


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the program has to be root's")


def service(role: str, host: Path, systemd: Systemd) -> Service:
    loaded = (host / "opt/ostiary/bin/python", host / "opt/ostiary/lib/runtime")
    return Service(ROLES[role], root=host, programs=host / "opt/ostiary/bin", loaded=loaded, run=systemd)


@needs_root
def test_install_writes_enables_and_starts_the_client(host: Path) -> None:
    systemd = Systemd()
    done = service("client", host, systemd).install(users=("ada",))
    text = (host / "etc/systemd/system/ostiaryd.service").read_text()
    assert text.startswith(WRITTEN)
    assert f"ExecStart={host}/opt/ostiary/bin/ostiaryd\n" in text
    assert f"ExecStopPost={host}/opt/ostiary/bin/ostiaryd cleanup\n" in text
    assert ("groupadd", "--system", "--force", "ostiary") in systemd.told
    assert ("usermod", "--append", "--groups", "ostiary", "ada") in systemd.told
    assert systemd.told[-3:] == [
        ("systemctl", "daemon-reload"),
        ("systemctl", "enable", "ostiaryd.service", "ostiary-cleanup.service"),
        ("systemctl", "restart", "--no-block", "ostiaryd.service"),
    ]
    assert done[-1] == "enabled and started ostiaryd.service"


@needs_root
def test_install_gives_a_relay_a_user_who_owns_its_state(host: Path) -> None:
    systemd = Systemd()
    service("relay", host, systemd).install()
    assert systemd.told[0][0] == "useradd"
    assert systemd.told[0][-1] == "ostiary-relay"
    assert systemd.told[1][-2:] == ("ostiary-relay:ostiary-relay", str(host / "var/lib/ostiary/relay"))
    with (host / "etc/passwd").open("a") as file:
        file.write("ostiary-relay:x:990:990::/:/usr/sbin/nologin\n")
    systemd.told.clear()
    service("relay", host, systemd).install()
    assert all(told[0] != "useradd" for told in systemd.told)


def test_a_packages_units_are_enabled_and_not_written_again(host: Path) -> None:
    packaged = host / "usr/lib/systemd/system"
    packaged.mkdir(parents=True)
    (packaged / "ostiary-connector.service").write_text("[Unit]\n")
    service("connector", host, Systemd()).install()
    assert not (host / "etc/systemd/system/ostiary-connector.service").exists()


@needs_root
@pytest.mark.parametrize(
    "spoilt", ["program", "folder", "owner", "interpreter", "folder of the interpreter", "package"]
)
def test_t59_a_program_that_others_may_change_is_refused(host: Path, spoilt: str) -> None:
    program = host / "opt/ostiary/bin/ostiaryd"
    match spoilt:
        case "program":
            program.chmod(0o775)
        case "folder":
            program.parent.chmod(0o777)
        case "owner":
            os.chown(program.parent, 1000, 1000)
        case "interpreter":
            os.chown(host / "usr/bin/python3", 1000, 1000)
        case "folder of the interpreter":
            (host / "usr/bin").chmod(0o775)
        case "package":
            os.chown(host / "opt/ostiary/lib/runtime", 1000, 1000)
    systemd = Systemd()
    with pytest.raises(LocalError) as caught:
        service("client", host, systemd).install()
    assert caught.value.reason is Reason.PERMISSION_DENIED
    assert not list((host / "etc/systemd/system").iterdir())
    assert all("enable" not in told for told in systemd.told)


def test_t59_interpreter_libraries_and_our_code_are_what_a_program_loads() -> None:
    found = loaded_by_programs()
    assert Path(sys.executable) in found
    assert {Path(sys.prefix), Path(sys.base_prefix)} <= set(found)
    assert Path(runtime.__file__).parent in found


@needs_root
def test_uninstall_removes_only_what_install_wrote(host: Path) -> None:
    systemd = Systemd()
    client = service("client", host, systemd)
    client.install()
    (host / "etc/systemd/system/ostiary-cleanup.service").write_text("# somebody's own\n")
    done = client.uninstall()
    assert ("systemctl", "disable", "--now", "ostiaryd.service", "ostiary-cleanup.service") in systemd.told
    assert [path.name for path in (host / "etc/systemd/system").iterdir()] == ["ostiary-cleanup.service"]
    assert done[-1].startswith("kept /var/lib/ostiary/client")
    systemd.said = "LoadState=not-found\n"
    assert client.uninstall() == ("ostiaryd.service is not installed",)


def test_without_root_nothing_is_done(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    systemd = Systemd()
    for refused in (service("client", host, systemd).install, service("client", host, systemd).uninstall):
        with pytest.raises(AdviceError) as caught:
            refused()
        assert caught.value.reason is Reason.NEEDS_ROOT
    assert systemd.told == []


def test_status_is_what_systemd_says(host: Path) -> None:
    said = "LoadState=loaded\nUnitFileState=enabled\nActiveState=activating\nSubState=start\nStatusText=waiting = now\n"
    standing = service("client", host, Systemd(said)).standing()
    assert not standing.active
    assert standing.sentence == "ostiaryd.service is activating (start), enabled: waiting = now"
    assert Standing("x.service", {"LoadState": "not-found"}).sentence == "x.service is not installed"


def test_a_host_without_the_program_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.service._SYSTEMCTL", "/nowhere/systemctl")
    with pytest.raises(AdviceError) as caught:
        run_program("systemctl", ["daemon-reload"])
    assert "docs/client-install.md" in caught.value.next_step
    page = (Path(__file__).parents[2] / "docs/client-install.md").read_text()
    assert "## Without systemd\n" in page
    # Another service manager is no answer to a host that cannot make users.
    monkeypatch.setattr("runtime.service._GROUPADD", "/nowhere/groupadd")
    with pytest.raises(LocalError, match="no groupadd") as missing:
        run_program("groupadd", ["ostiary"])
    assert not isinstance(missing.value, AdviceError)
    with pytest.raises(LocalError, match="chown"):
        run_program("chown", ["--no-such-option"])
    with pytest.raises(LocalError, match="rm"):
        run_program("rm", ["-rf", "/"])
    assert "chown" in run_program("chown", ["--version"])


def test_a_host_that_systemd_did_not_start_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in most containers: systemctl is there and cannot do anything."""
    systemctl = tmp_path / "systemctl"
    systemctl.write_text("#!/bin/sh\necho 'System has not been booted with systemd' >&2\nexit 1\n")
    systemctl.chmod(0o755)
    monkeypatch.setattr("runtime.service._SYSTEMCTL", str(systemctl))
    monkeypatch.setattr("runtime.service._RUN", tmp_path / "run")
    with pytest.raises(AdviceError) as caught:
        Service(ROLES["client"], run=run_program).standing()
    assert caught.value.sentence == "systemd does not run on this host."
    assert "docs/client-install.md" in caught.value.next_step
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    with pytest.raises(LocalError, match="not been booted") as other:
        run_program("systemctl", ["daemon-reload"])
    assert not isinstance(other.value, AdviceError)


@pytest.mark.parametrize("unit", [unit for role in ROLES.values() for unit in role.units])
def test_units_are_what_systemd_understands(unit: str, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze")
    # Programs that exist on every host stand for ours: verify looks whether they are there.
    for role in ROLES.values():
        (tmp_path / role.program).symlink_to("/bin/true")
    (tmp_path / unit).write_text(unit_text(unit, tmp_path))
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(tmp_path / unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, unit in done.stderr) == (0, False), done.stderr
    bound = 35 if ROLES["client"].units.count(unit) else 20
    command = [analyze, "security", "--offline=yes", f"--threshold={bound}", "--no-pager", str(tmp_path / unit)]
    scored = subprocess.run(command, capture_output=True, text=True, check=False)
    assert scored.returncode == 0, scored.stdout[-400:]


def test_every_service_is_told_ready_and_watched() -> None:
    for role in ROLES.values():
        text = unit_text(role.units[0], Path("/opt"))
        assert "Type=notify\n" in text
        assert "WatchdogSec=" in text
        assert "@bin@" not in text
    assert "ExecStopPost=/opt/ostiaryd cleanup\n" in unit_text("ostiaryd.service", Path("/opt"))


def test_the_four_commands_have_the_same_three_verbs() -> None:
    for module in ("client.cli.main", "connector.cli", "relay.cli", "controller.cli.main"):
        code = f"import sys; sys.argv[1:] = ['service', '--help']; from {module} import main; main()"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert all(verb in done.stdout for verb in ("install", "uninstall", "status"))
