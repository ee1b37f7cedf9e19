"""How long an answer takes on an open connection: with nothing beside it, and beside bulk at a fixed rate."""

import json
from typing import Final

from bench.engines.engine import IPERF_PORT, Engine
from bench.metrics.measure import Note, Plan, iperf_server, load
from bench.samples import Metric
from bench.stats import quantile
from lab.processes import LabError, wait_for

BULK_MBIT: Final = (0, 300, 1000)
_RUN_UP_S: Final = 0.5
_GROUP: Final = "answers"


def answers(engine: Engine, note: Note, plan: Plan) -> None:
    """200 bytes there and back, the next when the last is there; the bulk comes down on a connection of its own.

    An engine that does not carry nine tenths of the bulk is saturated: what its scheduler does then is no latency, and not told.
    """
    for offer in BULK_MBIT:
        what = f"beside {offer:,} Mbit/s" if offer else "idle"
        if not offer:
            took = load(engine, "answers", plan.short)["took"]
        else:
            took, carried = _beside(engine, offer, plan.short)
            note(Metric("bulk beside answers", f"of {offer:,} Mbit/s", "Mbit/s", "higher"), carried)
            if carried < 0.9 * offer:
                continue
        note(Metric(_GROUP, f"p50 {what}", "ms", "lower"), quantile(took, 0.5) * 1000)
        note(Metric(_GROUP, f"p99 {what}", "ms", "lower"), quantile(took, 0.99) * 1000)


def _beside(engine: Engine, offer: int, seconds: float) -> tuple[list[float], float]:
    """The times of the answers, and how much of the bulk was carried meanwhile, in Mbit/s. Raises LabError."""
    log = engine.lab.folder / f"{engine.name}-beside.log"
    log.unlink(missing_ok=True)
    length = seconds + 2 * _RUN_UP_S
    command = ("/usr/bin/iperf3", "-c", engine.target, "-4", "-p", str(IPERF_PORT), "-J", "-R", "-b", f"{offer}M")
    with iperf_server(engine):
        process = engine.lab[engine.host].start(
            *command, "-t", f"{length:g}", "-O", f"{_RUN_UP_S:g}", "--connect-timeout", "5000", log=log
        )
        try:
            took = load(engine, "answers", seconds)["took"]
            wait_for("the bulk to end", lambda: process.poll() is not None, length + 20)
        finally:
            engine.lab.stop(process)
    try:
        report = json.loads(log.read_text())
        return took, float(report["end"]["sum_received"]["bits_per_second"]) / 1e6
    except (ValueError, KeyError) as error:
        raise LabError(f"iperf3 beside the answers: {log.read_text()[-300:]}") from error
