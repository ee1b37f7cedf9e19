"""`ostiary up` and `ostiary login`: starts the client, shows where to sign in, waits until it is online."""

import io
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from client.cli import render
from client.cli.control_socket import Event, call
from client.cli.times import parse_duration
from client.cli.user import VERIFY_S, code_of, has_desktop
from protocol.errors import LocalError, OstiaryError
from protocol.reasons import Reason
from runtime.console import OK, AdviceError, exit_on_error, print_json, print_lines, say

XDG_OPEN: Final = Path("/usr/bin/xdg-open")
_PIN: Final = re.compile(r"sha256/[A-Za-z0-9+/]{43}=\Z")
Result = dict[str, Any]
_PAGE: Final = re.compile(r"https?://[!-~]{1,2048}\Z")


def up(
    url: str | None,
    *,
    ca_pin: str | None,
    token_file: str | None,
    timeout: str,
    browser: bool,
    as_json: bool,
    qr: bool = False,
    verb: str = "up",
    more: dict[str, Any] | None = None,
) -> int:
    """Asks the daemon to come up, signing in when it must, and returns the exit code."""
    shown: set[str] = set()
    with exit_on_error(as_json=as_json):
        deadline_s = _deadline(timeout)
        args: dict[str, Any] = dict(more or {})
        if url is not None:
            base, pin = split_url(url, ca_pin)
            args["url"] = base
            if pin is not None:
                args["ca_pin"] = pin
        elif ca_pin is not None:
            raise LocalError(
                Reason.INVALID_INPUT, "--ca-pin goes with the controller's URL: `ostiary up URL --ca-pin …`"
            )
        if token_file is not None:
            from runtime.secret_input import read_token

            args["token"] = read_token(token_file)
        args |= {"verify_s": VERIFY_S, **_owner()}
        began = time.monotonic()
        result = _call_until_online(verb, args, deadline_s, shown, _Showing(browser, qr))
        took = time.monotonic() - began
    state = str(result.get("state", render.ONLINE))
    code = code_of(result)
    if as_json:
        print_json(result)
    elif code != OK:
        print_lines(*render.status(result, time.time()))
    else:
        who = f" as {result['user']}" if result.get("user") else ""
        answers = render.who_answers(result)
        print_lines(f"{state}{who} after {took:.1f} s{answers}; `ostiary resources` lists what you have")
    return code


def _call_until_online(verb: str, args: dict[str, Any], deadline_s: float, shown: set[str], how: "_Showing") -> Result:
    try:
        return call(verb, args, deadline_s=deadline_s, on_event=lambda event: _on_event(event, shown, how))
    except OstiaryError as error:
        trusting = "url" in args or "token" in args
        match error.reason:
            case Reason.NEEDS_ROOT | Reason.PERMISSION_DENIED if trusting:
                detail = "choosing the controller, or who this host is, needs root"
                raise AdviceError(error.reason, detail, next_step="Run the same command with sudo.") from error
            case Reason.CONFIG_INVALID if not trusting:
                step = "ostiary up https://CONTROLLER"
                raise AdviceError(error.reason, error.detail, next_step=step) from error
            case Reason.ALREADY_EXISTS if "token" in args:
                step = (
                    "Revoke the device that is named (`ostiary admin device revoke`), then run the same command again."
                )
                raise AdviceError(error.reason, error.detail, next_step=step) from error
            case Reason.TIMEOUT:
                detail = f"not online after {deadline_s:g} s"
                step = f"Approve the sign-in sooner: `ostiary {verb}` shows a new page." if shown else "ostiary doctor"
                raise AdviceError(error.reason, detail, next_step=step) from error
        raise


def split_url(url: str, ca_pin: str | None) -> tuple[str, str | None]:
    """Splits ``https://host#pin=sha256/…``; an explicit pin must not contradict it. Raises LocalError(INVALID_INPUT)."""
    base, _, fragment = url.partition("#")
    pin = ca_pin
    if fragment:
        name, _, value = fragment.partition("=")
        if name != "pin":
            raise LocalError(Reason.INVALID_INPUT, f"{url!r}: after # only pin=sha256/… is known")
        value = unquote(value)
        if ca_pin is not None and ca_pin != value:
            raise LocalError(Reason.INVALID_INPUT, "--ca-pin and the pin in the URL are not the same")
        pin = value
    if pin is not None and _PIN.match(pin) is None:
        raise LocalError(
            Reason.INVALID_INPUT, "the CA pin is not of the form sha256/ and 44 characters; copy it completely"
        )
    from runtime.http import check_url

    if "://" not in base:
        base = f"https://{base}"
    try:
        check_url(base)
    except LocalError as error:
        step = "Name the controller as https://HOST, with its port if that is not 443."
        sentence = "This is not the address of a controller."
        raise AdviceError(Reason.INVALID_INPUT, error.detail, sentence=sentence, next_step=step) from error
    return base.rstrip("/"), pin


def _owner() -> dict[str, int]:
    """With sudo the sign-in shall belong to the user who typed it, not to everybody in the group."""
    uid = os.environ.get("SUDO_UID", "")
    return {"owner_uid": int(uid)} if os.geteuid() == 0 and uid.isascii() and uid.isdigit() else {}


def _deadline(timeout: str) -> float:
    try:
        seconds = parse_duration(timeout)
    except ValueError as exc:
        raise LocalError(Reason.INVALID_INPUT, f"--timeout: {exc}") from exc
    if not 0 < seconds <= 24 * 3600:
        raise LocalError(Reason.INVALID_INPUT, "--timeout lies between 1s and 24h")
    return seconds


@dataclass(frozen=True, slots=True)
class _Showing:
    """How the sign-in page is shown besides its address."""

    browser: bool
    qr: bool


def _on_event(event: Event, shown: set[str], how: _Showing) -> None:
    if event.get("kind") != "sign_in":
        text = event.get("sentence") or event.get("state")
        if isinstance(text, str) and text not in shown:
            shown.add(text)
            say(text)
        return
    page, code = str(event.get("verification_uri", "")), str(event.get("user_code", ""))
    complete = str(event.get("verification_uri_complete") or page)
    if code in shown:
        return
    shown.add(code)
    say("To sign in, open this page and approve:", "", f"    {complete}", "", f"Check that it shows the code {code}.")
    if how.qr and _PAGE.match(complete):
        _draw(complete)
    if how.browser:
        open_page(complete)


def _draw(page: str) -> None:
    """Draws the page's address as a QR code; to stderr, where everything stands that is not the result."""
    import segno

    drawn = io.StringIO()
    segno.make(page, micro=False).terminal(drawn, compact=True, border=2)
    sys.stderr.write(drawn.getvalue())
    sys.stderr.flush()


def open_page(page: str) -> None:
    """Opens the page in the user's browser if there is a desktop; what others said goes to it only when it is a web address."""
    if not has_desktop() or _PAGE.match(page) is None or not XDG_OPEN.exists():
        return
    import subprocess

    try:
        subprocess.Popen(
            [str(XDG_OPEN), page],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=dict(os.environ),
        )
    except OSError:
        return
