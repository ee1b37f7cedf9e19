"""State on disk: atomic, bounded, private (T-42, T-57, F-11, F-15).

A reader sees either the old file or the new one, never a part: the new content goes to a temporary file in the same
directory, is synced, and takes the name by ``rename``. All errors are LocalErrors that name the path.
"""

import errno
import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from protocol.errors import LocalError
from protocol.reasons import Reason

PRIVATE_FILE: Final = 0o600
PRIVATE_DIR: Final = 0o700
READ_LIMIT: Final = 4 * 1024 * 1024
"""Bytes; larger than any state file, small enough that a planted one cannot fill the memory."""


def write_atomic(path: Path, data: bytes | str, *, mode: int = PRIVATE_FILE) -> None:
    """Replaces ``path`` by ``data`` in one step. Raises LocalError."""
    raw = data.encode() if isinstance(data, str) else data
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        temporary = None
        _sync_directory(path.parent)
    except OSError as exc:
        raise os_error(exc, path) from exc
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def read_limited(path: Path, limit: int = READ_LIMIT) -> bytes:
    """Returns the whole file. Raises LocalError when it is missing, unreadable or longer than ``limit`` bytes."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as exc:
        raise os_error(exc, path) from exc
    if len(data) > limit:
        raise LocalError(Reason.STATE_CORRUPT, f"{path} is larger than {limit} bytes")
    return data


def os_error(exc: OSError, path: Path) -> LocalError:
    """Names an OSError on a path with a Reason."""
    text = f"{path}: {exc.strerror or exc}"
    match exc.errno:
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return LocalError(Reason.PERMISSION_DENIED, text)
        case errno.ENOENT | errno.ENOTDIR:
            return LocalError(Reason.NOT_FOUND, text)
        case errno.ENOSPC | errno.EDQUOT | errno.EMFILE | errno.ENFILE | errno.ENOMEM:
            return LocalError(Reason.LIMIT_EXCEEDED, text)
    return LocalError(Reason.UNAVAILABLE, text)


class StateDir:
    """A daemon's private directory. Names are plain file names inside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def ensure(self, *, mode: int = PRIVATE_DIR) -> None:
        """Makes the directory if it is missing and takes away what others may do with it. Raises LocalError."""
        try:
            self.path.mkdir(mode=mode, parents=True, exist_ok=True)
            current = stat.S_IMODE(self.path.stat().st_mode)
            if current & ~mode:
                self.path.chmod(current & mode)
        except OSError as exc:
            raise os_error(exc, self.path) from exc

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def exists(self, name: str) -> bool:
        """Tells whether the file is there."""
        return (self.path / name).is_file()

    def read(self, name: str, *, limit: int = READ_LIMIT) -> bytes | None:
        """Returns the file's bytes, None when there is no such file. Raises LocalError."""
        try:
            return read_limited(self.path / name, limit)
        except LocalError as exc:
            if exc.reason is Reason.NOT_FOUND:
                return None
            raise

    def write(self, name: str, data: bytes | str, *, mode: int = PRIVATE_FILE) -> None:
        """Replaces the file atomically. Raises LocalError."""
        write_atomic(self.path / name, data, mode=mode)

    def read_json(self, name: str, *, limit: int = READ_LIMIT) -> dict[str, object] | None:
        """Returns the JSON object in the file, None when there is no such file. Raises LocalError(STATE_CORRUPT)."""
        raw = self.read(name, limit=limit)
        if raw is None:
            return None
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError) as exc:
            raise LocalError(Reason.STATE_CORRUPT, f"{self.path / name} is not JSON") from exc
        if not isinstance(value, dict):
            raise LocalError(Reason.STATE_CORRUPT, f"{self.path / name} is not a JSON object")
        return value

    def write_json(self, name: str, value: Mapping[str, object], *, mode: int = PRIVATE_FILE) -> None:
        """Replaces the file by indented JSON."""
        self.write(name, json.dumps(value, indent=2, sort_keys=True) + "\n", mode=mode)

    def remove(self, name: str) -> None:
        """Removes the file if it is there. Raises LocalError."""
        try:
            (self.path / name).unlink(missing_ok=True)
        except OSError as exc:
            raise os_error(exc, self.path / name) from exc

    def lock(self) -> None:
        """Claims the directory for this process until it ends. Raises LocalError(ALREADY_RUNNING) (F-16)."""
        if self._lock is not None:
            return
        path = self.path / ".lock"
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        except OSError as exc:
            raise os_error(exc, path) from exc
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(handle)
            raise LocalError(Reason.ALREADY_RUNNING, str(self.path)) from exc
        self._lock = handle

    def unlock(self) -> None:
        """Gives the claim back; the kernel does it anyway when the process ends."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
