"""Signing in again in the midst of a command: what a change to one's own credentials asks for (SIGN_IN_NOT_RECENT).

On a terminal the command asks, signs in where and how it was done last, and goes on; anywhere else it fails and names
the command that helps. Only the same person goes on: a command that one has begun is not finished in the name of another.
"""

from dataclasses import replace

from client.cli.admin_common import read_secret
from client.cli.admin_session import Api, Json, SignedIn, save
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.console import say


def by_password(api: Api, email: str, *, password_file: str | None = None, code_file: str | None = None) -> Json:
    """Makes a session by password and, where one is asked for, a one-time code; returns the controller's answer."""
    made = api.post("sessions", {"email": email, "password": read_secret(password_file, f"Password of {email}")})
    if made.get("second_factor"):
        code = read_secret(code_file, "One-time code, or a recovery code")
        made = api.post("sessions/second-factor", {"pending": made["pending"], "code": code})
    return made


def sign_in_again(known: SignedIn) -> str:
    """Signs in as at the last time, keeps it, and returns the bearer token.

    Raises:
        LocalError: FORBIDDEN when somebody else signed in; his session is ended again.
        OstiaryError: what the sign-in meets.
    """
    say("Your sign-in is too old for this change. Sign in again, and the command goes on.")
    with Api(known.url, known.ca, known.token) as api:
        who = api.get("me").get("id")
    with Api(known.url, known.ca) as api:
        if known.browser:
            from client.cli.admin_browser import sign_in

            token = sign_in(api)
        else:
            token = str(by_password(api, known.email)["token"])
    with Api(known.url, known.ca, token) as api:
        if api.get("me").get("id") != who:
            api.delete("sessions/current")
            raise LocalError(Reason.FORBIDDEN, "somebody else signed in; nothing was changed")
    save(replace(known, token=token))
    return token
