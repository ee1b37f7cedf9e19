"""``make bench``: what the data path costs, beside its peers and beside plain routing, measured in the same rounds.

All figures come from one machine that runs everything at once (client, relay, connector, controller and the load), so only
ratios travel; absolute figures are printed with the machine's description. Every round measures each metric on one engine
after the other, so that a slow minute of the machine hits all of them. Results go to ``bench/results/`` as JSON and as Markdown with plots;
``docs/benchmarks.md`` tells how to read them.
"""

import argparse
import contextlib
import fcntl
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from bench import report
from bench.engines import ENGINES
from bench.engines import QUICK as QUICK_ENGINES
from bench.engines.engine import GROUPS, Engine
from bench.machine import commit, machine, memory, sysctls, wait_until_idle
from bench.metrics import METRICS
from bench.metrics import QUICK as QUICK_METRICS
from bench.metrics.measure import QUICK, scaled
from bench.publish import write
from bench.samples import Record, Subject
from bench.suite import Suite
from lab.processes import LabError

RESULTS = Path(__file__).resolve().parent / "results"
IDLE_DEADLINE_S = 60.0
LOCK_DEADLINE_S = 1800.0


def main() -> int:
    """Runs the rounds and writes the results; 0, 1 when something failed, 2 for wrong usage, 3 for a busy machine."""
    options = _parser().parse_args()
    # The hosts and what runs on them are taken away then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if options.quick:
        options.engines, options.metrics = (
            options.engines or ",".join(QUICK_ENGINES),
            options.metrics or ",".join(QUICK_METRICS),
        )
    chosen = _chosen(options.engines, [engine.name for engine in ENGINES], "engine")
    metrics = _chosen(options.metrics, list(METRICS), "metric")
    plan = QUICK if options.quick else scaled(options.seconds)
    try:
        idle = (
            "not looked at (--busy)" if options.busy else f"{100 * (1 - wait_until_idle(IDLE_DEADLINE_S, _say)):.0f} %"
        )
    except LabError as error:
        _say(str(error))
        return 3
    record = Record({**machine(), "memory": memory(), **sysctls(), "idle before": idle})
    if options.congestion:
        record.machine["congestion control"] = f"{options.congestion}, set in all namespaces"
    rounds = 1 if options.quick else options.rounds
    record.settings = {"rounds": rounds, "seconds of a transfer": plan.seconds, "product": commit()}
    engines = _runnable([engine for engine in ENGINES if engine.name in chosen], record)
    folder = Path(tempfile.mkdtemp(prefix="ostiary-bench-"))
    began = time.monotonic()
    try:
        alone = partial(held, options.lock)
        with Suite(folder, record, engines, plan, _say, congestion=options.congestion, alone=alone) as suite:
            suite.run(metrics, rounds)
    except LabError as error:
        _say(f"the benchmark ended early: {error}")
        record.failures.append(str(error))
    except (KeyboardInterrupt, SystemExit):
        # Hours of figures are not thrown away because somebody stops the rest.
        record.failures.append("stopped before its end")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    record.settings["minutes"] = round((time.monotonic() - began) / 60, 1)
    print(report.plain(record, GROUPS))
    if record.series and (options.output or not options.quick):
        files = write(record, Path(options.output) if options.output else RESULTS / f"{_stamp()}-suite.json")
        _say(f"written: {', '.join(map(str, files))}")
    return 1 if record.failures else 0


@contextlib.contextmanager
def held(paths: Sequence[str]) -> Iterator[None]:
    """Holds these files' locks, taken in the order given. Raises LabError when one is not free in time."""
    with contextlib.ExitStack() as stack:
        before = signal.signal(signal.SIGALRM, _too_long)
        # Not tried again and again: those who wait have their turns in order, and who only tries gets none.
        signal.setitimer(signal.ITIMER_REAL, LOCK_DEADLINE_S)
        try:
            for path in paths:
                fcntl.flock(stack.enter_context(open(path, "a")), fcntl.LOCK_EX)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        yield


def _too_long(*_: object) -> None:
    raise LabError(f"the locks were not free within {LOCK_DEADLINE_S:g} s")


def _runnable(chosen: Sequence[type[Engine]], record: Record) -> list[type[Engine]]:
    """Notes all engines, and tells why some cannot run."""
    found = []
    for engine in chosen:
        why = engine.missing()
        record.subjects[engine.name] = Subject(
            engine.name, engine.label, engine.group, "" if why else engine.version(), why
        )
        if why:
            _say(f"skipped: {engine.label}: {why}")
        else:
            found.append(engine)
    return found


def _chosen(given: str | None, known: list[str], what: str) -> list[str]:
    """The names of a list with commas, in the order of ``known``. Ends the program for unknown ones."""
    if given is None:
        return known
    wanted = [name.strip() for name in given.split(",") if name.strip()]
    if unknown := sorted(set(wanted) - set(known)):
        _say(f"no such {what}: {', '.join(unknown)}; there are: {', '.join(known)}")
        raise SystemExit(2)
    return [name for name in known if name in wanted]


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:12} {each.says}" for name, each in METRICS.items())
    engines = "\n".join(f"  {engine.name:16} {engine.label} ({engine.group})" for engine in ENGINES)
    parser = argparse.ArgumentParser(
        prog="python -m bench.run",
        description="The benchmarks of the data path; results go to bench/results/.",
        epilog=f"metrics:\n{listed}\n\nengines:\n{engines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="one short round, nothing written unless --output says so")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (default: 5)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=8.0,
        help="length of one transfer (default: 8); shorter ones make the other metrics smaller, too",
    )
    parser.add_argument("--engines", metavar="NAME,…", help="these only")
    parser.add_argument("--metrics", metavar="NAME,…", help="these only")
    parser.add_argument("--congestion", default="", metavar="NAME", help="TCP congestion control, such as cubic")
    parser.add_argument("--busy", action="store_true", help="measure on a machine that is not idle, too")
    parser.add_argument(
        "--lock",
        action="append",
        default=[],
        metavar="FILE",
        help="on a shared machine: hold this file's lock while measuring, and not while starting; may be repeated",
    )
    parser.add_argument("--output", metavar="FILE.json", help="where the results go")
    return parser


def _stamp() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
