"""`ostiary admin connection|event|enforcement|key`: what happened, what is in force, who signs."""

from typing import Annotated

import typer

from client.cli import admin_enforcement
from client.cli.admin_common import (
    CONNECTOR,
    DEVICE,
    RESOURCE,
    SERVICE_ACCOUNT,
    USER,
    JsonOption,
    OutputOption,
    YesOption,
    administrator,
    by_id,
    chosen,
    confirm,
    names_of,
    resolve,
)
from client.cli.admin_output import Columns, Item, Output, age, show_list, shown, yes
from client.cli.admin_session import escape
from client.cli.sizes import size
from runtime.command_line import command_group

connection = command_group("Connections: what was served and what was refused.")
event = command_group("Events: the audit trail.")
enforcement = command_group("Enforcement: who enforces which revision of the policy.")
admin_enforcement.declare(enforcement)
key = command_group("Signing keys: rotation and emergency distrust.")

_KEY_COLUMNS: Columns = [("KEY", "kid"), ("STATUS", "status"), ("ADDED", age("added_at"))]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="How many at most.")]


@connection.command("list")
def connection_list(
    denied: Annotated[
        bool | None, typer.Option("--denied/--served", help="Only refused ones, or only served ones.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="EMAIL", help="Only this user's.")] = None,
    resource: Annotated[str | None, typer.Option("--resource", help="Only those to this resource.")] = None,
    is_open: Annotated[
        bool | None, typer.Option("--open/--over", help="Only those that are open now, or that are over.")
    ] = None,
    differs: Annotated[
        bool | None,
        typer.Option(
            "--differs/--agrees",
            help="Only those where client and connector contradict each other, or where both told the end and agree.",
        ),
    ] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the latest connections, newest first, with the reason of each refusal.

    Each is shown once, as its connector reported it, or as the client did where no connector has; --json has both sides. The
    bytes of an open one grow every ten seconds or so.

    \b
    Example:
      ostiary admin connection list --denied -n 20
      ostiary admin connection list --open
      ostiary admin connection list --differs
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        query: dict[str, object] = {"denied": denied, "open": is_open, "differs": differs}
        query["user"] = None if user is None else resolve(api, USER, user)
        query["resource"] = None if resource is None else resolve(api, RESOURCE, resource)
        names = names_of(api, USER, SERVICE_ACCOUNT, RESOURCE) if output is Output.TABLE else {}
        columns: Columns = [
            ("STARTED", age("started_at")),
            ("USER", by_id(names, "user")),
            ("TO", _target),
            ("RESOURCE", by_id(names, "resource")),
            ("OUTCOME", lambda item: "open" if item.get("open") else str(item.get("outcome"))),
            ("UP", lambda item: size(item.get("bytes_up"))),
            ("DOWN", lambda item: size(item.get("bytes_down"))),
            ("REPORTED BY", _reporters),
        ]
        items = api.items("connections", query, most=limit)
        show_list(items, columns, output, empty="No such connection was recorded.")


@event.command("list")
def event_list(
    kind: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Only types that begin so: grant., sign_in.failed.")
    ] = None,
    about: Annotated[str | None, typer.Option("--about", metavar="ID", help="Only those about this thing.")] = None,
    actor: Annotated[str | None, typer.Option("--by", metavar="ID", help="Only those that this one caused.")] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the latest entries of the audit trail, newest first.

    \b
    Example:
      ostiary admin event list --type grant. -n 20
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:

        def who(item: Item) -> str:
            names = item.get("names") or {}
            return str(names.get(item.get("actor"), item.get("actor")))

        columns: Columns = [
            ("REVISION", "position"),
            ("WHEN", age("at")),
            ("WHAT", "type"),
            ("WHO", who),
            ("ABOUT", "stream"),
            ("DATA", lambda item: shown(item.get("data"))),
        ]
        items = api.items("events", {"type": kind, "stream": about, "actor": actor}, most=limit)
        show_list(items, columns, output, empty="The audit trail is empty.")


@enforcement.command("list")
def enforcement_list(as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """List which agent enforces which revision: when all are current, the policy is in force everywhere.

    \b
    Example:
      ostiary admin enforcement list
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        names = names_of(api, CONNECTOR, DEVICE) if output is Output.TABLE else {}
        columns: Columns = [
            ("AGENT", by_id(names, "agent")),
            ("KIND", "kind"),
            ("STATE", yes("online", yes="online", no="offline")),
            ("ENFORCES", "enforced_revision"),
            ("SINCE", age("enforced_at")),
            ("TO COME", "pending_revision"),
            ("CURRENT", "current"),
        ]
        show_list(api.items("enforcement"), columns, output, empty="No agent has connected yet.")


@key.command("list")
def key_list(as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """List the keys that sign tokens.

    \b
    Example:
      ostiary admin key list
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        show_list(api.items("keys"), _KEY_COLUMNS, output, empty="There is no signing key.")


@key.command("rotate")
def key_rotate(as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Sign with the next key from here on; the present one stays valid until its tokens have ended.

    \b
    Example:
      ostiary admin key rotate
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        show_list(api.post("keys/rotate").get("items", []), _KEY_COLUMNS, output, empty="There is no signing key.")


@key.command("distrust")
def key_distrust(
    kid: Annotated[str, typer.Argument(metavar="KEY", help="The key's id, from `key list`.")],
    yes: YesOption = False,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Emergency: what this key signed is worth nothing from now on; every agent is told at once.

    \b
    Example:
      ostiary admin key distrust k-7f3a9c
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        confirm(f"Distrust the key {kid}? Everything that it signed stops working.", yes=yes)
        left = api.post(f"keys/{escape(kid)}/distrust").get("items", [])
        show_list(left, _KEY_COLUMNS, output, empty="There is no signing key.")


def _target(item: Item) -> str:
    host, port = str(item.get("host", "")), item.get("port")
    text = host if not port else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"{text}/{item.get('transport', '')}"


def _reporters(item: Item) -> str:
    """Who reported it; in capitals what the two contradict each other in."""
    other = item.get("other") or {}
    both = f"{item.get('reporter')}{', ' + str(other['reporter']) if other.get('reporter') else ''}"
    differs = item.get("differs") or ()
    return f"{both}: {', '.join(differs).upper()} DIFFER" if differs else both
