"""New connections through an engine that is warm: one after the other, and 32 at once."""

from typing import Final

from bench.engines.engine import Engine
from bench.metrics.measure import Note, Plan, load, spend
from bench.samples import Metric
from bench.stats import quantile
from lab.processes import LabError

WIDTH: Final = 32
_GROUP: Final = "new connections"


def connections(engine: Engine, note: Note, plan: Plan) -> None:
    """Connect, echo of 64 bytes, close. "Connected" is when connect returns, "first byte" when the echo is there."""
    load(engine, "connects", 10)  # what a first connection brings about is no part of a warm one
    times, spent = spend(engine, lambda: load(engine, "connects", plan.connections, deadline=120))
    connected, closed = times["connected"], times["closed"]
    note(Metric(_GROUP, "connected, p50", "ms", "lower"), quantile(connected, 0.5) * 1000)
    note(Metric(_GROUP, "connected, p99", "ms", "lower"), quantile(connected, 0.99) * 1000)
    note(Metric(_GROUP, "first byte and close, p50", "ms", "lower"), quantile(closed, 0.5) * 1000)
    note(Metric(_GROUP, "first byte and close, p99", "ms", "lower"), quantile(closed, 0.99) * 1000)
    note(Metric(_GROUP, "one after the other", "1/s", "higher"), len(closed) / sum(closed))
    if spent.roles:
        note(Metric(_GROUP, "CPU of all roles", "ms each", "lower"), spent.total / plan.connections * 1000)
    stormed = load(engine, "storm", plan.storm, WIDTH, deadline=120)
    if stormed["failed"]:
        raise LabError(f"{stormed['failed']} of {plan.storm} connections failed with {WIDTH} at once")
    note(Metric(_GROUP, f"{WIDTH} at once", "1/s", "higher"), plan.storm / stormed["took"])
    note(Metric(_GROUP, f"{WIDTH} at once, p99", "ms", "lower"), quantile(stormed["closed"], 0.99) * 1000)
