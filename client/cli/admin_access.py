"""`ostiary admin access`: who could reach what, at any time, and why."""

import time
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from client.cli.admin_common import (
    RESOURCE,
    SERVICE_ACCOUNT,
    USER,
    JsonOption,
    OutputOption,
    administrator,
    chosen,
    resolve,
)
from client.cli.admin_output import Columns, Item, Output, show_list
from client.cli.admin_session import Api
from client.cli.times import parse_duration
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.command_line import command_group
from runtime.console import say

access = command_group("Access at any time: who could reach what, by which grants, made by whom.")

_SERVICE: Final = "service-account:"

AtOption = Annotated[
    str | None,
    typer.Option("--at", metavar="TIME", help="When: 2026-11-21T14:00, or 2h, 3d… ago. Default: now."),
]
WhoOption = Annotated[
    str | None,
    typer.Option(
        "--user", metavar="WHO", help="An e-mail address, service-account:NAME, or an id (also a former one)."
    ),
]


@access.command("explain")
def access_explain(
    resource: Annotated[
        str | None, typer.Option("--resource", metavar="RESOURCE", help="The resource, by name or id.")
    ] = None,
    user: WhoOption = None,
    at: AtOption = None,
    revision: Annotated[
        int | None,
        typer.Option("--revision", min=0, help="Under this revision of the policy, as its devices were told."),
    ] = None,
    denied: Annotated[bool, typer.Option("--denied", help="Also those who hold a grant and were denied.")] = False,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say who could reach a resource, or what somebody could reach, at any time: by which events, since when, until when.

    \b
    Examples:
      ostiary admin access explain --resource db
      ostiary admin access explain --user grace@corp.example --at 2026-11-21T14:00
      ostiary admin access explain --user grace@corp.example --resource db --at 3d --denied
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        if resource is None and user is None:
            raise LocalError(Reason.INVALID_INPUT, "name a --resource, a --user, or both")
        query: dict[str, object] = {
            "resource": None if resource is None else resolve(api, RESOURCE, resource),
            "user": None if user is None else _who(api, user),
            "at": None if at is None else past_moment("--at", at, time.time()),
            "revision": revision,
            "denied": denied,
        }
        if output is Output.TABLE:
            say(_when(api.get("access", {**query, "limit": 1})))
        show_list(api.items("access", query), _COLUMNS, output, empty="Nobody could." if user is None else "Nothing.")


@access.command("history")
def access_history(
    user: Annotated[str, typer.Option("--user", metavar="WHO", help="E-mail address, service-account:NAME, or id.")],
    resource: Annotated[str, typer.Option("--resource", metavar="RESOURCE", help="The resource, by name or id.")],
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="From when; default: 30 days before --until.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Until when; default: now.")] = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Say from when to when somebody could reach a resource, and who changed that in which event.

    \b
    Examples:
      ostiary admin access history --user grace@corp.example --resource db
      ostiary admin access history --user usr_q1w2e3r4t5y6u7i8o9p0aA --resource db --since 90d --until 30d
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        now = time.time()
        query: dict[str, object] = {
            "user": _who(api, user),
            "resource": resolve(api, RESOURCE, resource),
            "since": None if since is None else past_moment("--since", since, now),
            "until": None if until is None else past_moment("--until", until, now),
        }
        body = api.get("access/history", query)
        if output is Output.TABLE and not body.get("complete"):
            say(f"The log is long: this begins at {body.get('since')}. Ask about an earlier --until next.")
        if output is Output.JSON:
            from runtime.console import print_json

            print_json(body)
            return
        show_list(body.get("items", []), _SPANS, output, empty="There was no device in this time.")


def past_moment(option: str, text: str, now: float) -> str:
    """Returns RFC 3339 for a point in time or a duration before ``now``; without an offset it is local. Raises LocalError."""
    try:
        return datetime.fromtimestamp(now - parse_duration(text.removesuffix(" ago")), UTC).isoformat()
    except (ValueError, OverflowError):
        pass
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except ValueError as exc:
        detail = f"{option}: {text!r} is neither a time such as 2026-11-21T14:00 nor a duration such as 2h"
        raise LocalError(Reason.INVALID_INPUT, detail) from exc


def _who(api: Api, text: str) -> str:
    if SERVICE_ACCOUNT.is_id(text):
        return text
    if text.startswith(_SERVICE):
        return resolve(api, SERVICE_ACCOUNT, text.removeprefix(_SERVICE))
    return resolve(api, USER, text.removeprefix("user:"))


def _when(body: Item) -> str:
    return f"At {body.get('at')}, under revision {body.get('revision')}:"


def _answer(item: Item) -> str:
    reason = item.get("reason")
    return str(item.get("verdict")) + (f" ({reason})" if reason else "")


def _ports(item: Item) -> str:
    ports = item.get("ports") or {}
    parts = [f"{name} {','.join(ports[name])}" for name in ("tcp", "udp") if ports.get(name)]
    return "; ".join([*parts, *(["ping"] if ports.get("icmp") else [])]) or "-"


def _since(item: Item) -> str:
    if item.get("since") is None:
        return "-"
    exactly = "" if item.get("since_exact", True) else "before "
    return f"{exactly}{item['since']}{_event(item.get('since_event'))}"


def _until(item: Item) -> str:
    if item.get("until") is None:
        return "-"
    exactly = "" if item.get("until_exact", True) else "after "
    return f"{exactly}{item['until']}{_event(item.get('until_event'))}"


def _event(position: object) -> str:
    return "" if position is None else f" [{position}]"


def _cited(item: Item) -> str:
    kind = str(item.get("type", "")).partition("/")[0]
    return f"[{item.get('event')}] {kind} by {item.get('actor_name') or item.get('actor')}"


def _because(item: Item) -> str:
    return ", ".join(_cited(one) for one in item.get("because") or []) or "-"


_COLUMNS: Final[Columns] = [
    ("WHO", lambda item: item.get("subject_name") or item.get("subject")),
    ("DEVICE", lambda item: item.get("device_name") or item.get("device")),
    ("RESOURCE", lambda item: item.get("resource_name") or item.get("resource")),
    ("ACCESS", _answer),
    ("PORTS", _ports),
    ("SINCE", _since),
    ("UNTIL", _until),
    ("BECAUSE OF", _because),
]
_SPANS: Final[Columns] = [
    ("DEVICE", lambda item: item.get("device_name") or item.get("device")),
    ("ACCESS", _answer),
    ("PORTS", _ports),
    ("SINCE", _since),
    ("UNTIL", _until),
    ("OPENED BY", lambda item: _cited(item["opened_by"]) if item.get("opened_by") else "-"),
    ("CLOSED BY", lambda item: _cited(item["closed_by"]) if item.get("closed_by") else "-"),
]
