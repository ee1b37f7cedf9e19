"""The undo journal: every change to the host is on disk before it is made (F-14, F-15).

One JSON object per line, appended and synced: ``{"do": 3, "kind": "rule", "data": {...}}``, later ``{"undone": 3}``. A
torn last line (power loss) is a change that was not made, because making it waits for the line. Undoing must therefore
bear that the change is not there, or no longer ours.

    change = journal.record("rule", {"family": 4})   # returns when it is on disk
    ...make the change...
    journal.undo_all(undoers)                        # at exit, and first thing at the next start
"""

import errno
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from protocol.errors import LocalError, OstiaryError
from protocol.reasons import Reason
from runtime.files import PRIVATE_FILE, os_error, read_limited

_log = structlog.get_logger(__name__)

_COMPACT_AFTER: Final = 1000
"""Lines after which a journal without pending changes starts anew."""

Undoer = Callable[[Mapping[str, object]], None]
"""Takes a change's data back. Idempotent; raises OstiaryError or OSError when it could not."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the host that is to be undone."""

    number: int
    kind: str
    data: Mapping[str, object]


class Journal:
    """The journal of one daemon. Not safe for use by two threads at once."""

    def __init__(self, path: Path) -> None:
        """Reads what an earlier run has left. Raises LocalError when the file cannot be read."""
        self._path = path
        self._pending: dict[int, Change] = {}
        self._next = 1
        self._lines = 0
        self._load()

    @property
    def pending(self) -> tuple[Change, ...]:
        """What was changed and not undone, oldest first."""
        return tuple(self._pending.values())

    def record(self, kind: str, data: Mapping[str, object]) -> Change:
        """Writes down a change that is about to be made. Raises LocalError: then do not make it."""
        change = Change(self._next, kind, dict(data))
        self._append({"do": change.number, "kind": kind, "data": change.data})
        self._next += 1
        self._pending[change.number] = change
        return change

    def done(self, change: Change) -> None:
        """The change was taken back."""
        if self._pending.pop(change.number, None) is None:
            return
        self._append({"undone": change.number})
        if not self._pending and self._lines > _COMPACT_AFTER:
            self._remove()

    def undo_all(self, undoers: Mapping[str, Undoer]) -> tuple[Change, ...]:
        """Takes back everything, the newest first; returns what could not be taken back (it stays in the journal).

        ``undoers`` has one for each kind; a kind that is unknown (an older version's) stays in the journal, too.
        """
        failed = []
        for change in reversed(self.pending):
            undoer = undoers.get(change.kind)
            try:
                if undoer is None:
                    raise LocalError(Reason.STATE_CORRUPT, f"unknown kind of change {change.kind!r}")
                undoer(change.data)
                self.done(change)
            except (OstiaryError, OSError) as exc:
                _log.warning("change not undone", kind=change.kind, number=change.number, error=str(exc))
                failed.append(change)
        if not self._pending:
            self._remove()
        return tuple(failed)

    def _load(self) -> None:
        try:
            raw = read_limited(self._path)
        except LocalError as exc:
            if exc.reason is Reason.NOT_FOUND:
                return
            raise
        whole, _, torn = raw.rpartition(b"\n")
        for line in whole.splitlines():
            self._lines += 1
            self._replay(line)
        if torn:
            self._truncate(len(raw) - len(torn))

    def _replay(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            _log.warning("journal line ignored", path=str(self._path))
            return
        match entry:
            case {"do": int(number), "kind": str(kind), "data": dict(data)}:
                self._pending[number] = Change(number, kind, data)
                self._next = max(self._next, number + 1)
            case {"undone": int(number)}:
                self._pending.pop(number, None)

    def _append(self, entry: Mapping[str, object]) -> None:
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        try:
            new = not self._path.exists()
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, PRIVATE_FILE)
            try:
                self._write(handle, line)
            finally:
                os.close(handle)
            if new:
                self._sync_directory()
        except OSError as exc:
            raise os_error(exc, self._path) from exc
        self._lines += 1

    def _write(self, handle: int, line: bytes) -> None:
        """A full disk takes a part of a line only: then it is taken out again, so that the next line begins as one."""
        before = os.fstat(handle).st_size
        try:
            whole = os.write(handle, line) == len(line)
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, before)
            raise
        if not whole:
            os.ftruncate(handle, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _truncate(self, length: int) -> None:
        try:
            os.truncate(self._path, length)
        except OSError as exc:
            raise os_error(exc, self._path) from exc

    def _remove(self) -> None:
        try:
            self._path.unlink(missing_ok=True)
        except OSError as exc:
            raise os_error(exc, self._path) from exc
        self._lines = 0

    def _sync_directory(self) -> None:
        handle = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
