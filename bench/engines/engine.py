"""What every engine is: a way for bytes from a client's host to the servers, that can be started, used and ended."""

import shutil
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Final

from bench import load
from bench.usage import descendants
from lab.chain import ChainLab
from lab.processes import LabError

OURS: Final = "Ostiary, through a relay"
OURS_DIRECT: Final = "Ostiary, without a relay"
YARDSTICK: Final = "C programs in the same places, through a relay"
PROXIES: Final = "proxy tunnels, without a relay"
PACKETS: Final = "packet VPNs, without a relay"
CEILING: Final = "plain routing, no tunnel"
GROUPS: Final = (OURS, OURS_DIRECT, YARDSTICK, PROXIES, PACKETS, CEILING)
"""The classes, in the order of reports. They promise different things: figures are compared within one, or with the ceiling."""

IPERF_PORT: Final = 5201
PORTS: Final = (IPERF_PORT, load.ECHO_PORT, load.TRANSFER_PORT)
"""The servers' ports; engines that lead ports and not addresses lead these."""
TOOLS: Final = Path(__file__).parents[2] / ".bench-tools"
"""Where ``make bench-tools`` puts what no distribution has."""


class Engine(ABC):
    """One engine. Programs that it starts are daemons of the lab, which ends them in any case.

    Attributes:
        name: short, of files and options.
        label: what it is, for people.
        group: one of GROUPS.
        carries: ``tcp`` alone, or ``udp`` too.
        host: the client's host.
        roles: the lab's daemons by role: client, relay, connector, controller.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    group: ClassVar[str]
    carries: ClassVar[frozenset[str]] = frozenset({"tcp", "udp"})
    host: ClassVar[str] = "desk"
    roles: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init__(self, lab: ChainLab) -> None:
        self.lab = lab
        self.folder = lab.folder / self.name
        self.folder.mkdir(exist_ok=True)

    @classmethod
    def missing(cls) -> str:
        """Why it cannot run here; empty when it can."""
        return ""

    @classmethod
    def version(cls) -> str:
        """Of its programs."""
        return ""

    @property
    @abstractmethod
    def target(self) -> str:
        """The host that a program on the client's host connects to."""

    @abstractmethod
    def start(self) -> None:
        """Comes back when connections are possible. Raises LabError."""

    @abstractmethod
    def stop(self) -> None:
        """Ends it. Safe to call when it does not run."""

    def cold(self) -> float | None:
        """Loses the tunnel and returns the seconds from a new connection to its first byte; None: it has none to lose."""
        return None

    def pids(self) -> dict[str, set[int]]:
        """The processes of each role."""
        return {
            role: descendants(pid for name in names for pid in self.lab.pids(name))
            for role, names in self.roles.items()
        }

    def alive(self) -> None:
        """Raises LabError with a log's end when one of its programs has ended."""
        for names in self.roles.values():
            for name in names:
                if self.lab.process(name).poll() is not None:
                    raise LabError(f"{self.name}: {name} has ended:\n{self.lab.log(name)[-1500:]}")

    def stop_daemons(self, *names: str) -> None:
        """Ends those of these daemons that run."""
        for name in names or [name for each in self.roles.values() for name in each]:
            try:
                self.lab.stop(self.lab.process(name))
            except LabError:
                continue

    def wait_until_it_carries(self, deadline: float = 20.0) -> float:
        """Asks the echo server through the engine until it answers; returns the seconds. Raises LabError."""
        began = time.monotonic()
        while True:
            try:
                done = self.lab[self.host].run(*ask_once(self.target), check=False, deadline=5)
                if done.returncode == 0:
                    return time.monotonic() - began
            except LabError:
                pass
            self.alive()
            if time.monotonic() - began > deadline:
                logs = "\n".join(self.lab.log(name)[-800:] for names in self.roles.values() for name in names)
                raise LabError(f"{self.name}: nothing came through within {deadline:g} s:\n{logs}")
            time.sleep(0.05)


def ask_once(host: str, port: int = load.ECHO_PORT) -> list[str]:
    """A command that ends with 0 once one echo came back, without this package's start-up time."""
    return ["/usr/bin/python3", "-S", "-c", _ASK_ONCE, host, str(port)]


def program(name: str) -> str:
    """The path of a program: of ``make bench-tools`` first, then the system's; empty when there is none."""
    own = TOOLS / "bin" / name
    return str(own) if own.exists() else shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") or ""


def missing_programs(*names: str) -> str:
    """Why an engine of these programs cannot run; empty when all are there."""
    absent = [name for name in names if not program(name)]
    return f"{', '.join(absent)}: not installed (make bench-tools)" if absent else ""


def private(path: Path, text: str) -> Path:
    """Writes a file that only its owner may read: keys and passwords go into files, never into arguments."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path


_ASK_ONCE = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 1.5) as s:
    s.sendall(b"?")
    sys.exit(s.recv(1) != b"?")
"""
