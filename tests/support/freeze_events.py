"""Freezes an event of each type, with what must have happened before it, for the tests to read and fold for ever (T-71).

    python tests/support/freeze_events.py             every type that has no file yet
    python tests/support/freeze_events.py TYPE ...    these anew (only before a type was released: then its file stays)

The samples come from ``tests/controller/domain/golden_events.json``, which holds one of every type, about the same few
things. What came before is made of other samples and cut down to what the fold needs.
"""

import json
import sys
from pathlib import Path
from typing import Any

from immutables import Map

from controller.domain.event_codec import UPCASTERS, event_from_json
from controller.domain.events import EVENT_TYPES
from controller.domain.evolve import evolve
from controller.domain.state import PolicyState
from protocol.errors import OstiaryError

TESTS = Path(__file__).parents[1]
SAMPLES = TESTS / "controller" / "domain" / "golden_events.json"
CORPUS = TESTS / "contract" / "corpus"
COMMAND = "python tests/support/freeze_events.py"
START_MS = 1_800_000_000_000

Stored = tuple[str, dict[str, Any]]


def file_of(event_type: str) -> Path:
    """Where a type's event rests."""
    return CORPUS / f"{event_type.replace('/', '-')}.json"


def fold_stored(stored: list[Stored]) -> PolicyState:
    """Reads and folds events as a start does."""
    state = PolicyState()
    for position, (event_type, fields) in enumerate(stored, start=1):
        state = evolve(state, event_from_json(event_type, fields), position, START_MS + position)
    return state


def size_after(stored: list[Stored]) -> int:
    """How much there is after these events; -1 when the fold does not get through."""
    try:
        state = fold_stored(stored)
    except (OstiaryError, LookupError, AttributeError, TypeError, ValueError):
        return -1
    maps = (value for name, value in vars(state).items() if isinstance(value, Map) and name != "versions")
    return sum(len(value) for value in maps)


def before_it(event_type: str, samples: dict[str, list[dict[str, Any]]]) -> list[Stored] | None:
    """Returns the shortest log, made of the other samples, behind which all samples of the type fold; None without one."""
    events: list[Stored] = [(event_type, fields) for fields in samples[event_type]]
    for least in (1, 0):
        log = _much(event_type, samples, least)
        if _fits(log, events):
            break
    else:
        return None
    for index in reversed(range(len(log))):
        shorter = log[:index] + log[index + 1 :]
        if _fits(shorter, events):
            log = shorter
    return log


def _much(event_type: str, samples: dict[str, list[dict[str, Any]]], least: int) -> list[Stored]:
    """Returns a log of other types, each of which added ``least`` things or more."""
    log: list[Stored] = []
    size = size_after(log)
    # Twice: the types stand in no order of their needs.
    for event in EVENT_TYPES * 2:
        for fields in samples.get(event.TYPE, ()):
            if event_type == event.TYPE or (event.TYPE, fields) in log:
                continue
            longer: list[Stored] = [*log, (event.TYPE, fields)]
            if (larger := size_after(longer)) >= size + least:
                log, size = longer, larger
    return log


def _fits(log: list[Stored], events: list[Stored]) -> bool:
    return all(size_after([*log, event]) >= 0 for event in events)


def main(arguments: list[str]) -> int:
    """Writes the files; returns 1 when something is missing."""
    samples: dict[str, list[dict[str, Any]]] = json.loads(SAMPLES.read_text())
    known = [*(event.TYPE for event in EVENT_TYPES), *UPCASTERS]
    wanted = arguments or [event for event in known if not file_of(event).exists()]
    failed = False
    for event_type in wanted:
        if event_type not in known or event_type not in samples:
            print(f"{event_type}: no such type, or no sample of it in {SAMPLES.name}", file=sys.stderr)
            failed = True
            continue
        before = before_it(event_type, samples)
        if before is None:
            print(
                f"{event_type}: its sample folds behind no other samples; let it name the same things", file=sys.stderr
            )
            failed = True
            continue
        content = {"type": event_type, "before": before, "events": samples[event_type]}
        file_of(event_type).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        print(f"frozen: {file_of(event_type).name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
