"""What figures were measured on, and whether nothing else was running there."""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.usage import TICKS, machine_cpu
from lab.processes import LabError

SYSCTLS: Final = (
    "net.core.default_qdisc",
    "net.core.rmem_max",
    "net.core.wmem_max",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_notsent_lowat",
    "net.ipv4.tcp_slow_start_after_idle",
)
BUSY_MOST: Final = 0.15
"""Part of all cores that may be busy before a run; a hypervisor's agents and a shell are below it."""
_LOOK_S: Final = 2.0


def aes_speed() -> float:
    """GB/s: how fast this machine is at the moment, whatever its name. Virtual machines differ by more than two."""
    out = subprocess.run(
        ["/usr/bin/openssl", "speed", "-mr", "-evp", "aes-128-gcm", "-bytes", "16384", "-seconds", "1"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return float(out.strip().rsplit(":", 1)[-1]) / 1e9 if ":" in out else 0.0


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "?",
    )
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    versions = subprocess.run(["/usr/bin/iperf3", "--version"], capture_output=True, text=True, check=False).stdout
    return {
        "AES-128-GCM, one core (openssl speed, 16 KiB)": f"{aes_speed():.1f} GB/s",
        "cpu": f"{os.cpu_count()} x {model}",
        "kernel": platform.release(),
        "python": f"{platform.python_version()} ({_python_build()})",
        "congestion control": congestion,
        "iperf3": versions.splitlines()[0] if versions else "?",
        "load before": Path("/proc/loadavg").read_text().split()[0],
    }


def sysctls() -> dict[str, str]:
    """The kernel's settings that figures depend on; those that this kernel has."""
    found = {}
    for name in SYSCTLS:
        path = Path("/proc/sys", *name.split("."))
        if path.exists():
            found[name] = " ".join(path.read_text().split())
    return found


def memory() -> str:
    """How much there is."""
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB"


def commit() -> str:
    """The commit of the product that was measured, with a mark when files differ from it."""
    git = shutil.which("git")
    if git is None:
        return "?"
    done = subprocess.run(
        [git, "describe", "--always", "--dirty=, changed", "--abbrev=10"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "?"


def busy_part(seconds: float = _LOOK_S) -> tuple[float, str]:
    """Watches; returns the part of all cores that was busy or stolen, and who was it most."""
    before, mine = machine_cpu(), _ticks_by_process()
    time.sleep(seconds)
    spent = machine_cpu() - before
    most = sorted(
        ((ticks - mine.get(name, 0), name) for name, ticks in _ticks_by_process().items() if name[0] != os.getpid()),
        reverse=True,
    )[:3]
    who = ", ".join(f"{name} ({pid}) {100 * ticks / TICKS / seconds:.0f} %" for ticks, (pid, name) in most if ticks > 0)
    return (spent.busy + spent.stolen) / max(spent.total, 1e-9), who


def wait_until_idle(deadline: float, report: Callable[[str], None], most: float = BUSY_MOST) -> float:
    """Comes back when at most ``most`` of all cores is busy; returns that part. Raises LabError with who is in the way."""
    ends = time.monotonic() + deadline
    while True:
        part, who = busy_part()
        if part <= most:
            return part
        if time.monotonic() > ends:
            raise LabError(
                f"the machine is not idle: {100 * part:.0f} % of all cores are busy or stolen ({who or 'no process of this machine'}); "
                "figures would say nothing. End what runs, or measure all the same with --busy."
            )
        report(f"waiting: {100 * part:.0f} % of all cores are busy ({who or 'stolen by the host'})")


def _ticks_by_process() -> dict[tuple[int, str], int]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                before, _, rest = (entry / "stat").read_text().rpartition(")")
            except (FileNotFoundError, ProcessLookupError):
                continue
            fields = rest.split()
            found[int(entry.name), before.partition("(")[2]] = int(fields[11]) + int(fields[12])
    return found


def _python_build() -> str:
    """A Python that was built without profile-guided optimisation is some 10 to 20 % slower."""
    distribution = sys.base_prefix == "/usr"
    optimised = distribution or "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS"))
    return "the distribution's" if distribution else "optimised build" if optimised else "build without optimisation"
