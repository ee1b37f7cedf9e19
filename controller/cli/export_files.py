"""Files of auditors: exports of the log, witnesses' notes, key sets; read with bounds, written for their owner only."""

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

from controller.domain.bulk_fold import BulkFold
from controller.domain.event_codec import event_from_json
from controller.domain.state import PolicyState
from controller.store.chain import ChainVerifier, Row
from controller.store.evidence import ROW_FIELDS
from controller.store.exporting import Line
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.files import os_error, read_limited

OBJECT_MAX_BYTES: Final = 64 * 1024 * 1024
LINE_MAX_CHARS: Final = 8 * 1024 * 1024


def read_lines(path: Path) -> Iterator[Line]:
    """Reads an export; ``-`` is standard input.

    Raises:
        LocalError: BACKUP_INVALID naming the first line that is no JSON object; NOT_FOUND, PERMISSION_DENIED.
    """
    with _source(path) as stream:
        number = 0
        while text := stream.readline(LINE_MAX_CHARS):
            number += 1
            if not text.strip():
                continue
            try:
                value = json.loads(text)
            except (ValueError, RecursionError) as exc:
                raise LocalError(Reason.BACKUP_INVALID, f"{path}: line {number} is not JSON") from exc
            if not isinstance(value, dict):
                raise LocalError(Reason.BACKUP_INVALID, f"{path}: line {number} is not an object")
            yield value


def fold_export(source: Iterable[Line], at: int | None = None) -> tuple[PolicyState, str]:
    """Folds the events of an export up to position ``at``, checking their chain; returns the state and the log's head.

    Raises:
        LocalError: STATE_CORRUPT naming the event where the chain breaks, BACKUP_INVALID when the export has no end,
            NOT_FOUND when it has no event ``at``, SCHEMA_NEWER.
    """
    verifier = ChainVerifier()
    folding = BulkFold(PolicyState())
    position = 0
    for row in _rows(source, at):
        fault = verifier.check(row)
        if fault is not None:
            raise LocalError(Reason.STATE_CORRUPT, f"event {fault.position}: {fault.detail}")
        folding.add(event_from_json(row.type, json.loads(row.data)), row.position, row.at_ms)
        position = row.position
    if at is not None and position < at:
        raise LocalError(Reason.NOT_FOUND, f"the export ends at event {position}")
    return folding.finish(), verifier.report().log_head


def _rows(source: Iterable[Line], at: int | None) -> Iterator[Row]:
    for line in source:
        if line.get("kind") == "end":
            return
        if line.get("kind") != "event":
            continue
        try:
            row = Row(**{name: line[name] for name in ROW_FIELDS})
        except KeyError as exc:
            raise LocalError(Reason.BACKUP_INVALID, f"an event lacks {exc}") from exc
        if at is not None and row.position > at:
            return
        yield row
    raise LocalError(Reason.BACKUP_INVALID, "the export has no end: it was cut off")


@contextlib.contextmanager
def target(output: Path | None) -> Iterator[TextIO]:
    """Opens a file for its owner only; None is standard output. Raises LocalError."""
    if output is None:
        yield sys.stdout
        return
    try:
        # It tells who did what: not for everybody.
        output.touch(mode=0o600, exist_ok=True)
        stream = output.open("w", encoding="utf-8")
    except OSError as exc:
        raise os_error(exc, output) from exc
    with stream:
        yield stream


@contextlib.contextmanager
def _source(path: Path) -> Iterator[TextIO]:
    if str(path) == "-":
        yield sys.stdin
        return
    try:
        stream = path.open(encoding="utf-8", errors="replace")
    except OSError as exc:
        raise os_error(exc, path) from exc
    with stream:
        yield stream


def read_object(path: Path) -> Mapping[str, Any]:
    """Reads a file that holds one JSON object. Raises LocalError: INVALID_INPUT, NOT_FOUND, PERMISSION_DENIED."""
    try:
        value = json.loads(read_limited(path, OBJECT_MAX_BYTES))
    except (ValueError, RecursionError) as exc:
        raise LocalError(Reason.INVALID_INPUT, f"{path} is not JSON") from exc
    if not isinstance(value, dict):
        raise LocalError(Reason.INVALID_INPUT, f"{path} is not a JSON object")
    return value
