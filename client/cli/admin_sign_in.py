"""`ostiary admin login|logout|whoami`."""

import contextlib
import sys
from typing import Annotated

import typer

from client.cli.admin_again import by_password
from client.cli.admin_common import (
    JsonOption,
    OutputOption,
    PasswordOption,
    administrator,
    chosen,
    exit_on_problem,
)
from client.cli.admin_output import Output, show_one
from client.cli.admin_session import Api, SignedIn, forget, go_by_proxy, load_stored, save
from client.cli.sign_in import split_url
from protocol.errors import LocalError, OstiaryError
from protocol.ids import SpkiPin
from protocol.reasons import Reason
from runtime.console import say, warn


def login(
    url: Annotated[
        str | None, typer.Argument(help="The controller; may end in #pin=sha256/….", show_default=False)
    ] = None,
    ca_pin: Annotated[
        str | None, typer.Option("--ca-pin", metavar="PIN", help="SHA-256 pin of the controller's own CA.")
    ] = None,
    email: Annotated[str | None, typer.Option("--email", help="Your e-mail address.")] = None,
    password_file: PasswordOption = None,
    code_file: Annotated[
        str | None,
        typer.Option("--code-file", metavar="FILE", help="File with the one-time code, if one is asked for."),
    ] = None,
    browser: Annotated[
        bool,
        typer.Option(
            "--browser", help="Sign in on the controller's page: with an identity provider, or any other way."
        ),
    ] = False,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Sign in for administration; kept for at most 12 hours in ~/.config/ostiary/admin.json (0600).

    Without a URL: again where and as whom you were signed in last. That also answers "Your sign-in is too old for this change".

    \b
    Examples:
      ostiary admin login https://ostiary.corp.example --browser
      ostiary admin login https://ostiary.corp.example --email ada@corp.example
      ostiary admin login https://ostiary.corp.example --ca-pin sha256/… --email ada@corp.example --password-file -
    """
    output = chosen(output, as_json=as_json)
    with exit_on_problem(output):
        base, ca = _controller(url, ca_pin)
        given = any(item is not None for item in (email, password_file, code_file))
        if browser and given:
            raise LocalError(
                Reason.INVALID_INPUT, "--browser asks on the page: leave out e-mail address, password and code"
            )
        if browser or (url is None and not given and _was_browser()):
            _by_browser(base, ca, output)
            return
        who = email or _known_email() or _ask("E-mail address")
        with Api(base, ca) as api:
            made = by_password(api, who, password_file=password_file, code_file=code_file)
        path = save(SignedIn(base, ca, who, str(made.pop("token"))))
        body = {"url": base, "email": who, "user": made["user"], "role": made["role"], "expires_at": made["expires_at"]}
        sentence = f"signed in at {base} as {who} ({made['role']}) until {made['expires_at']}"
        show_one(body, output, sentence=sentence)
        if output is Output.TABLE:
            say(f"kept in {path}")


def _by_browser(base: str, ca: str | None, output: Output) -> None:
    from client.cli.admin_browser import sign_in

    with Api(base, ca) as api:
        token = sign_in(api)
    with Api(base, ca, token) as api:
        me = api.get("me")
    who, expires = str(me.get("email") or ""), (me.get("session") or {}).get("expires_at")
    path = save(SignedIn(base, ca, who, token, browser=True))
    body = {"url": base, "email": who or None, "user": me.get("id"), "role": me.get("role"), "expires_at": expires}
    sentence = f"signed in at {base} as {who or me.get('name')} ({me.get('role')}) until {expires}"
    show_one(body, output, sentence=sentence)
    if output is Output.TABLE:
        say(f"kept in {path}")


def _was_browser() -> bool:
    with contextlib.suppress(OstiaryError):
        return load_stored().browser
    return False


def logout(as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """End this sign-in, at the controller and here.

    \b
    Example:
      ostiary admin logout
    """
    output = chosen(output, as_json=as_json)
    with exit_on_problem(output):
        signed_in = load_stored()
        ended = True
        try:
            with Api(signed_in.url, signed_in.ca, signed_in.token) as api:
                api.delete("sessions/current")
        except OstiaryError as error:
            # What matters is that the token is gone from here; the session then ends by itself.
            ended = error.reason in (Reason.SIGN_IN_REQUIRED, Reason.NOT_FOUND)
            if not ended:
                warn(f"the controller was not told: {error}")
        forget()
        show_one({"signed_out": True, "ended_at_controller": ended}, output, sentence="signed out")


def whoami(as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Say who is signed in where, with which role.

    \b
    Example:
      ostiary admin whoami
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        me = api.get("me")
        session, token = me.get("session") or {}, me.get("api_token")
        how = f"by API token {token}" if token else f"until {session.get('expires_at', '-')}"
        sentence = f"{me.get('email')} ({me.get('role')}) at {api.url} {how}"
        show_one({"url": api.url, **me}, output, sentence=sentence)


def declare(app: typer.Typer) -> None:
    """Adds the three commands."""
    app.command("login")(login)
    app.command("logout")(logout)
    app.command("whoami")(whoami)


def _controller(url: str | None, ca_pin: str | None) -> tuple[str, str | None]:
    """Returns the controller's URL and its CA: as given, or as at the last sign-in."""
    if url is None:
        if ca_pin is not None:
            raise LocalError(Reason.INVALID_INPUT, "--ca-pin goes with the controller's URL")
        with contextlib.suppress(OstiaryError):
            known = load_stored()
            return known.url, known.ca
        raise LocalError(Reason.INVALID_INPUT, "name the controller: `ostiary admin login https://…`")
    base, pin = split_url(url, ca_pin)
    return base, None if pin is None else _fetch_ca(base, pin)


def _fetch_ca(url: str, pin: str) -> str:
    import asyncio

    from runtime.trust import fetch_ca

    go_by_proxy()
    return asyncio.run(fetch_ca(url, SpkiPin(pin))).decode()


def _known_email() -> str | None:
    with contextlib.suppress(OstiaryError):
        return load_stored().email
    return None


def _ask(question: str) -> str:
    if not sys.stdin.isatty():
        raise LocalError(Reason.INVALID_INPUT, "nobody can be asked here: use --email")
    sys.stderr.write(f"{question}: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip()
