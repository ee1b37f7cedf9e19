"""Names from ``/etc/hosts``: small sites keep their servers there, and the host's own programs know them.

The file is read again when it changes. What it says passes the egress rules like any other answer.
"""

import ipaddress
from pathlib import Path
from typing import Final

from protocol.acl.model import IPAddress
from protocol.acl.names import normalise_name
from protocol.errors import OstiaryError
from runtime.files import read_limited

HOSTS_FILE: Final = Path("/etc/hosts")
_SIZE_MAX: Final = 1024 * 1024


class HostsFile:
    """Looks names up; ``refresh`` now and then."""

    def __init__(self, path: Path = HOSTS_FILE) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._names: dict[str, tuple[IPAddress, ...]] = {}

    def refresh(self) -> bool:
        """Reads the file if it changed; tells whether it did."""
        stamp = stamp_of(self._path)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        self._names = _parse(self._path) if stamp is not None else {}
        return True

    def lookup(self, name: str) -> tuple[IPAddress, ...]:
        """Returns the addresses of a canonical name; empty when the file does not have it."""
        return self._names.get(name, ())


def stamp_of(path: Path) -> tuple[int, int] | None:
    """Returns what changes when a file does; None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def _parse(path: Path) -> dict[str, tuple[IPAddress, ...]]:
    try:
        text = read_limited(path, _SIZE_MAX).decode("utf-8", errors="replace")
    except OstiaryError:
        return {}
    names: dict[str, tuple[IPAddress, ...]] = {}
    for line in text.splitlines():
        address, *aliases = line.partition("#")[0].split() or [""]
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            continue
        for alias in aliases:
            try:
                name = normalise_name(alias)
            except OstiaryError:
                continue
            if parsed not in names.get(name, ()):
                names[name] = (*names.get(name, ()), parsed)
    return names
