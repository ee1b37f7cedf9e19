"""The guard: a process that outlives a killed daemon and takes back what it left on the host, within a second (F-14).

It is a shell that reads from a pipe whose other end only the daemon has. A word means that the daemon has taken everything
back itself. The end of the pipe without a word means that it was killed: then the shell becomes this module's ``main``.
Nothing of it is loaded before, so that waiting costs less than a megabyte. It has a session of its own: what kills the
daemon's process group or terminal does not reach it.

Under systemd the unit's ``ExecStopPost=ostiaryd cleanup`` does the same, and the guard is off.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Final

import structlog

from client.host.cleanup import clean_up_dead, describe
from protocol.errors import LocalError, OstiaryError
from protocol.reasons import Reason
from runtime import logging
from runtime.files import StateDir

_SHELL: Final = "/bin/sh"
_SCRIPT: Final = 'read -r word; [ "$word" = done ] || exec "$@"'
_END_DEADLINE_S: Final = 2.0
_DAEMON_ENDS_WITHIN_S: Final = 2.0
"""A daemon that could not take everything back lets go of its guard a moment before it ends."""

_log = structlog.get_logger("client.host.guard")  # __name__ is __main__ in the guard itself


class Guard:
    """The guard of one daemon, seen from the daemon. ``start`` it before the host is changed; ``keep`` it running."""

    def __init__(self, state_directory: Path, *, log_json: bool | None) -> None:
        shown = "" if log_json is None else str(int(log_json))
        self._command = (sys.executable, "-I", "-m", "client.host.guard", str(state_directory.absolute()), shown)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it. A host on which that is not possible goes without: said in the log, cleaned up at the next start."""
        try:
            self._process = subprocess.Popen(
                [_SHELL, "-c", _SCRIPT, "ostiary-guard", *self._command],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env={"PATH": "/usr/bin:/bin"},
                cwd="/",
                close_fds=True,
                start_new_session=True,
            )
        except OSError as exc:
            _log.warning("guard.absent", error=str(exc))

    def keep(self) -> bool:
        """Starts it again if somebody has ended it; True if so. Call it every few seconds."""
        if self._process is not None and self._process.poll() is None:
            return False
        self._release(b"")
        self.start()
        return self._process is not None

    def stop(self, *, all_undone: bool) -> None:
        """Ends it. When something could not be taken back it tries once more after the daemon has ended."""
        self._release(b"done\n" if all_undone else b"")

    def _release(self, word: bytes) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        pipe: IO[bytes] | None = process.stdin
        assert pipe is not None
        try:
            pipe.write(word)
            pipe.close()
        except OSError:
            return  # it is gone
        if word:
            try:
                process.wait(_END_DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def main(arguments: list[str]) -> int:
    """What the shell becomes. Returns the exit code; a daemon that has started meanwhile cleans up by itself."""
    directory, as_json = Path(arguments[0]), arguments[1]
    logging.configure("guard", "info", bool(int(as_json)) if as_json else None)
    try:
        cleaned = clean_up_dead(StateDir(directory), wait_s=_DAEMON_ENDS_WITHIN_S)
    except LocalError as error:
        return 0 if error.reason is Reason.ALREADY_RUNNING else _failed(error)
    except OstiaryError as error:
        return _failed(error)
    _log.warning("daemon.died", taken_back=[describe(change) for change in cleaned.undone], left=len(cleaned.left))
    return 1 if cleaned.left else 0


def _failed(error: OstiaryError) -> int:
    _log.error("cleanup.failed", reason=error.reason.code, detail=error.detail)
    return 1


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main(sys.argv[1:]))
