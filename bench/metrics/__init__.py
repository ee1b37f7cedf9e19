"""The metrics: functions over an engine that runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.engines.engine import Engine
from bench.metrics import bulk
from bench.metrics.measure import Note, Plan

Run = Callable[[Engine, Note, Plan], None]


@dataclass(frozen=True, slots=True)
class Measurement:
    """A metric as the options name it.

    Attributes:
        run: measures one engine in one round.
        says: what, for ``--help`` and the report.
        once: measured in the first round only.
        needs: what an engine must carry.
        ours: only of the product's engines.
    """

    run: Run
    says: str
    once: bool = False
    needs: str = "tcp"
    ours: bool = False


METRICS: Final[dict[str, Measurement]] = {
    "bulk": Measurement(bulk.bulk, "TCP with 1 and 8 streams up and down; CPU by role and of the whole machine"),
    "integrity": Measurement(bulk.integrity, "SHA-256 of what was sent and of what came", once=True),
}
