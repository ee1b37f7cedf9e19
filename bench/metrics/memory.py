"""Memory of each role: idle, and with open connections on which nothing moves."""

import sys
import time
from typing import Final

from bench import load as at
from bench.client_flows import heard
from bench.engines.engine import Engine
from bench.metrics.measure import Note, Plan
from bench.samples import Metric
from bench.usage import rss_of
from lab.processes import LabError

SETTLE_S: Final = 2.0
_GROUP: Final = "memory"
ROLES: Final = ("client", "relay", "connector")


def memory(engine: Engine, note: Note, plan: Plan) -> None:
    """RSS in MB, and in kB for each connection. The idle figure is of an engine that may have worked before."""
    if not engine.roles:
        return
    alone = _by_role(engine)
    for role, megabytes in alone.items():
        note(Metric(_GROUP, f"{role}, idle", "MB", "lower"), megabytes)
    command = (sys.executable, "-m", "bench.client_flows", engine.target, str(at.ECHO_PORT))
    log = engine.lab.folder / f"{engine.name}-streams.log"
    process = engine.lab[engine.host].start(*command, log=log, pipe=True)
    engine.lab.adopt(f"{engine.name}-streams", process)
    assert process.stdin is not None
    try:
        for count in plan.streams:
            process.stdin.write(b"%d\n" % count)
            process.stdin.flush()
            if (opened := heard(process)) != count:
                raise LabError(f"{opened:,} of {count:,} connections were opened: {_last_line(log.read_text())}")
            time.sleep(SETTLE_S)  # what opening has begun ends within this
            for role, megabytes in _by_role(engine).items():
                note(Metric(_GROUP, f"{role}, {count:,} streams", "MB", "lower"), megabytes)
                grown = max(0.0, megabytes - alone[role]) * 1000 / count
                note(Metric("memory of a stream", f"{role}, of {count:,}", "kB", "lower"), grown)
    finally:
        engine.lab.stop(process)


def _by_role(engine: Engine) -> dict[str, float]:
    return {role: rss_of(pids) for role, pids in engine.pids().items() if role in ROLES}


def _last_line(text: str) -> str:
    return text.strip().rsplit("\n", 1)[-1][:200]
