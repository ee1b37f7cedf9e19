"""Asks the client daemon over its control socket, without asyncio: `ostiary status` must feel instant.

The lines are those of ``runtime.status_socket``, which the daemon serves. Everything has a deadline; nothing that the daemon
says is trusted to be well formed.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from protocol.errors import LocalError, RefusedError, RemoteProtocolError
from protocol.reasons import Reason, reason_from_code
from runtime.console import AdviceError

SOCKET_NAME: Final = "ostiary.sock"
RUNTIME_DIR: Final = Path("/run/ostiary")
CALL_DEADLINE_S: Final = 15.0
REPLY_MAX_BYTES: Final = 8 * 1024 * 1024

_OF_THIS_USER: Final = {
    Reason.NEEDS_ROOT: "Run the same command with sudo.",
    Reason.PERMISSION_DENIED: "Use sudo, or let whoever is signed in do it.",
}
"""The daemon runs, and may: what helps is about who asks."""

Event = dict[str, Any]


def socket_path(env: Mapping[str, str]) -> Path:
    """Returns where the daemon listens.

    ``OSTIARY_SOCKET`` names the socket, ``OSTIARY_RUNTIME_DIR`` its directory. Otherwise it is the system's daemon, or the
    one that this user runs in proxy mode.
    """
    if env.get("OSTIARY_SOCKET"):
        return Path(env["OSTIARY_SOCKET"])
    if env.get("OSTIARY_RUNTIME_DIR"):
        return Path(env["OSTIARY_RUNTIME_DIR"]) / SOCKET_NAME
    system = RUNTIME_DIR / SOCKET_NAME
    own = Path(env["XDG_RUNTIME_DIR"]) / "ostiary" / SOCKET_NAME if env.get("XDG_RUNTIME_DIR") else system
    # Path.exists would raise for a directory that this user may not enter; then the system's daemon is there.
    return own if not os.path.exists(system) and os.path.exists(own) else system  # noqa: PTH110


def call(
    verb: str,
    args: Mapping[str, Any] | None = None,
    *,
    deadline_s: float | None = CALL_DEADLINE_S,
    on_event: Callable[[Event], None] | None = None,
    path: Path | None = None,
) -> dict[str, Any]:
    """Asks the daemon and returns its result.

    Args:
        verb: what to do.
        args: JSON values.
        deadline_s: for everything; None for verbs that go on until the user stops them.
        on_event: is given each event.
        path: the socket; by default where ``socket_path`` finds it.

    Raises:
        LocalError: DAEMON_NOT_RUNNING; PERMISSION_DENIED and NEEDS_ROOT, of this user.
        RefusedError: what the daemon answered; TIMEOUT.
        RemoteProtocolError: the daemon's line is malformed.
    """
    where = path or socket_path(os.environ)
    until = None if deadline_s is None else time.monotonic() + deadline_s
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(deadline_s)
            sock.connect(str(where))
            sock.sendall(json.dumps({"verb": verb, "args": dict(args or {})}).encode() + b"\n")
            lines = _Lines(sock, until)
            while True:
                done, value = _read_line_untrusted(lines.next())
                if done:
                    return value
                if on_event is not None:
                    on_event(value)
    except TimeoutError as exc:
        raise RefusedError(Reason.TIMEOUT, f"the daemon did not finish within {deadline_s:g} s") from exc
    except PermissionError as exc:
        raise AdviceError(Reason.PERMISSION_DENIED, str(where), next_step=_way_in(where)) from exc
    except (FileNotFoundError, ConnectionError, EOFError) as exc:
        raise LocalError(Reason.DAEMON_NOT_RUNNING, str(where)) from exc
    except OSError as exc:
        raise LocalError(Reason.UNAVAILABLE, f"{where}: {exc.strerror or exc}") from exc


def _way_in(where: Path) -> str:
    """What helps this user, whom the socket's folder keeps out; the folder's group is who may."""
    import grp
    import pwd

    try:
        group, user = grp.getgrgid(where.parent.stat().st_gid), pwd.getpwuid(os.getuid())
    except (OSError, KeyError):
        return Reason.PERMISSION_DENIED.next_step
    if group.gr_gid == 0:
        return "Run the same command with sudo."
    if user.pw_name in group.gr_mem:
        return f"You are in the group {group.gr_name} since this session began: sign out of this computer and in again."
    joining = f"`sudo usermod -aG {group.gr_name} {user.pw_name}`"
    return f"Use sudo, or join the group {group.gr_name} ({joining}) and sign out of this computer and in again."


class _Lines:
    """Reads whole lines from a blocking socket until a point in time."""

    def __init__(self, sock: socket.socket, until: float | None) -> None:
        self._sock = sock
        self._until = until
        self._buffer = bytearray()

    def next(self) -> bytes:
        """Returns the next line. Raises TimeoutError, EOFError, RemoteProtocolError."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > REPLY_MAX_BYTES:
                raise RemoteProtocolError("the daemon's line is too long")
            if self._until is not None:
                left = self._until - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                self._sock.settimeout(left)
            data = self._sock.recv(256 * 1024)
            if not data:
                raise EOFError
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line


def _read_line_untrusted(line: bytes) -> tuple[bool, dict[str, Any]]:
    """Returns (True, result) or (False, event). Raises RefusedError, RemoteProtocolError."""
    try:
        body = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise RemoteProtocolError("malformed line from the daemon") from exc
    match body:
        case {"event": dict(event)}:
            return False, event
        case {"ok": True, "result": dict(result)}:
            return True, result
        case {"ok": False, "error": {"reason": str(code), "detail": str(detail)}}:
            reason = reason_from_code(code)
            if reason in _OF_THIS_USER:
                raise AdviceError(reason, detail, next_step=_OF_THIS_USER[reason])
            raise RefusedError(reason, detail)
    raise RemoteProtocolError("malformed line from the daemon")
