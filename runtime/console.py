"""What every command prints alike: exit codes, one-line errors with a next step, JSON, plain tables, versions, health.

It loads nothing heavy: the commands that people and scripts run all day get by with it (``runtime.command_line`` declares
options and loads typer).
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TextIO

from protocol.errors import LocalError, OstiaryError
from protocol.reasons import Reason
from protocol.version import PROTOCOL, SOFTWARE

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
CHANGES_PENDING: Final = 9
"""A dry run found something to change."""
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
    Reason.PROXY_UNREACHABLE: NOT_READY,
    Reason.PROXY_REFUSED: NOT_READY,
    Reason.PROXY_LOGIN_REQUIRED: NOT_READY,
    Reason.CAPTIVE_NETWORK: NOT_READY,
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


class AdviceError(LocalError):
    """An error of which the command knows more than its reason: what was being done, and what helps.

    ``next_step`` is the command to type next, or a sentence; ``sentence`` replaces the reason's own.
    """

    def __init__(self, reason: Reason, detail: str, *, next_step: str, sentence: str | None = None) -> None:
        super().__init__(reason, detail)
        self.next_step = next_step
        self.sentence = sentence


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
    body = {
        "reason": error.reason.code,
        "sentence": error.reason.sentence,
        "detail": error.detail,
        "next": error.reason.next_step,
    }
    if isinstance(error, AdviceError):
        body |= {"sentence": error.sentence or body["sentence"], "next": error.next_step}
    return body


def print_error(error: OstiaryError, *, as_json: bool = False) -> None:
    """Says what went wrong and what to do: two lines on stderr, or one JSON object on stdout."""
    body = error_object(error)
    if as_json:
        print_json({"ok": False, "error": body})
    else:
        complain(_with_detail(body), body["next"])


def complain(sentence: str, next_step: str = "") -> None:
    """Prints the two lines in which every error is told on stderr."""
    _write_line(sys.stderr, f"error: {printable(sentence)}")
    if next_step:
        _write_line(sys.stderr, f"next: {printable(next_step)}")


def print_json(body: Mapping[str, Any]) -> None:
    """Prints ``{"schema": 1, ...}`` on stdout."""
    _write_line(sys.stdout, json.dumps({"schema": SCHEMA, **body}, default=str, ensure_ascii=True))


def print_lines(*lines: str) -> None:
    """Prints plain lines on stdout."""
    for line in lines:
        _write_line(sys.stdout, printable(line))


def say(*lines: str) -> None:
    """Prints what is not the result (questions, hints, progress) on stderr."""
    for line in lines:
        _write_line(sys.stderr, printable(line))


def warn(text: str) -> None:
    """Prints one warning line on stderr."""
    _write_line(sys.stderr, f"warning: {printable(text)}")


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]], stream: TextIO | None = None) -> None:
    """Prints aligned columns; the same on a terminal and in a pipe, so that scripts and people see one thing."""
    cells = [[printable("" if cell is None else str(cell)) for cell in row] for row in rows]
    widths = [max([len(header), *(len(row[index]) for row in cells)]) for index, header in enumerate(headers)]
    for row in [list(headers), *cells]:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        _write_line(stream or sys.stdout, line.rstrip())


def print_version(command: str, *, as_json: bool = False, **more: object) -> None:
    """Prints the version of the software and of the protocol; ``more`` are further members of the JSON object."""
    if as_json:
        print_json({"version": SOFTWARE, "protocol": PROTOCOL, **more})
    else:
        print_lines(f"{command} {SOFTWARE} (protocol {PROTOCOL})")


def print_settings(
    rows: Sequence[tuple[str, str, str]], *, as_json: bool, standing: str = "", facts: Mapping[str, Any] | None = None
) -> None:
    """Prints what ``runtime.settings.describe`` says, and how the component stands.

    Args:
        rows: key, value, origin.
        as_json: print JSON.
        standing: a line for people below the table, such as whether it is enrolled.
        facts: the same as members of the JSON object.
    """
    if as_json:
        shown = [{"key": key, "value": value, "origin": origin} for key, value, origin in rows]
        print_json({"ok": True, "settings": shown, **(facts or {})})
        return
    print_table(("SETTING", "VALUE", "FROM"), rows)
    if standing:
        print_lines(standing)


def print_health(*, why_not: Mapping[str, str] | None, ready: bool, as_json: bool) -> int:
    """Prints how a process that answers is, and returns the exit code.

    Args:
        why_not: what keeps it from its work, as ``error_object`` has it; None when it is ready.
        ready: whether being ready is asked for, or only being alive.
        as_json: print JSON.
    """
    good = why_not is None or not ready
    if as_json:
        print_json({"ok": good, "live": True, "ready": why_not is None, "why": why_not})
    elif good or why_not is None:
        print_lines("ready" if ready else "live")
    else:
        print_lines(f"not ready: {_with_detail(why_not)}", *([f"next: {why_not['next']}"] if why_not["next"] else []))
    return OK if good else NOT_READY


@contextmanager
def exit_on_error(*, as_json: bool = False) -> Iterator[None]:
    """Turns errors raised on purpose into a message and an exit code; a Ctrl-C into 130."""
    try:
        yield
    except OstiaryError as error:
        print_error(error, as_json=as_json)
        raise SystemExit(exit_code(error.reason) or FAILED) from error
    except KeyboardInterrupt as interrupt:
        raise SystemExit(INTERRUPTED) from interrupt


def _with_detail(body: Mapping[str, str]) -> str:
    return f"{body['sentence']} ({body['detail']})" if body["detail"] else body["sentence"]


def _write_line(stream: TextIO, line: str) -> None:
    try:
        stream.write(line + "\n")
        stream.flush()
    except BrokenPipeError:
        # The reader (head, less) has what it wanted.
        raise SystemExit(OK) from None
