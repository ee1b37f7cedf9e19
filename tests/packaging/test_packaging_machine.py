"""The Debian package on a Debian of its own, with systemd as the first process and no network (F-14, T-50).

What this proves: it installs without a download; the units run under their own restrictions; what systemd is told is true;
the host gets back what is its own when the daemon is killed, hangs, or the power goes.
"""

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.engine import CACHE, wheelhouse
from lab.machine import Machine, make_base, missing_for_machine
from lab.processes import LabError, Processes, wait_for

ROOT = Path(__file__).parents[2]
WHY_NOT = missing_for_machine() or ("" if shutil.which("dpkg-deb") else "needs dpkg-deb")

pytestmark = [
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.xdist_group("engine"),
    pytest.mark.timeout(600),
]

HOST_STATE = (
    "ip rule; ip -6 rule; ip route show table all; ip -o link | cut -d' ' -f2; cat /etc/resolv.conf; ls -A /etc"
)
DIE_AFTER_TAKING_RESOLV_CONF = """
import ipaddress, os
from pathlib import Path
from client.host.cleanup import open_journal
from client.host.resolver_settings import ResolvConf
journal = open_journal(Path("/var/lib/ostiary/client"))
ResolvConf(journal, [ipaddress.ip_address("100.96.0.1")]).apply([])
os._exit(9)
"""


def build(folder: Path) -> Path:
    """Builds the package as `make deb` does; the dependencies come from the lab's cache after the first time."""
    command = [sys.executable, str(ROOT / "packaging/build_deb.py"), "--wheels", str(wheelhouse())]
    done = subprocess.run(
        [*command, "--cache", str(CACHE), "--out", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A fresh host on which the package was installed."""
    try:
        make_base()
        wheelhouse()
    except LabError as error:
        pytest.skip(f"cannot be had here: {str(error).splitlines()[-1]}")
    folder = tmp_path_factory.mktemp("machine")
    given = folder / "given"
    package = build(given)
    processes = Processes(folder / "lab")
    try:
        with Machine(processes, "ostm", given) as booted:
            booted.shell(f"dpkg -i /given/{package.name}")
            yield booted
    finally:
        processes.stop_all()


def exit_code(machine: Machine, *command: str) -> int:
    return machine.run(*command, check=False).returncode


@contextlib.contextmanager
def client_service(machine: Machine) -> Iterator[str]:
    """The client as a service; gives what the host looked like before."""
    machine.shell("id ada || useradd ada; id eve || useradd eve")
    before = machine.shell(HOST_STATE)
    machine.shell("ostiary service install --user ada")
    try:
        machine.wait_active("ostiaryd.service")
        yield before
    finally:
        machine.shell("ostiary service uninstall")


def main_pid(machine: Machine) -> int:
    return int(machine.show("ostiaryd.service", "MainPID")["MainPID"])


def restarted(machine: Machine, killed: int) -> bool:
    shown = machine.show("ostiaryd.service", "MainPID", "ActiveState")
    return shown["ActiveState"] == "active" and int(shown["MainPID"]) not in (0, killed)


def test_t50_f14_the_group_uses_the_service_and_a_kill_costs_the_host_nothing(machine: Machine) -> None:
    with client_service(machine) as before:
        status = ("ostiary", "status", "--check", "live")
        assert exit_code(machine, "runuser", "-u", "ada", "--", *status) == 0
        assert exit_code(machine, "runuser", "-u", "eve", "--", *status) == 6
        shown = json.loads(machine.shell("ostiary service status --json"))
        assert shown["systemd"]["ActiveState"] == "active"
        assert machine.shell(HOST_STATE) != before
        killed = main_pid(machine)
        machine.shell(f"kill -9 {killed}")
        wait_for("the restart", lambda: restarted(machine, killed), 60)
        log = machine.shell("journalctl -u ostiaryd --no-pager -o cat")
        assert "taken back: the routing rule for IPv4" in log
    assert machine.shell(HOST_STATE) == before
    assert exit_code(machine, "ostiary", "service", "status") == 3


@pytest.mark.soak
def test_f29_a_daemon_whose_loop_does_not_turn_is_restarted(machine: Machine) -> None:
    with client_service(machine) as before:
        machine.shell("mkdir -p /run/systemd/system/ostiaryd.service.d")
        machine.shell("printf '[Service]\\nWatchdogSec=3\\n' > /run/systemd/system/ostiaryd.service.d/quick.conf")
        machine.shell("systemctl daemon-reload && systemctl restart ostiaryd")
        hung = main_pid(machine)
        machine.shell(f"kill -STOP {hung}")
        wait_for("the watchdog", lambda: restarted(machine, hung), 60)
        machine.shell("rm -r /run/systemd/system/ostiaryd.service.d")
    assert machine.shell(HOST_STATE) == before


def test_f15_after_a_power_cut_the_clean_up_of_the_boot_gives_resolv_conf_back(machine: Machine) -> None:
    """The machine is not booted anew: the unit is started by hand, and that a boot starts it in time is read from systemd."""
    before = machine.shell(HOST_STATE)
    machine.shell("mkdir -p -m 0700 /var/lib/ostiary/client; systemctl enable ostiary-cleanup")
    died = machine.run("/usr/lib/ostiary/bin/python3", "-I", "-c", DIE_AFTER_TAKING_RESOLV_CONF, check=False)
    assert died.returncode == 9
    placed = machine.show("ostiary-cleanup.service", "WantedBy", "Before")
    assert "sysinit.target" in placed["WantedBy"].split()
    assert {"network-pre.target", "ostiaryd.service"} <= set(placed["Before"].split())
    assert "100.96.0.1" in machine.shell("cat /etc/resolv.conf")
    machine.shell("systemctl start ostiary-cleanup")
    assert machine.shell(HOST_STATE) == before
    assert machine.show("ostiary-cleanup.service", "Result")["Result"] == "success"


@pytest.mark.soak
def test_the_same_commit_gives_the_same_package(tmp_path: Path) -> None:
    assert build(tmp_path / "one").read_bytes() == build(tmp_path / "two").read_bytes()


@pytest.mark.soak
def test_all_four_work_under_their_units(machine: Machine) -> None:
    """Controller, relay, connector and client, restricted as they are shipped, and a connection through all of them."""
    url = "https://controller.ostiary.test:8443"
    machine.shell(
        "ip address add 10.20.0.10/32 dev lo; echo '127.0.0.1 controller.ostiary.test relay.ostiary.test' >> /etc/hosts"
    )
    machine.shell("mkdir -p /srv/web && echo company wiki > /srv/web/index.html")
    machine.shell("systemd-run --quiet python3 -m http.server --bind 10.20.0.10 --directory /srv/web 8000")
    machine.shell("umask 077; echo correct horse battery staple > /root/ada")
    init = f"ostiary-controller init --public-url {url} --owner ada@corp.example --owner-name Ada --password-file /root/ada"
    pin = json.loads(machine.shell(f"{init} --json"))["ca_pin"]
    machine.shell("ostiary-controller service install")
    machine.wait_active("ostiary-controller.service")
    admin = f"--ca-pin {pin} --email ada@corp.example --password-file /root/ada"
    machine.shell(f"ostiary admin login {url} {admin}")
    create = "ostiary admin relay create relay-1 --fqdn relay.ostiary.test --port 8444 --json"
    token = json.loads(machine.shell(create))["enrolment_token"]
    enrol(machine, "relay", token)
    machine.wait_active("ostiary-relay.service")
    machine.shell("ostiary admin network create office")
    token = json.loads(machine.shell("ostiary admin connector create office-1 --network office --json"))[
        "enrolment_token"
    ]
    enrol(machine, "connector", token)
    machine.wait_active("ostiary-connector.service")
    machine.shell("ostiary admin resource create wiki --network office --address 10.20.0.10 --tcp 8000")
    made = json.loads(machine.shell("ostiary admin service-account create ci --json"))
    machine.shell("ostiary admin grant create --to service-account:ci --resource wiki")
    machine.shell(f"umask 077; echo {made['enrolment_token']} > /root/ci")
    with client_service(machine):
        machine.shell(f"ostiary up {url} --ca-pin {pin} --token-file /root/ci")
        machine.shell("systemd-run --quiet --unit=forward ostiary forward 10.20.0.10:8000 18000")
        fetch = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:18000/', timeout=5).read().decode())"

        def fetched() -> bool:
            return "company wiki" in machine.run("python3", "-c", fetch, check=False).stdout

        wait_for("the wiki through the forward", fetched, 60)
        machine.shell("systemctl stop forward")


def enrol(machine: Machine, role: str, token: str) -> None:
    """As a person does it: the token, then the service."""
    machine.shell(f"umask 077; echo {token} > /root/{role}; ostiary-{role} enroll --token-file /root/{role}")
    machine.shell(f"ostiary-{role} service install")


def test_purging_leaves_no_program_and_no_identity_of_a_client(machine: Machine) -> None:
    machine.shell("dpkg --purge ostiary")
    assert "ostiary" not in machine.shell("ls /usr/bin /usr/lib/systemd/system; ls /usr/lib | grep -x ostiary || true")
    assert "client" not in machine.shell("ls /var/lib/ostiary 2>/dev/null || true")
    with pytest.raises(LabError):
        machine.shell("ostiary version")
