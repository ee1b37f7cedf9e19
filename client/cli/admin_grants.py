"""`ostiary admin grant`: who may reach what, perhaps until when."""

import time
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from client.cli.admin_common import (
    GRANT,
    GROUP,
    POLICY,
    RESOURCE,
    SERVICE_ACCOUNT,
    USER,
    JsonOption,
    Noun,
    OutputOption,
    administrator,
    by_id,
    by_subject,
    chosen,
    names_of,
    resolve,
)
from client.cli.admin_output import Columns, Output, age, expiry, show_list, show_one
from client.cli.admin_session import Api, Json, escape
from client.cli.times import parse_duration
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.command_line import command_group

grant = command_group("Grants: who may reach what, perhaps until when.")

_SUBJECTS: Final[dict[str, tuple[str, Noun]]] = {
    "group": ("group", GROUP),
    "user": ("user", USER),
    "service-account": ("service_account", SERVICE_ACCOUNT),
}
ToOption = Annotated[
    str, typer.Option("--to", metavar="SUBJECT", help="group:NAME, user:EMAIL or service-account:NAME.")
]
ResourceOption = Annotated[str, typer.Option("--resource", metavar="RESOURCE", help="The resource, by name or id.")]


@grant.command("create")
def grant_create(
    to: ToOption,
    resource: ResourceOption,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="TIME", help="After 8h, 2d…, or at 2026-12-24T18:00. Default: never."),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option("--policy", metavar="POLICY", help="The conditions under which it holds. Default: none."),
    ] = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Let a group, a user or a service account reach a resource. It takes effect at once.

    \b
    Examples:
      ostiary admin grant create --to group:engineers --resource db
      ostiary admin grant create --to user:grace@corp.example --resource db --expires 8h
      ostiary admin grant create --to group:engineers --resource db --policy strict
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        kind, subject = parse_subject(api, to)
        body: Json = {"subject_kind": kind, "subject": subject, "resource": resolve(api, RESOURCE, resource)}
        if expires is not None:
            body["expires_at"] = parse_moment(expires, time.time())
        if policy is not None:
            body["policy"] = resolve(api, POLICY, policy)
        made = api.post("grants", body)
        until = f" until {made['expires_at']}" if made.get("expires_at") else ""
        under = f" under policy {policy}" if policy is not None else ""
        show_one(made, output, sentence=f"grant {made['id']}: {to} may reach {resource}{until}{under}")


@grant.command("list")
def grant_list(
    to: Annotated[str | None, typer.Option("--to", metavar="SUBJECT", help="Only those of this subject.")] = None,
    resource: Annotated[str | None, typer.Option("--resource", help="Only those on this resource.")] = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the grants.

    \b
    Example:
      ostiary admin grant list --resource db
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        subject = None if to is None else parse_subject(api, to)[1]
        on = None if resource is None else resolve(api, RESOURCE, resource)
        names = names_of(api, GROUP, USER, SERVICE_ACCOUNT, RESOURCE, POLICY) if output is Output.TABLE else {}

        columns: Columns = [
            ("SUBJECT", by_subject(names)),
            ("RESOURCE", by_id(names, "resource")),
            ("EXPIRES", expiry("expires_at")),
            ("POLICY", by_id(names, "policy")),
            ("CREATED", age("created_at")),
            ("ID", "id"),
        ]
        empty = "next: ostiary admin grant create --to group:NAME --resource NAME"
        show_list(api.items("grants", {"subject": subject, "resource": on}), columns, output, empty=empty)


@grant.command("revoke")
def grant_revoke(
    grant_id: Annotated[str, typer.Argument(metavar="ID", help="The grant's id, from `grant list`.")],
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Revoke a grant. Connections that rest on it are reset within a second; nothing is asked.

    \b
    Example:
      ostiary admin grant revoke gra_q1w2e3r4t5y6u7i8o9p0aA
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        if not GRANT.is_id(grant_id):
            raise LocalError(
                Reason.INVALID_INPUT, f"{grant_id!r} is not a grant's id; `ostiary admin grant list` has them"
            )
        api.delete(f"grants/{escape(grant_id)}")
        show_one({"id": grant_id, "revoked": True}, output, sentence=f"grant {grant_id} revoked")


def parse_subject(api: Api, text: str, option: str = "--to") -> tuple[str, str]:
    """Returns kind and id of ``group:NAME``, ``user:EMAIL``, ``service-account:NAME`` or an id. Raises LocalError."""
    for kind, noun in _SUBJECTS.values():
        if noun.is_id(text):
            return kind, text
    word, colon, name = text.partition(":")
    if not colon or word.replace("_", "-") not in _SUBJECTS or not name:
        raise LocalError(
            Reason.INVALID_INPUT, f"{option}: {text!r} is not group:NAME, user:EMAIL or service-account:NAME"
        )
    kind, noun = _SUBJECTS[word.replace("_", "-")]
    return kind, resolve(api, noun, name)


def parse_moment(text: str, now: float) -> str:
    """Returns RFC 3339 for a duration from ``now`` or a point in time; without an offset it is local. Raises LocalError."""
    try:
        return datetime.fromtimestamp(now + parse_duration(text), UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        pass
    try:
        return datetime.fromisoformat(text).astimezone().isoformat(timespec="seconds")
    except ValueError as exc:
        raise LocalError(
            Reason.INVALID_INPUT,
            f"--expires: {text!r} is neither a duration such as 8h nor a time such as 2026-12-24T18:00",
        ) from exc
