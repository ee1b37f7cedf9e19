"""What every command line shares: exit codes, one-line errors with a next step, JSON, plain tables."""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TextIO

from protocol.errors import OstiaryError
from protocol.reasons import Reason

SCHEMA: Final = 1

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_READY: Final = 3
SIGN_IN: Final = 4
NO_DAEMON: Final = 5
PERMISSION: Final = 6
TIMED_OUT: Final = 7
DENIED: Final = 8
INTERRUPTED: Final = 130

_EXIT_CODES: Final = {
    Reason.NORMAL: OK,
    Reason.CONFIG_INVALID: USAGE,
    Reason.INVALID_INPUT: USAGE,
    Reason.NOT_ENROLLED: USAGE,
    Reason.NOT_SET_UP: USAGE,
    Reason.UNAVAILABLE: NOT_READY,
    Reason.SHUTTING_DOWN: NOT_READY,
    Reason.RELAY_UNREACHABLE: NOT_READY,
    Reason.CONNECTOR_NOT_ATTACHED: NOT_READY,
    Reason.CONTROLLER_UNREACHABLE: NOT_READY,
    Reason.NO_CONNECTOR: NOT_READY,
    Reason.TUNNEL_LOST: NOT_READY,
    Reason.SIGN_IN_REQUIRED: SIGN_IN,
    Reason.SESSION_ENDED: SIGN_IN,
    Reason.SIGN_IN_EXPIRED: SIGN_IN,
    Reason.DAEMON_NOT_RUNNING: NO_DAEMON,
    Reason.PERMISSION_DENIED: PERMISSION,
    Reason.NEEDS_ROOT: PERMISSION,
    Reason.TIMEOUT: TIMED_OUT,
    Reason.PAIRING_TIMEOUT: TIMED_OUT,
    Reason.CONNECT_TIMEOUT: TIMED_OUT,
    Reason.PEER_SILENT: TIMED_OUT,
    Reason.FORBIDDEN: DENIED,
}
_POLICY: Final = range(20, 40)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def exit_code(reason: Reason) -> int:
    """Returns the exit code that stands for ``reason``."""
    if reason in _EXIT_CODES:
        return _EXIT_CODES[reason]
    return DENIED if reason.number in _POLICY else FAILED


def printable(text: str) -> str:
    """Escapes control characters, so that a name from elsewhere cannot steer the terminal (T-74)."""
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def error_object(error: OstiaryError) -> dict[str, str]:
    """Returns an error as it looks in JSON output."""
    return {
        "reason": error.reason.code,
        "sentence": error.reason.sentence,
        "detail": error.detail,
        "next": error.reason.next_step,
    }


def print_error(
    error: OstiaryError, *, as_json: bool = False, sentence: str | None = None, next_step: str | None = None
) -> None:
    """Says what went wrong and what to do: two lines on stderr, or one JSON object on stdout.

    Args:
        error: what happened.
        as_json: print JSON.
        sentence: a more fitting sentence than the reason's own.
        next_step: a better next step than the reason's own.
    """
    body = error_object(error)
    if sentence is not None:
        body["sentence"] = sentence
    if next_step is not None:
        body["next"] = next_step
    if as_json:
        print_json({"ok": False, "error": body})
        return
    detail = f" ({error.detail})" if error.detail else ""
    _say(sys.stderr, f"error: {printable(body['sentence'] + detail)}")
    if body["next"]:
        _say(sys.stderr, f"next: {printable(body['next'])}")


def print_json(body: Mapping[str, Any]) -> None:
    """Prints ``{"schema": 1, ...}`` on stdout."""
    _say(sys.stdout, json.dumps({"schema": SCHEMA, **body}, default=str, ensure_ascii=True))


def print_lines(*lines: str) -> None:
    """Prints plain lines on stdout."""
    for line in lines:
        _say(sys.stdout, printable(line))


def warn(text: str) -> None:
    """Prints one warning line on stderr."""
    _say(sys.stderr, f"warning: {printable(text)}")


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]], stream: TextIO | None = None) -> None:
    """Prints aligned columns; the same on a terminal and in a pipe, so that scripts and people see one thing."""
    cells = [[printable("" if cell is None else str(cell)) for cell in row] for row in rows]
    widths = [max([len(header), *(len(row[index]) for row in cells)]) for index, header in enumerate(headers)]
    for row in [list(headers), *cells]:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        _say(stream or sys.stdout, line.rstrip())


@contextmanager
def exit_on_error(*, as_json: bool = False) -> Iterator[None]:
    """Turns errors raised on purpose into a message and an exit code; a Ctrl-C into 130."""
    try:
        yield
    except OstiaryError as error:
        print_error(error, as_json=as_json)
        raise SystemExit(exit_code(error.reason)) from error
    except KeyboardInterrupt as interrupt:
        raise SystemExit(INTERRUPTED) from interrupt


def _say(stream: TextIO, line: str) -> None:
    try:
        stream.write(line + "\n")
        stream.flush()
    except BrokenPipeError:
        # The reader (head, less) has what it wanted.
        raise SystemExit(OK) from None
