"""`ostiary auth`: extends a sign-in while connections are open, or says whether that is due."""

import time
from typing import Any, Final

from client.cli import sign_in
from client.cli.control_socket import call
from client.cli.times import parse_duration, until
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.console import OK, SIGN_IN, exit_on_error, print_json, print_lines

SOON: Final = "1d"
_NOBODY: Final = frozenset({"sign_in_required", "not_configured"})


def auth(*, check: bool, within: str | None, timeout: str, browser: bool, as_json: bool) -> int:
    """Returns the exit code: with ``check`` OK or SIGN_IN, else as `ostiary login`."""
    with exit_on_error(as_json=as_json):
        seconds = None if within is None else _seconds(within)
        if check:
            return _check(seconds if seconds is not None else _seconds(SOON), as_json=as_json)
    return sign_in.up(
        None,
        ca_pin=None,
        token_file=None,
        timeout=timeout,
        browser=browser,
        as_json=as_json,
        verb="auth",
        more={} if seconds is None else {"within_s": seconds},
    )


def _check(within_s: float, *, as_json: bool) -> int:
    status = call("status")
    now = time.time()
    ends = status.get("session_expires")
    answer: dict[str, Any] = {"signed_in": status.get("state") not in _NOBODY, "session_expires": ends}
    if not answer["signed_in"]:
        said, due = "not signed in", True
    elif isinstance(ends, int | float):
        said, due = f"the sign-in ends {until(ends, now)}", ends - now <= within_s
    else:
        said, due = "the sign-in does not end by time", False
    answer["due"] = due
    if as_json:
        print_json(answer)
    else:
        print_lines(said, *(["next: ostiary auth"] if due else []))
    return SIGN_IN if due else OK


def _seconds(text: str) -> float:
    try:
        return float(parse_duration(text))
    except ValueError as exc:
        raise LocalError(Reason.INVALID_INPUT, f"--within: {exc}") from exc
