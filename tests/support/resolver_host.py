"""Hosts of several kinds for tests of resolver settings: each has network, files, bus and resolver of its own.

The resolvers are the real ones, from build/resolvers (lab/ensure-resolvers), at the paths where they are installed. Nothing
of the machine itself is changed: /usr is an overlay, /etc a copy, /run empty, all in a mount namespace.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import client_netns

RESOLVERS = client_netns.ROOT / "build/resolvers"
UPSTREAM = "192.0.2.53"
_DEADLINE_S = 30
_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/>
<allow send_type="method_return"/><allow send_type="error"/><allow receive_type="method_call"/>
<allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/></policy></busconfig>
"""
_SETUP = """set -e
mount --make-rprivate /
mount -t overlay overlay -o lowerdir="$1/usr":/usr /usr
mount --bind "$1/etc" /etc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mkdir -p /run/dbus /run/systemd/resolve /run/NetworkManager /var/lib/NetworkManager /run/resolvconf/interface
mount -o remount,ro /sys 2>/dev/null || mount -o remount,bind,ro /sys
echo ready
read -r _ || true
"""


def missing(*packages: str) -> str | None:
    """Says what this machine lacks for such a host; None when nothing."""
    lacking = [package for package in packages if not (RESOLVERS / package).is_dir()]
    if lacking:
        return f"needs {', '.join(lacking)}: run lab/ensure-resolvers"
    if packages and shutil.which("dbus-daemon") is None:
        return "needs dbus-daemon"
    if "overlay" not in Path("/proc/filesystems").read_text():
        return "needs overlayfs"
    return client_netns.missing()


class World:
    """``resolver_world.py`` inside a host: our side, or the host's own name server."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def tell(self, do: str, **options: object) -> Any:
        """Sends an order and returns what it made of it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": do} | options) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the world ended with {self.process.wait(_DEADLINE_S)}"
        body = json.loads(line)
        assert "error" not in body, body
        return body["result"]

    def asked(self, name: str) -> bool:
        """Whether its name servers were asked about this name, or one below it."""
        return any(each == name or each.endswith("." + name) for each in self.tell("asked"))

    def kill(self) -> None:
        """As the OOM killer does it."""
        self.process.kill()
        self.process.wait(_DEADLINE_S)


class Host:
    """A host; ``etc`` is its /etc, which can be changed before programs start."""

    def __init__(self, inside: client_netns.Namespace, folder: Path, packages: Sequence[str]) -> None:
        self._inside = inside
        self._root = folder / "root"
        self.etc = self._root / "etc"
        self._programs: list[subprocess.Popen[Any]] = []
        self._stage(packages)
        self._holder = subprocess.Popen(
            [
                "/usr/sbin/ip",
                "netns",
                "exec",
                inside.name,
                "unshare",
                "-m",
                "sh",
                "-c",
                _SETUP,
                "setup",
                str(self._root),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        if packages:
            self.start("dbus-daemon", "--config-file=/etc/test-bus.conf", "--nofork", "--nopidfile")
            self.wait(lambda: self.run("test", "-S", "/run/dbus/system_bus_socket", check=False).returncode == 0)

    def _stage(self, packages: Sequence[str]) -> None:
        usr = self._root / "usr"
        usr.mkdir(parents=True)
        shutil.copytree("/etc", self.etc, symlinks=True, ignore=shutil.ignore_patterns("netns"))
        (self.etc / "resolv.conf").unlink(missing_ok=True)
        for package in packages:
            for source, target in (("sbin", "usr/sbin"), ("lib", "usr/lib"), ("usr", "usr"), ("etc", "etc")):
                if (RESOLVERS / package / source).is_dir():
                    shutil.copytree(
                        RESOLVERS / package / source, self._root / target, symlinks=True, dirs_exist_ok=True
                    )
        (self.etc / "test-bus.conf").write_text(_BUS)
        for name, line in (
            ("passwd", "systemd-resolve:x:990:990::/:/usr/sbin/nologin"),
            ("group", "systemd-resolve:x:990:"),
        ):
            with (self.etc / name).open("a") as file:
                file.write(line + "\n")
        (self.etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")

    def argv(self, command: Sequence[str]) -> list[str]:
        """Returns the arguments that run a program on this host."""
        pid = next(iter(_children(self._holder.pid)), self._holder.pid)
        return ["nsenter", "-t", str(pid), "-m", "-n", *command]

    def start(self, *command: str) -> "subprocess.Popen[bytes]":
        """Starts a program, which ends with the host."""
        process = subprocess.Popen(
            self.argv(command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._programs.append(process)
        return process

    def run(self, *command: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Runs a program to its end."""
        done = subprocess.run(self.argv(command), capture_output=True, text=True, timeout=_DEADLINE_S, check=False)
        assert not check or done.returncode == 0, (command, done.stdout, done.stderr)
        return done

    def dig(self, name: str, kind: str = "A") -> str:
        """Asks as /etc/resolv.conf says; returns dig's words."""
        return self.run("/usr/bin/dig", "+tries=2", "+time=10", name, kind, check=False).stdout

    def resolv_conf(self) -> str:
        """What programs read."""
        return self.run("cat", "/etc/resolv.conf").stdout

    def world(self, role: str, state: Path) -> World:
        """Starts our side (``client``), or the host's own name server (``upstream``)."""
        program = [sys.executable, str(client_netns.SUPPORT / "resolver_world.py"), role, str(state)]
        environment = {"PYTHONPATH": f"{client_netns.ROOT}:{client_netns.SUPPORT}", "PATH": "/usr/bin:/bin:/usr/sbin"}
        process = subprocess.Popen(
            self.argv(program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._programs.append(process)
        return World(process)

    def wait(self, test: Callable[[], object]) -> None:
        """Waits until it is so."""
        until = time.monotonic() + 20
        while not test():
            assert time.monotonic() < until, "waited in vain"
            time.sleep(0.05)

    def end(self) -> None:
        """Ends everything on it."""
        for process in reversed(self._programs):
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait(_DEADLINE_S)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.close()
        self._holder.wait(_DEADLINE_S)
        self._holder.stdout.close()


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(each) for each in text.split()]


@contextmanager
def host(folder: Path, *packages: str, prepare: Callable[[Path], None] | None = None) -> Iterator[Host]:
    """Makes a host with the programs of these packages and removes it again."""
    with client_netns.namespace() as inside:
        inside.run("ip", "address", "add", f"{UPSTREAM}/32", "dev", "lo")
        inside.run("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "far")
        inside.run("ip", "link", "set", "far", "up")
        made = Host(inside, folder, packages)
        try:
            if prepare is not None:
                prepare(made.etc)
            yield made
        finally:
            made.end()
