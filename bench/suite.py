"""One run: the chain of hosts, the engines on it, and the rounds."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType

from bench.engines.engine import OURS, OURS_DIRECT, Engine
from bench.metrics import METRICS, Measurement
from bench.metrics.measure import Plan
from bench.metrics.wires import SetWires, setter
from bench.samples import Metric, Record
from lab.chain import ChainLab
from lab.processes import LabError, wait_for
from lab.wire import Wire

SERVER_ADDRESSES = tuple(f"10.20.0.{number}" for number in range(60, 70))
"""One for each engine that leads addresses and not ports, so that all of them can be up together."""


class Suite:
    """A context manager: the lab is there inside it.

    Args:
        folder: for logs and state.
        record: gets the figures.
        engines: those that can run.
        plan: how much is measured in a round.
        say: tells what is going on.
        congestion: TCP congestion control; empty for the machine's own.
        alone: holds what others on a shared machine wait for, while a metric is measured once on all engines.
    """

    def __init__(
        self,
        folder: Path,
        record: Record,
        engines: Sequence[type[Engine]],
        plan: Plan,
        say: Callable[[str], None],
        *,
        congestion: str = "",
        alone: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._record = record
        self._plan = plan
        self._say = say
        self._alone = alone
        self._began = time.monotonic()
        self._lab = ChainLab(folder, f"osb{os.getpid() % 10000}", SERVER_ADDRESSES, congestion)
        self._kinds = engines
        self._engines: list[Engine] = []

    def __enter__(self) -> "Suite":
        self._lab.__enter__()
        try:
            self._start_servers()
            self._engines = [engine for kind in self._kinds if (engine := self._started(kind)) is not None]
        except BaseException:
            self._lab.remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        for engine in self._engines:
            engine.stop()
        self._lab.__exit__(kind, exc, tb)

    def run(self, metrics: Iterable[str], rounds: int) -> None:
        """Measures: round by round, metric by metric, engine by engine."""
        chosen = {name: METRICS[name] for name in metrics}
        self._rounds({name: each for name, each in chosen.items() if not each.over_wires}, rounds)
        if over_wires := {name: each for name, each in chosen.items() if each.over_wires}:
            put = self._lay_wires()
            bound = {name: replace(each, run=partial(each.run, put=put)) for name, each in over_wires.items()}
            self._rounds(bound, rounds)

    def _rounds(self, chosen: Mapping[str, Measurement], rounds: int) -> None:
        for number in range(rounds):
            for name, measurement in chosen.items():
                if number and measurement.once:
                    continue
                with self._alone():
                    self._told(f"round {number + 1} of {rounds}: {name}")
                    for engine in list(self._engines):
                        if wanted(measurement, engine):
                            self._one(name, measurement, engine, number)

    def _one(self, name: str, measurement: Measurement, engine: Engine, number: int) -> None:
        def note(metric: Metric, value: float) -> None:
            self._record.add(engine.name, metric, number, value)

        try:
            engine.alive()
            measurement.run(engine, note, self._plan)
        except LabError as error:
            self._failed(f"{engine.name}: {name}, round {number + 1}: {_short(error)}")
            self._again(engine)

    def _again(self, engine: Engine) -> None:
        """After a failure the next metric begins with a fresh engine."""
        try:
            engine.stop()
            engine.start()
        except LabError as error:
            self._failed(f"{engine.name}: does not come back: {_short(error)}")
            self._engines.remove(engine)

    def _lay_wires(self) -> SetWires:
        """Puts a wire in the place of each client's cable; engines begin anew, because what they had open went with it."""
        self._told("laying wires")
        for engine in self._engines:
            engine.stop()
        hosts = sorted({engine.host for engine in self._engines})
        wires = [Wire.replace(self._lab, host, "cloud", seed=number) for number, host in enumerate(hosts)]
        for engine in list(self._engines):
            self._again(engine)
        return setter(wires)

    def _started(self, kind: type[Engine]) -> Engine | None:
        engine = kind(self._lab)
        self._told(f"starting {engine.label}")
        try:
            engine.start()
        except LabError as error:
            engine.stop()
            self._failed(f"{engine.name}: does not start: {_short(error)}")
            return None
        return engine

    def _start_servers(self) -> None:
        lab = self._lab
        lab.daemon("servers", "load", sys.executable, "-m", "bench.load", "serve")
        wait_for("the load's server", lambda: "listening" in lab.log("load"))

    def _failed(self, what: str) -> None:
        self._told(f"FAILED {what}")
        self._record.failures.append(what)

    def _told(self, what: str) -> None:
        self._say(f"{time.monotonic() - self._began:5.0f} s  {what}")


def wanted(measurement: Measurement, engine: Engine) -> bool:
    """Whether a metric is for this engine."""
    return measurement.needs in engine.carries and (not measurement.ours or engine.group in (OURS, OURS_DIRECT))


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:600]
