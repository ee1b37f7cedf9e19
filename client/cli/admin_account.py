"""`ostiary admin account|session`: one's own second factor, and sign-ins of people."""

from typing import Annotated

import typer

from client.cli.admin_common import (
    USER,
    JsonOption,
    OutputOption,
    YesOption,
    administrator,
    by_id,
    chosen,
    confirm,
    names_of,
    read_secret,
    resolve,
)
from client.cli.admin_output import Columns, Output, age, expiry, show_list, show_one
from client.cli.admin_session import Api, Json, escape
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.command_line import command_group
from runtime.console import print_json, print_lines, say

account = command_group("Your own account: the second factor.")
totp = command_group("One-time codes of an authenticator app, and recovery codes.")
account.add_typer(totp, name="totp", help="One-time codes of an authenticator app, and recovery codes.")
session = command_group("Sign-ins of people to API, console and sign-in page, and the rules about them.")

CodeOption = Annotated[
    str | None, typer.Option("--code-file", metavar="FILE", help="File with the code; - reads standard input.")
]


@totp.command("status")
def totp_status(as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Say whether you have a second factor and how many recovery codes are left.

    \b
    Example:
      ostiary admin account totp status
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        show_one(api.get("me/second-factor"), output)


@totp.command("enable")
def totp_enable(code_file: CodeOption = None, as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Set up one-time codes: put the key into an authenticator app, then give a code. Needs a sign-in of the last 15 min.

    Your other sign-ins end. Keep the recovery codes: each stands in for the app once.

    \b
    Example:
      ostiary admin account totp enable
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        begun = api.post("me/second-factor")
        say("Put this key into your authenticator app, this once:")
        say(f"  {begun['secret']}")
        say(f"  {begun['uri']}")
        code = read_secret(code_file, "One-time code")
        _show_codes(api.post("me/second-factor/confirm", {"code": code}), output, "a second factor is in force")


@totp.command("recovery-codes")
def totp_recovery_codes(
    code_file: CodeOption = None, as_json: JsonOption = False, output: OutputOption = Output.TABLE
) -> None:
    """Make new recovery codes; the earlier ones are void.

    \b
    Example:
      ostiary admin account totp recovery-codes
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        body = {"code": read_secret(code_file, "One-time code")}
        _show_codes(api.post("me/second-factor/recovery-codes", body), output, "the earlier recovery codes are void")


@totp.command("disable")
def totp_disable(
    code_file: CodeOption = None, as_json: JsonOption = False, output: OutputOption = Output.TABLE
) -> None:
    """Remove your second factor; takes a last code.

    \b
    Example:
      ostiary admin account totp disable
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        api.post("me/second-factor/remove", {"code": read_secret(code_file, "One-time code")})
        show_one({"second_factor": None}, output, sentence="the second factor is removed")


@totp.command("reset")
def totp_reset(
    email: str, yes: YesOption = False, as_json: JsonOption = False, output: OutputOption = Output.TABLE
) -> None:
    """Remove the second factor of somebody who lost it. All his sign-ins end.

    \b
    Example:
      ostiary admin account totp reset grace@corp.example
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        user = resolve(api, USER, email)
        confirm(f"Remove the second factor of {email}? Be sure that it is he who asks.", yes=yes)
        api.delete(f"users/{escape(user)}/second-factor")
        show_one({"user": user, "second_factor": None}, output, sentence=f"the second factor of {email} is removed")


@session.command("list")
def session_list(
    user: Annotated[str | None, typer.Option("--user", metavar="EMAIL", help="Only those of this user.")] = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """List sign-ins: whose, how, from where, since when. Members see their own.

    \b
    Example:
      ostiary admin session list --user grace@corp.example
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        names = names_of(api, USER) if output is Output.TABLE else {}
        columns: Columns = [
            ("USER", by_id(names, "user")),
            ("FOR", "kind"),
            ("HOW", "method"),
            ("FROM", "address"),
            ("SIGNED IN", age("created_at")),
            ("LAST USED", age("seen_at")),
            ("ENDS", expiry("expires_at")),
            ("ID", lambda item: f"{item['id']}{' (this one)' if item.get('current') else ''}"),
        ]
        query = {"user": resolve(api, USER, user) if user is not None else None}
        show_list(api.items("sessions", query), columns, output, empty="Nobody is signed in.")


@session.command("revoke")
def session_revoke(
    session_id: Annotated[str | None, typer.Argument(metavar="ID", help="Its id.", show_default=False)] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="EMAIL", help="All of this user, or of `me`, but this very one.")
    ] = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """End one sign-in, or with --user all of somebody's. Devices stay signed in: revoke them with `device revoke`.

    \b
    Examples:
      ostiary admin session revoke tok_q1w2e3r4t5y6u7i8o9p0aA
      ostiary admin session revoke --user grace@corp.example
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        if (session_id is None) is (user is None):
            raise LocalError(Reason.INVALID_INPUT, "name one sign-in by its id, or give --user")
        if session_id is not None:
            api.delete(f"sessions/{escape(session_id)}")
            show_one({"id": session_id, "ended": 1}, output, sentence=f"sign-in {session_id} ended")
            return
        target = "me" if user == "me" else resolve(api, USER, str(user))
        ended = api.delete(f"sessions?user={escape(target)}")
        show_one({"user": target, **ended}, output, sentence=f"{ended.get('ended', 0)} sign-ins ended")


@session.command("rules")
def session_rules(
    second_factor_for: Annotated[
        str | None,
        typer.Option("--second-factor-for", metavar="nobody|staff|everybody", help="Who must have passed one."),
    ] = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the rules of sign-in, or change them. They count at once, for sign-ins that there are too.

    \b
    Example:
      ostiary admin session rules --second-factor-for staff
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        rules = _change_rules(api, second_factor_for) if second_factor_for is not None else api.get("sign-in-rules")
        show_one(rules, output)


def _change_rules(api: Api, second_factor_for: str) -> Json:
    return api.put("sign-in-rules", {"second_factor_for": second_factor_for})


def _show_codes(made: Json, output: Output, sentence: str) -> None:
    if output is not Output.TABLE:
        print_json(made)
        return
    say(sentence)
    say("Recovery codes, shown this once:")
    print_lines(*(str(code) for code in made.get("recovery_codes", [])))
