"""A whole run in namespaces: what works is measured, what fails is told and stops nobody else."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.engines.engine import CEILING, Engine
from bench.engines.routed import Routed
from bench.engines.stunnel import Stunnel
from bench.metrics import METRICS, Measurement, answers, bulk, connections, measure
from bench.metrics.measure import Note, Plan
from bench.samples import Metric, Record, Subject
from bench.suite import Suite
from lab.chain import ChainLab
from lab.demo import missing_for_tun
from lab.processes import LabError

PLAN = Plan(seconds=1.0, short=0.3, connections=20, storm=64, streams=(50,), transfer=3_000_001, samples=1)
MARK = Metric("mark", "made", "", "higher")


class OverAnothersRoute(Routed):
    """An engine that leaves the route to the other one that has it."""

    def stop(self) -> None:
        pass


class NeverThere(OverAnothersRoute):
    """An engine that cannot be started."""

    name = "never-there"

    def start(self) -> None:
        raise LabError("no such device")


class OnceThere(OverAnothersRoute):
    """An engine that works until it has failed for the first time."""

    name = "once-there"

    def __init__(self, lab: ChainLab) -> None:
        super().__init__(lab)
        self.starts = 0

    def start(self) -> None:
        self.starts += 1
        if self.starts > 1:
            raise LabError("worn out")


def mark(engine: Engine, note: Note, plan: Plan) -> None:
    if engine.name == "once-there":
        raise LabError("broke")
    note(MARK, 1.0)


@pytest.mark.xdist_group("lab")
def test_failures_are_told_and_stop_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if why := missing_for_tun():
        pytest.skip(why)
    if shutil.which("iperf3") is None:
        pytest.skip("needs iperf3")
    monkeypatch.setitem(METRICS, "mark", Measurement(mark, "a mark"))
    monkeypatch.setitem(METRICS, "hashed", Measurement(bulk.integrity, "hashes", once=True))
    monkeypatch.setitem(METRICS, "new", Measurement(connections.connections, "new connections"))
    monkeypatch.setitem(METRICS, "asked", Measurement(answers.answers, "answers"))
    held: list[bool] = []

    @contextmanager
    def alone() -> Iterator[None]:
        held.append(True)
        yield

    record, said = Record(), list[str]()
    engines: list[type[Engine]] = [Routed, NeverThere, OnceThere]
    if not Stunnel.missing():
        engines.append(Stunnel)
    for engine in engines:
        record.subjects[engine.name] = Subject(engine.name, engine.label, CEILING)
    with Suite(tmp_path / "lab", record, engines, PLAN, said.append, alone=alone) as suite:
        suite.run(["mark", "hashed", "new"], 2)
        suite.run(["asked"], 1)
    assert sorted(record.failures) == [
        "never-there: does not start: no such device",
        "once-there: does not come back: worn out",
        "once-there: mark, round 1: broke",
    ]
    assert len(held) == 3 + 2 + 1  # what is measured once is not looked at in the second round
    for engine in (each for each in engines if each.name in ("routed", "stunnel")):
        marks = record.of(engine.name, "mark", "made")
        assert marks is not None
        assert marks.values == [1.0, 1.0]
        hashed = record.of(engine.name, "integrity", "up, bytes with equal SHA-256")
        assert hashed is not None
        assert hashed.values == [pytest.approx(0.003000001)]
        rate = record.of(engine.name, "new connections", "32 at once")
        assert rate is not None
        assert min(rate.values) > 0
        idle = record.of(engine.name, "answers", "p50 idle")
        assert idle is not None
        assert idle.median > 0
    assert record.of("routed", "new connections", "CPU of all roles") is None
    assert any("starting" in line for line in said)


def test_cpu_of_processes_born_meanwhile_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A role's new child began at nothing: all that it used is the engine's."""
    used = {1: iter([10.0, 11.0]), 2: iter([5.0])}
    monkeypatch.setattr(measure, "cpu_of", lambda pids: sum(next(used[pid]) for pid in sorted(pids)))
    engine = Routed.__new__(Routed)
    looks = iter([{"client": {1}}, {"client": {1, 2}}])
    monkeypatch.setattr(engine, "pids", lambda: next(looks))
    result, spent = measure.spend(engine, lambda: "done")
    assert result == "done"
    assert spent.roles == {"client": 6.0}
    assert spent.total == 6.0
