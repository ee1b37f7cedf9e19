"""What the metrics share: the plan of a run, the load's programs, and the CPU time that something took."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from bench.engines.engine import IPERF_PORT, Engine
from bench.samples import Metric
from bench.usage import Machine, cpu_of, machine_cpu
from lab.processes import LabError, wait_for

Note = Callable[[Metric, float], None]
"""Takes a value of the round and engine that are being measured."""
_SLACK_S: Final = 30.0
_PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured in one round.

    Attributes:
        seconds: length of one transfer.
        short: of what needs no long transfer: datagrams, questions and answers.
        connections: one after the other.
        storm: connections of the 32-wide storm.
        streams: how many idle ones, ascending.
        transfer: bytes that are hashed, for each direction.
        peers: idle tunnels, and idle connectors.
        samples: of what takes one sample each time: cold connections, commands.
    """

    seconds: float = 8.0
    short: float = 4.0
    connections: int = 500
    storm: int = 2000
    streams: tuple[int, ...] = (1_000, 10_000)
    transfer: int = 1 << 30
    peers: int = 6
    samples: int = 3


def scaled(seconds: float) -> Plan:
    """The plan whose transfers are so long; what is counted and not timed shrinks with it, and never grows."""
    whole = Plan()
    part = min(1.0, seconds / whole.seconds)
    return Plan(
        seconds=seconds,
        short=max(0.5, seconds / 2),
        connections=max(100, int(part * whole.connections)),
        storm=max(200, int(part * whole.storm)),
        transfer=int(part * whole.transfer),
    )


QUICK: Final = Plan(
    seconds=2.0, short=1.0, connections=150, storm=400, streams=(500,), transfer=64 << 20, peers=2, samples=1
)


@dataclass
class Spent:
    """CPU-seconds: of each role's processes, and of the whole machine, load included."""

    roles: dict[str, float] = field(default_factory=dict)
    machine: Machine = field(default_factory=lambda: Machine(0.0, 0.0, 0.0))

    @property
    def total(self) -> float:
        """Of all the engine's processes."""
        return sum(self.roles.values())


def spend(engine: Engine, work: Callable[[], Any]) -> tuple[Any, Spent]:
    """Runs ``work`` and returns its result with what it took. Raises what ``work`` raises."""
    pids = engine.pids()
    before, whole = {role: cpu_of(each) for role, each in pids.items()}, machine_cpu()
    result = work()
    whole = machine_cpu() - whole
    # Processes that were born meanwhile began at nothing.
    after = {role: each | pids[role] for role, each in engine.pids().items()}
    return result, Spent({role: cpu_of(each) - before[role] for role, each in after.items()}, whole)


def iperf(engine: Engine, *options: str, seconds: float) -> dict[str, Any]:
    """One iperf3 run from the client's host; returns its JSON's end section. Raises LabError.

    Its control connection goes through the engine, too: a run that ends without a result is tried once more.
    """
    try:
        return _one_iperf(engine, *options, seconds=seconds)
    except LabError:
        time.sleep(_PAUSE_S)
        return _one_iperf(engine, *options, seconds=seconds)


def _one_iperf(engine: Engine, *options: str, seconds: float) -> dict[str, Any]:
    command = ("/usr/bin/iperf3", "-c", engine.target, "-4", "-p", str(IPERF_PORT), "-J", "-t", f"{seconds:g}")
    with iperf_server(engine):
        done = engine.lab[engine.host].run(
            *command, "--connect-timeout", "5000", *options, deadline=seconds + _SLACK_S, check=False
        )
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise LabError(f"iperf3 {options}: {done.stdout[-300:]}{done.stderr[-300:]}") from error
    if "error" in report:
        raise LabError(f"iperf3 {' '.join(options)}: {report['error']}")
    end: dict[str, Any] = report["end"]
    return end


@contextlib.contextmanager
def iperf_server(engine: Engine) -> Iterator[None]:
    """A server for one run: one that waits for the rest of a run which was cut off would keep the next engine waiting."""
    log = engine.lab.folder / "iperf3.log"
    log.unlink(missing_ok=True)
    process = engine.lab["servers"].start("/usr/bin/iperf3", "-s", "-1", "-p", str(IPERF_PORT), "--forceflush", log=log)
    try:
        wait_for("iperf3", lambda: "Server listening" in engine.lab.log("iperf3"), 10)
        yield
    finally:
        engine.lab.stop(process)


def load(engine: Engine, *arguments: object, deadline: float = 60.0) -> Any:
    """Runs one of ``bench.load``'s clients on the client's host; returns what it says. Raises LabError."""
    kind, *rest = map(str, arguments)
    command = (sys.executable, "-m", "bench.load", kind, engine.target, *rest)
    return json.loads(engine.lab[engine.host].run(*command, deadline=deadline).stdout)
