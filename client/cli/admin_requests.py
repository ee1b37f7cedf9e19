"""`ostiary admin requests`: who asks for access, and the answers."""

from typing import Annotated, Final

import typer

from client.cli.admin_common import RESOURCE, JsonOption, Noun, OutputOption, administrator, chosen, resolve
from client.cli.admin_output import Columns, Item, Output, age, expiry, show_list, show_one
from client.cli.admin_session import Json, escape
from client.cli.asking import target_of
from client.cli.times import parse_duration, span
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.command_line import command_group

access_request = command_group("Requests for access: who asks, for what, why, and the answers.")

REQUEST: Final = Noun("request", "access-requests", "arq", "id")
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The request's id, from `requests list`.")]


@access_request.command("list")
def request_list(
    every: Annotated[bool, typer.Option("--all", help="Also those that are answered, withdrawn or expired.")] = False,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the requests that wait for an answer.

    \b
    Example:
      ostiary admin requests list
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        columns: Columns = [
            ("WHO", lambda item: str(item.get("user_name") or item.get("user"))),
            ("TARGET", target_of),
            ("MEANS", _means),
            ("FOR", lambda item: span(float(item.get("duration_s") or 0))),
            ("REASON", "reason"),
            ("STATUS", "status"),
            ("ASKED", age("created_at")),
            ("CLOSES", expiry("expires_at")),
            ("ID", "id"),
        ]
        found = api.items("access-requests", {} if every else {"status": "open"})
        show_list(found, columns, output, empty="nobody waits for an answer")


@access_request.command("approve")
def request_approve(
    request: IdArgument,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="For how long, for example 2h. Default: as asked.")
    ] = None,
    resource: Annotated[
        str | None,
        typer.Option("--resource", metavar="RESOURCE", help="By name or id; needed when it may mean several, or none."),
    ] = None,
    answer: Annotated[str, typer.Option("--answer", metavar="TEXT", help="For the asker.")] = "",
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Give access for a time. It works at once, and ends by itself; `grant revoke` ends it earlier.

    \b
    Examples:
      ostiary admin requests approve arq_q1w2e3r4t5y6u7i8o9p0aA
      ostiary admin requests approve arq_q1w2e3r4t5y6u7i8o9p0aA --for 1h --answer "until the release is out"
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        body: Json = {"answer": answer}
        if duration is not None:
            body["duration_s"] = _seconds(duration)
        if resource is not None:
            body["resource"] = resolve(api, RESOURCE, resource)
        made = api.post(f"access-requests/{_id(request)}/approve", body)
        who = made.get("user_name") or made.get("user")
        sentence = f"{who} may reach {target_of(made)} until {made.get('granted_until')} (grant {made.get('grant')})"
        show_one(made, output, sentence=sentence)


@access_request.command("deny")
def request_deny(
    request: IdArgument,
    answer: Annotated[str, typer.Option("--answer", metavar="TEXT", help="Why, for the asker.")],
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say no, and why.

    \b
    Example:
      ostiary admin requests deny arq_q1w2e3r4t5y6u7i8o9p0aA --answer "use the replica"
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        made = api.post(f"access-requests/{_id(request)}/deny", {"answer": answer})
        show_one(made, output, sentence=f"denied; {made.get('user_name') or made.get('user')} reads your answer")


def _means(item: Item) -> str:
    found = [str(candidate.get("name")) for candidate in item.get("candidates") or ()]
    return ", ".join(found) or str(item.get("resource") or "-")


def _id(text: str) -> str:
    if not REQUEST.is_id(text):
        raise LocalError(
            Reason.INVALID_INPUT, f"{text!r} is not a request's id; `ostiary admin requests list` has them"
        )
    return escape(text)


def _seconds(text: str) -> int:
    try:
        return round(parse_duration(text))
    except ValueError as exc:
        raise LocalError(Reason.INVALID_INPUT, str(exc)) from exc
