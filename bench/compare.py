"""``python -m bench.compare OLD.json NEW.json``: whether something became slower beyond noise.

Machines are quicker on one day than on another. So a value is divided by the reference's in the same round, where the reference has
that metric, before two runs are compared. Slower is what an exact one-sided Mann-Whitney test calls so AND what changed by more than
``--least``: a difference that is certain and small is no reason to stop.

Exit status: 0 nothing is slower, 1 something is, 2 the files say nothing (other usage, nothing in common, too few rounds).
"""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.samples import Metric, Record, Series, parse
from bench.stats import mann_whitney_greater, shift_ratio, smallest_p

ALPHA: Final = 0.01
LEAST: Final = 0.05
REFERENCES: Final = ("stunnel-haproxy", "routed")
"""The first that both runs have measured. The chain in C works as ours does, so what slows the machine slows both alike."""
UNDECIDED: Final = ("integrity", "bulk beside answers", "retransmits")
"""Groups that are no speed."""


@dataclass(frozen=True, slots=True)
class Change:
    """One metric of one engine in both runs.

    Attributes:
        engine: whose.
        metric: which.
        worse: new over old, so turned that above 1 is worse; the median of all pairs.
        p_slower: probability of so bad a run by chance.
        p_faster: the same the other way.
        reference: by which engine's values both were divided; empty for none.
    """

    engine: str
    metric: Metric
    worse: float
    p_slower: float
    p_faster: float
    reference: str

    def verdict(self, alpha: float, least: float) -> str:
        """``slower``, ``faster`` or ``same``."""
        if self.p_slower <= alpha and self.worse > 1 + least:
            return "slower"
        if self.p_faster <= alpha and self.worse < 1 / (1 + least):
            return "faster"
        return "same"


@dataclass(frozen=True, slots=True)
class Comparison:
    """All changes, and what could not be compared."""

    changes: tuple[Change, ...]
    too_few: tuple[str, ...]
    """Metrics with fewer rounds than the test needs."""
    remarks: tuple[str, ...]


def compare(
    old: Record, new: Record, *, alpha: float = ALPHA, engines: Iterable[str] = (), reference: str = ""
) -> Comparison:
    """Compares what both runs have; ``engines`` are the only ones, or all that are no reference."""
    changes, too_few = [], []
    wanted = set(engines)
    chosen = [reference] if reference else list(REFERENCES)
    for key, late in new.series.items():
        early = old.series.get(key)
        engine, group, name = key
        if early is None or group in UNDECIDED or (engine not in wanted if wanted else engine in REFERENCES):
            continue
        if smallest_p(len(early.rounds), len(late.rounds)) > alpha:
            too_few.append(f"{engine}: {group}: {name}")
            continue
        before, after, by = _normalised(old, new, early, late, chosen)
        if min(*before, *after) <= 0:
            # A loss of nothing has no ratio: it is compared as it is, and any growth is told as a whole step.
            before, after, by = [1 + value for value in early.values], [1 + value for value in late.values], ""
        if late.metric.better == "higher":
            before, after = [1 / value for value in before], [1 / value for value in after]
        slower, faster = mann_whitney_greater(before, after), mann_whitney_greater(after, before)
        changes.append(Change(engine, late.metric, shift_ratio(before, after), slower, faster, by))
    return Comparison(tuple(changes), tuple(too_few), tuple(_remarks(old, new)))


def _normalised(
    old: Record, new: Record, early: Series, late: Series, references: Iterable[str]
) -> tuple[list[float], list[float], str]:
    """Both runs' values over the reference's of the same round; as they are, where no reference has every round in both."""
    for name in references:
        if name == early.engine:
            continue
        found = [record.of(name, early.metric.group, early.metric.name) for record in (old, new)]
        if all(
            series is not None and all(series.rounds.get(number, 0) > 0 for number in measured.rounds)
            for series, measured in zip(found, (early, late), strict=True)
        ):
            before, after = (
                [measured.rounds[number] / series.rounds[number] for number in sorted(measured.rounds)]
                for series, measured in zip(found, (early, late), strict=True)
                if series is not None
            )
            return before, after, name
    return early.values, late.values, ""


def _remarks(old: Record, new: Record) -> Iterable[str]:
    for key in ("cpu", "kernel", "python", "congestion control"):
        if old.machine.get(key) != new.machine.get(key):
            yield f"not the same {key}: {old.machine.get(key)} and {new.machine.get(key)}"
    key = "seconds of a transfer"
    if old.settings.get(key) != new.settings.get(key):
        yield f"not the same {key}: {old.settings.get(key)} and {new.settings.get(key)}"


def describe(found: Comparison, *, alpha: float, least: float, everything: bool = False) -> str:
    """For people: what changed, the worst first."""
    lines = [f"note: {remark}" for remark in found.remarks]
    for change in sorted(found.changes, key=lambda change: -change.worse):
        verdict = change.verdict(alpha, least)
        if verdict == "same" and not everything:
            continue
        ratio = change.worse if change.worse >= 1 else 1 / change.worse
        p = change.p_slower if change.worse >= 1 else change.p_faster
        by = f", over {change.reference}" if change.reference else ""
        how = "worse" if change.worse >= 1 else "better"
        metric = change.metric
        lines.append(
            f"{verdict:6}  {change.engine}: {metric.group}: {metric.name}: {ratio:.2f} times {how} (p {p:.3f}{by})"
        )
    counts = {
        kind: sum(change.verdict(alpha, least) == kind for change in found.changes)
        for kind in ("slower", "faster", "same")
    }
    lines.append(", ".join(f"{count} {kind}" for kind, count in counts.items()))
    if found.too_few:
        lines.append(
            f"{len(found.too_few)} not judged: too few rounds for p {alpha:g} (five in each run are enough for 0.01)"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--alpha", type=float, default=ALPHA, help=f"greatest probability of chance (default: {ALPHA})")
    parser.add_argument("--least", type=float, default=LEAST, help=f"smallest change that counts (default: {LEAST})")
    parser.add_argument("--engines", metavar="NAME,…", default="", help="these only (default: all but the references)")
    parser.add_argument("--reference", metavar="NAME", default="", help="divide by this engine; `none`: by nobody")
    parser.add_argument("--all", action="store_true", help="tell what did not change, too")
    options = parser.parse_args(arguments)
    try:
        old, new = (parse(json.loads(path.read_text())) for path in (options.old, options.new))
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"cannot be read: {error}", file=sys.stderr)
        return 2
    engines = [name for name in options.engines.split(",") if name]
    found = compare(old, new, alpha=options.alpha, engines=engines, reference=options.reference)
    print(describe(found, alpha=options.alpha, least=options.least, everything=options.all))
    if not found.changes:
        print("nothing could be compared", file=sys.stderr)
        return 2
    return 1 if any(change.verdict(options.alpha, options.least) == "slower" for change in found.changes) else 0


if __name__ == "__main__":
    sys.exit(main())
