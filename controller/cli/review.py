"""Who was revoked since the backup: what exports and witnesses tell, and what nobody can (F-26)."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.cli.export_files import fold_export, read_lines, read_object
from controller.domain.resurrected import Resurrection, Trace, compare
from controller.domain.state import PolicyState
from controller.store.evidence import WITNESS_FORMAT
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.console import print_lines, print_table


@dataclass(slots=True)
class Review:
    """What is known of the time after the backup."""

    position: int
    lost_events: int = 0
    """At least so many."""
    newest_epoch: int = 0
    resurrected: list[Resurrection] = field(default_factory=list)
    cutoffs: list[dict[str, Any]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The review for scripts."""
        return {
            "position": self.position,
            "lost_events_at_least": self.lost_events,
            "newest_epoch_witnessed": self.newest_epoch,
            "revoked_since": [
                {
                    "kind": item.kind,
                    "id": item.id,
                    "what": item.what,
                    "event": item.trace.position if item.trace else None,
                    "actor": item.trace.actor if item.trace else None,
                    "at_ms": item.trace.at_ms if item.trace else None,
                }
                for item in self.resurrected
            ],
            "witnessed_revocations": self.cutoffs,
            "cannot_know": self.unknown,
        }


def review(state: PolicyState, log_head: str, export: Path | None, witnesses: Sequence[Path]) -> Review:
    """Compares a restored state with a later export and with witnesses' notes.

    Raises:
        LocalError: INVALID_INPUT when one of them is about another controller or another history; as ``read_lines``.
    """
    made = Review(state.position)
    known_to = int(state.position)
    if export is not None:
        later, tail = _later(state, log_head, export)
        made.resurrected = compare(state, later, tail)
        known_to = later.position
        made.lost_events = max(0, later.position - state.position)
        made.newest_epoch = later.epoch
    seen = int(state.position)
    for path in witnesses:
        body = read_object(path)
        seen = max(seen, _take_witness(made, state, body, path))
    made.lost_events = max(made.lost_events, seen - state.position)
    made.unknown = _unknown(export, known_to, seen, bool(witnesses))
    return made


def show(made: Review) -> None:
    """Prints the review for people."""
    print_lines("", f"The backup ends at event {made.position}. At least {made.lost_events} later events are lost.")
    if made.resurrected:
        print_lines("", "These live again although they were taken away or changed since:")
        rows = [[item.kind, item.id, item.what, *_when(item.trace)] for item in made.resurrected]
        print_table(["KIND", "ID", "WHAT", "WHEN", "BY"], rows)
    if made.cutoffs:
        print_lines("", "Connectors were told of these revocations:")
        rows = [
            [item["device"], item["resource"] or "everything", item["reason"], item["witness"]] for item in made.cutoffs
        ]
        print_table(["DEVICE", "RESOURCE", "REASON", "SEEN BY"], rows)
    print_lines("", "What this list cannot know:", *(f"  - {line}" for line in made.unknown))


def _later(state: PolicyState, log_head: str, export: Path) -> tuple[PolicyState, Mapping[str, tuple[Trace, ...]]]:
    tail: dict[str, list[Trace]] = {}
    continues = state.position == 0
    for line in read_lines(export):
        if line.get("kind") != "event":
            continue
        position = line.get("position")
        if position == state.position:
            continues = line.get("hash") == log_head
        if isinstance(position, int) and position > state.position:
            trace = Trace(position, str(line["type"]), str(line["actor"]), int(line["at_ms"]))
            tail.setdefault(str(line["stream"]), []).append(trace)
    if not continues:
        raise LocalError(Reason.INVALID_INPUT, f"{export} does not continue this backup: it is of another history")
    later, _ = fold_export(read_lines(export))
    return later, {stream: tuple(traces) for stream, traces in tail.items()}


def _take_witness(made: Review, state: PolicyState, body: Mapping[str, Any], path: Path) -> int:
    if body.get("format") != WITNESS_FORMAT or body.get("issuer") != state.issuer:
        raise LocalError(Reason.INVALID_INPUT, f"{path} is no witness of controller {state.issuer}")
    try:
        notes = [*body["checkpoints"], *body["heads"]]
        made.newest_epoch = max([made.newest_epoch, *(int(item["epoch"]) for item in notes)])
        for item in body["cutoffs"]:
            newer = (int(item["epoch"]), int(item["revision"])) > (state.epoch, state.position)
            if newer and item["device"] in state.devices:
                made.cutoffs.append({**item, "witness": str(body.get("connector", path.name))})
        return max((int(item["position"]) for item in notes if item["epoch"] == state.epoch), default=0)
    except (KeyError, TypeError, ValueError) as exc:
        raise LocalError(Reason.INVALID_INPUT, f"{path} is damaged: {type(exc).__name__}") from exc


def _unknown(export: Path | None, known_to: int, seen: int, witnessed: bool) -> list[str]:
    lines = []
    if export is None:
        lines.append("what the lost events were: give a later export with --export, if there is one")
    elif seen > known_to:
        lines.append(f"what events {known_to + 1} to {seen} were: witnesses saw them, the export ends before")
    else:
        lines.append("what happened after the export was made")
    if not witnessed:
        lines.append("how far the log went: give `ostiary-connector witness export` of each connector with --witness")
    lines.append(
        "revocations that no connected connector was told of: of people without open access, of other networks"
    )
    lines.append(
        "passwords, second factors and recovery codes that were changed or used: those of the backup count again"
    )
    return lines


def _when(trace: Trace | None) -> tuple[str, str]:
    if trace is None:
        return "", ""
    moment = datetime.datetime.fromtimestamp(trace.at_ms / 1000, datetime.UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}Z (event {trace.position})", trace.actor
