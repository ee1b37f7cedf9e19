"""CPU time and memory of processes and of the whole machine, from /proc."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.processes import LabError

TICKS: Final = os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")
_IDLE_FIELDS: Final = (3, 4)
"""Of the first line of /proc/stat: idle, and waiting for a disk."""
_STEAL_FIELD: Final = 7


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its waited-for children."""
    return sum(int(value) for value in _stat(pid)[11:15]) / TICKS


def cpu_of(pids: Iterable[int]) -> float:
    """The sum of those that are still there."""
    total = 0.0
    for pid in pids:
        try:
            total += cpu_seconds(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def descendants(pids: Iterable[int]) -> set[int]:
    """These processes and all that they started, however deep."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    found: set[int] = set()
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, ())
    return found


def rss(pid: int) -> float:
    """Resident set size in megabytes (10^6 bytes). Raises LabError."""
    for line in (_PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LabError(f"the kernel does not tell the memory of {pid}")


def rss_of(pids: Iterable[int]) -> float:
    """The sum of those that are still there, in megabytes."""
    total = 0.0
    for pid in pids:
        try:
            total += rss(pid)
        except (FileNotFoundError, ProcessLookupError, LabError):
            continue
    return total


@dataclass(frozen=True, slots=True)
class Machine:
    """CPU-seconds of all cores since the machine started.

    Attributes:
        busy: spent by processes and by the kernel for them, interrupts included.
        stolen: taken by the machine's host for others.
        total: all of it, idle time included.
    """

    busy: float
    stolen: float
    total: float

    def __sub__(self, earlier: "Machine") -> "Machine":
        return Machine(self.busy - earlier.busy, self.stolen - earlier.stolen, self.total - earlier.total)


def machine_cpu() -> Machine:
    """The whole machine's CPU time up to now."""
    return parse_machine((_PROC / "stat").read_text())


def parse_machine(stat: str) -> Machine:
    """Reads the first line of /proc/stat. Guests' time is in the user's, and not counted twice."""
    ticks = [int(value) for value in stat.split("\n", 1)[0].split()[1:9]]
    idle, stolen = sum(ticks[number] for number in _IDLE_FIELDS), ticks[_STEAL_FIELD]
    return Machine((sum(ticks) - idle - stolen) / TICKS, stolen / TICKS, sum(ticks) / TICKS)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold blanks: state, parent, …"""
    return (_PROC / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()
