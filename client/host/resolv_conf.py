"""Taking over ``/etc/resolv.conf`` and giving it back byte for byte (F-14, F-15).

Our version keeps every line but ``nameserver`` and says in its first line whose it is. What the file was (its bytes, or
the target of a symlink, its mode and owner) is in the journal before anything is written. The file is replaced
atomically; where it is a mount point (containers, namespaces) it is written in place.

It is given back only while it is ours. Somebody who has replaced it meanwhile (a DHCP client) has the newer truth.
"""

import base64
import contextlib
import errno
import hashlib
import os
import socket
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from client.host.upstream import host_domain, parse_searches
from protocol.acl.model import IPAddress
from protocol.errors import LocalError
from protocol.reasons import Reason

RESOLV_CONF: Final = Path("/etc/resolv.conf")
MARKER: Final = b"# ostiary: changed by ostiaryd, which puts the original back when it stops\n"
CHANGE: Final = "resolv_conf"
_LIMIT: Final = 256 * 1024


def snapshot_of(path: Path, ours: bytes) -> dict[str, object]:
    """Returns what the journal has to hold to give ``path`` back, when ``ours`` is going to be written to it."""
    data: dict[str, object] = {"path": str(path), "ours": hashlib.sha256(ours).hexdigest()}
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return data | {"symlink": str(path.readlink())}
        content = _read(path)
    except FileNotFoundError:
        return data | {"absent": True}
    except OSError as exc:
        raise _error(path, exc) from exc
    return data | {
        "content": base64.b64encode(content).decode(),
        "mode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }


def original_of(data: Mapping[str, object]) -> bytes:
    """Returns what the file held, from ``snapshot_of``'s data; empty for a symlink or a file that was not there."""
    return base64.b64decode(str(data["content"])) if "content" in data else b""


def target_of(data: Mapping[str, object]) -> Path | None:
    """Returns what the symlink pointed to, from ``snapshot_of``'s data; None when it was none."""
    return Path(str(data["path"])).parent / str(data["symlink"]) if "symlink" in data else None


def rewritten(original: bytes, servers: Sequence[IPAddress]) -> bytes:
    """Returns our version: the marker, every line of the original but its nameservers, then ours."""
    kept = [line for line in original.splitlines(keepends=True) if not _is_nameserver(line) and line != MARKER]
    if kept and not kept[-1].endswith(b"\n"):
        kept[-1] += b"\n"
    return MARKER + b"".join(kept) + b"".join(f"nameserver {server}\n".encode() for server in servers)


def read_through(path: Path) -> bytes:
    """Returns the file's bytes, following symlinks; empty when there is none. Raises LocalError."""
    try:
        return _read(path)
    except FileNotFoundError:
        return b""
    except OSError as exc:
        raise _error(path, exc) from exc


def searches(path: Path) -> tuple[str, ...]:
    """Returns the domains that the C library puts behind names. Raises LocalError."""
    said = parse_searches(read_through(path))
    return host_domain(socket.gethostname()) if said is None else said


def is_ours(path: Path) -> bool:
    """Tells whether the file bears our marker (it may have been edited since)."""
    try:
        return not path.is_symlink() and _read(path).startswith(MARKER)
    except OSError:
        return False


def replace(path: Path, content: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
    """Writes the file: atomically, or in place where it is a mount point. Raises LocalError(DNS_SETUP_FAILED)."""
    try:
        temporary = _write_beside(path, content, mode, uid, gid)
    except OSError as exc:
        if exc.errno not in (errno.EROFS, errno.EACCES):
            raise _error(path, exc) from exc
        _write_in_place(path, content)  # the directory is read-only, the file may be a mount of its own
        return
    try:
        temporary.replace(path)
        _sync_directory(path.parent)
    except OSError as exc:
        temporary.unlink(missing_ok=True)
        if exc.errno not in (errno.EBUSY, errno.EXDEV):
            raise _error(path, exc) from exc
        _write_in_place(path, content)


def undo(data: Mapping[str, object]) -> None:
    """Gives the file back if it is still ours (journal kind ``resolv_conf``). Raises LocalError."""
    path = Path(str(data["path"]))
    with contextlib.suppress(OSError):
        _beside(path).unlink()  # of one who was killed before the rename
    current = read_through(path)
    if not is_ours(path):
        if _is_half_given_back(path, current, data):
            _give_back(path, data)
        return
    if str(data["ours"]) in (hashlib.sha256(each).hexdigest() for each in (current, current.rstrip(b"\n") + b"\n")):
        _give_back(path, data)
    elif "content" in data:
        original = base64.b64decode(str(data["content"]))
        replace(path, _merged(current, original), mode=_number(data, "mode", 0o644))
    else:
        _give_back(path, data)


def _is_half_given_back(path: Path, current: bytes, data: Mapping[str, object]) -> bool:
    """Tells whether one who wrote in place was killed between the write and the cut; see ``_write_in_place``."""
    if "content" not in data or path.is_symlink():
        return False
    original = base64.b64decode(str(data["content"]))
    return current != original and current.rstrip(b"\n") == original.rstrip(b"\n")


def _give_back(path: Path, data: Mapping[str, object]) -> None:
    if "symlink" in data:
        _replace_by_symlink(path, str(data["symlink"]))
    elif "content" in data:
        content = base64.b64decode(str(data["content"]))
        mode, uid, gid = _number(data, "mode", 0o644), _number(data, "uid", 0), _number(data, "gid", 0)
        replace(path, content, mode=mode, uid=uid, gid=gid)
    else:
        try:
            path.unlink(missing_ok=True)
        except OSError as exc:
            raise _error(path, exc) from exc


def _merged(current: bytes, original: bytes) -> bytes:
    """Somebody edited our version: keeps the edits, takes our marker and nameservers out, puts the original's in."""
    kept = [line for line in current.splitlines(keepends=True) if line != MARKER and not _is_nameserver(line)]
    servers = [line for line in original.splitlines(keepends=True) if _is_nameserver(line)]
    return b"".join(kept) + b"".join(line if line.endswith(b"\n") else line + b"\n" for line in servers)


def _replace_by_symlink(path: Path, target: str) -> None:
    temporary = _beside(path)
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target)
        temporary.replace(path)
        _sync_directory(path.parent)
    except OSError as exc:
        raise _error(path, exc) from exc


def _write_beside(path: Path, content: bytes, mode: int, uid: int, gid: int) -> Path:
    temporary = _beside(path)
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            with contextlib.suppress(PermissionError):
                os.fchown(file.fileno(), uid, gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _beside(path: Path) -> Path:
    """Always one name, so that what a killed process has left is found, and does not become more."""
    return path.with_name(f".{path.name}.ostiary")


def _write_in_place(path: Path, content: bytes) -> None:
    """Overwrites the whole old file at once, with empty lines at the end, and then cuts those off.

    Who is killed in between leaves a file that means what it should, and that ``undo`` knows.
    """
    try:
        with path.open("r+b") as file:
            file.write(content + b"\n" * (os.fstat(file.fileno()).st_size - len(content)))
            file.flush()
            file.truncate(len(content))
            os.fsync(file.fileno())
    except OSError as exc:
        raise _error(path, exc) from exc


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LIMIT)


def _is_nameserver(line: bytes) -> bool:
    return line.split(maxsplit=1)[:1] == [b"nameserver"]


def _number(data: Mapping[str, object], key: str, default: int) -> int:
    value = data.get(key, default)
    return value if isinstance(value, int) else default


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _error(path: Path, exc: OSError) -> LocalError:
    return LocalError(Reason.DNS_SETUP_FAILED, f"{path}: {exc.strerror or exc}")
