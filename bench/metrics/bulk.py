"""Bulk TCP with one and eight streams in both directions, and what each gigabyte costs whom."""

from functools import partial
from typing import Final

from bench.engines.engine import Engine
from bench.metrics.measure import Note, Plan, iperf, load, spend
from bench.samples import Metric
from lab.processes import LabError

DIRECTIONS: Final = (
    ("1 up", ()),
    ("1 down", ("-R",)),
    ("8 up", ("-P", "8")),
    ("8 down", ("-P", "8", "-R")),
)


def bulk(engine: Engine, note: Note, plan: Plan) -> None:
    """Gbit/s at the receiver; CPU-seconds per 10^9 bytes that it got."""
    for label, options in DIRECTIONS:
        end, spent = spend(engine, partial(iperf, engine, *options, seconds=plan.seconds))
        gigabytes = end["sum_received"]["bytes"] / 1e9
        if not gigabytes:
            raise LabError(f"{label}: nothing was received")
        note(Metric("bulk", label, "Gbit/s", "higher"), end["sum_received"]["bits_per_second"] / 1e9)
        if spent.roles:
            note(Metric("CPU", f"all roles, {label}", "s/GB", "lower"), spent.total / gigabytes)
        note(Metric("CPU", f"whole machine, {label}", "s/GB", "lower"), spent.machine.busy / gigabytes)
        if label == "1 down":
            for role, seconds in spent.roles.items():
                if role != "controller":
                    note(Metric("CPU by role", f"{role}, {label}", "s/GB", "lower"), seconds / gigabytes)
        if "-R" not in options:
            note(Metric("retransmits", label, "1/GB", "lower"), end["sum_sent"].get("retransmits", 0) / gigabytes)


def integrity(engine: Engine, note: Note, plan: Plan) -> None:
    """Whether what came is what was sent: SHA-256 at both ends. Raises LabError when it is not."""
    for direction in ("up", "down"):
        said = load(engine, "transfer", direction, plan.transfer, deadline=300)
        if said["ours"] != said["theirs"]:
            raise LabError(f"{direction}: {plan.transfer:,} bytes came out with another SHA-256")
        note(Metric("integrity", f"{direction}, bytes with equal SHA-256", "GB", "higher"), plan.transfer / 1e9)
