"""The hash chain over the log (T-9, T-70): editing, removing or inserting one row breaks it at that row.

The hash of an event is SHA-256 over the canonical JSON (sorted members, no blanks, UTF-8) of everything in its row and the
hash of the row before; the first row follows 64 zeros. Every snapshot and config that agents hold carries the head, so
that a log rewritten as a whole disagrees with what is out there.
"""

import hashlib
import json
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any, Final, NamedTuple

GENESIS: Final = "0" * 64


class Row(NamedTuple):
    """A row of ``events`` exactly as stored."""

    position: int
    stream: str
    version: int
    type: str
    data: str
    actor: str
    at_ms: int
    request_id: str
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class ChainFault:
    """What is wrong at one position of the log."""

    position: int
    detail: str


@dataclass(frozen=True, slots=True)
class ChainReport:
    """The outcome of a verification; ``faults`` is empty when the log is whole."""

    checked: int
    log_head: str
    faults: tuple[ChainFault, ...]


def canonical_json(value: Any) -> str:
    """Returns the one spelling of a JSON value that is stored and hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def row_hash(
    *,
    position: int,
    stream: str,
    version: int,
    event_type: str,
    data: str,
    actor: str,
    at_ms: int,
    request_id: str,
    previous_hash: str,
) -> str:
    """Returns the hash of one row. ``data`` goes in as the text that it is stored as."""
    # ``canonical_json`` of the list of all these, written out: a start hashes the whole log.
    text = encode_basestring
    body = (
        f"[{position:d},{text(stream)},{version:d},{text(event_type)},{text(data)},{text(actor)},{at_ms:d},"
        f"{text(request_id)},{text(previous_hash)}]"
    )
    return hashlib.sha256(body.encode()).hexdigest()


class ChainVerifier:
    """Takes rows in order of position and collects what is wrong with them."""

    def __init__(self, *, position: int = 0, log_head: str = GENESIS, faults_max: int = 100) -> None:
        self._position = position
        self._head = log_head
        self._faults: list[ChainFault] = []
        self._faults_max = faults_max
        self._checked = 0

    def check(self, row: Row) -> ChainFault | None:
        """Returns the fault at this row, if any, and goes on behind it."""
        fault = self._fault(row)
        if fault is not None and len(self._faults) < self._faults_max:
            self._faults.append(fault)
        self._position, self._head = row.position, row.hash
        self._checked += 1
        return fault

    def report(self) -> ChainReport:
        """Returns what was found so far."""
        return ChainReport(self._checked, self._head, tuple(self._faults))

    def _fault(self, row: Row) -> ChainFault | None:
        if row.position != self._position + 1:
            return ChainFault(self._position + 1, f"missing: event {row.position} follows event {self._position}")
        if row.previous_hash != self._head:
            return ChainFault(row.position, "does not continue the event before it")
        expected = row_hash(
            position=row.position,
            stream=row.stream,
            version=row.version,
            event_type=row.type,
            data=row.data,
            actor=row.actor,
            at_ms=row.at_ms,
            request_id=row.request_id,
            previous_hash=row.previous_hash,
        )
        if row.hash != expected:
            return ChainFault(row.position, "content does not match its hash")
        return None
