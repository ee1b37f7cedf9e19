"""What only the product has: a revocation that cuts, and the user's command."""

import time

from bench.engines.engine import Engine
from bench.engines.ostiary import OstiaryTun
from bench.metrics.measure import Note, Plan
from bench.samples import Metric
from bench.stats import quantile
from lab.story import Story


def revocation(engine: Engine, note: Note, plan: Plan) -> None:
    """From the revocation's event to the end of a running download."""
    if not isinstance(engine, OstiaryTun) or engine.name != OstiaryTun.name:
        return
    story = Story(engine.product, engine.lab)
    took = []
    for _ in range(plan.samples):
        took.append(story.cut_download("wiki", "http://wiki.corp.internal/blob?bytes=1000000000000"))
        story.restore("wiki")
    note(Metric("control", "revocation, event to cut", "ms", "lower"), quantile(took, 0.5) * 1000)


def status(engine: Engine, note: Note, plan: Plan) -> None:
    """`ostiary status`, the whole command."""
    if not isinstance(engine, OstiaryTun) or engine.name != OstiaryTun.name:
        return
    took = []
    for _ in range(3 * plan.samples):
        began = time.monotonic()
        engine.product.command(*engine.product.device, "ostiary", "status")
        took.append(time.monotonic() - began)
    note(Metric("control", "ostiary status", "ms", "lower"), quantile(took, 0.5) * 1000)
