"""Secrets that a person hands to a command: asked for, from a file, or from standard input, never from the command line.

Everybody on the host can see a command line; that is why the one exception, an enrolment token, is warned about.
"""

import getpass
import sys
from pathlib import Path
from typing import Final

from protocol.errors import LocalError
from protocol.limits import ENROLMENT_TOKEN_MAX_CHARS
from protocol.reasons import Reason
from runtime.files import os_error

STDIN: Final = "-"
PASSWORD_MAX_CHARS: Final = 4096
_TOKEN_MAX_CHARS: Final = ENROLMENT_TOKEN_MAX_CHARS + 64
"""A token and the white space that came with it when it was pasted."""


def read_password(source: str) -> str:
    """Returns the password in the file ``source`` (`-` is standard input); one trailing line break is dropped."""
    password = _read(source, PASSWORD_MAX_CHARS).removesuffix("\n").removesuffix("\r")
    if not password:
        raise LocalError(Reason.INVALID_INPUT, "the password is empty")
    return password


def ask_password(prompt: str, *, twice: bool = False) -> str:
    """Returns a password that the person at the terminal types without echo. Raises LocalError(INVALID_INPUT).

    Args:
        prompt: what is asked for.
        twice: ask again and compare, as befits a password that is being set.
    """
    if not sys.stdin.isatty():
        raise LocalError(
            Reason.INVALID_INPUT, "nobody can be asked here: use --password-file FILE, or - for standard input"
        )
    password = getpass.getpass(f"{prompt}: ", stream=sys.stderr)
    if twice and getpass.getpass(f"{prompt} again: ", stream=sys.stderr) != password:
        raise LocalError(Reason.INVALID_INPUT, "the two are not the same")
    if not password:
        raise LocalError(Reason.INVALID_INPUT, "the password is empty")
    return password


def read_token(source: str) -> str:
    """Returns the enrolment token in the file ``source``, without the white space around it.

    `-` is standard input; who pastes into a terminal ends with Enter, as with any other answer.
    """
    token = (_paste() if source == STDIN and sys.stdin.isatty() else _read(source, _TOKEN_MAX_CHARS)).strip()
    if not token:
        raise LocalError(Reason.INVALID_INPUT, "the enrolment token is empty")
    return token


def _paste() -> str:
    sys.stderr.write("Paste the enrolment token and press Enter: ")
    sys.stderr.flush()
    return sys.stdin.readline(_TOKEN_MAX_CHARS)


def _read(source: str, limit: int) -> str:
    """Raises LocalError: INVALID_INPUT, and what the file system says."""
    try:
        if source == STDIN:
            text = sys.stdin.read(limit + 1)
        else:
            with Path(source).open(encoding="utf-8", newline="") as file:
                text = file.read(limit + 1)
    except FileNotFoundError as exc:
        raise LocalError(Reason.INVALID_INPUT, f"there is no file {source}") from exc
    except OSError as exc:
        raise os_error(exc, Path(source)) from exc
    except UnicodeDecodeError as exc:
        raise LocalError(Reason.INVALID_INPUT, f"{_named(source)} is not UTF-8 text") from exc
    if len(text) > limit:
        raise LocalError(Reason.INVALID_INPUT, f"{_named(source)} is longer than {limit} characters")
    return text


def _named(source: str) -> str:
    return "standard input" if source == STDIN else source
