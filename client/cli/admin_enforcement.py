"""`ostiary admin enforcement show`: of one change, who enforces it since when, and who is still missing."""

from typing import Annotated

import typer

from client.cli.admin_common import (
    CONNECTOR,
    DEVICE,
    SERVICE_ACCOUNT,
    USER,
    JsonOption,
    OutputOption,
    administrator,
    by_id,
    chosen,
    names_of,
)
from client.cli.admin_output import Columns, Output, age, expiry, show_list
from client.cli.admin_session import Api, Json, ProblemError
from protocol.reasons import Reason
from runtime.console import print_json, say


def declare(group: typer.Typer) -> None:
    """Adds the command to the noun."""
    group.command("show")(show)


def show(
    revision: Annotated[
        int | None, typer.Argument(metavar="REVISION", min=1, help="The change's revision. Default: the newest.")
    ] = None,
    outstanding: Annotated[bool, typer.Option("--outstanding", help="Only agents that are still missing.")] = False,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show since when a change is true everywhere, or who is missing and until when at the latest.

    \b
    Example:
      ostiary admin enforcement show 42
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        number = revision or int(api.get("enforcement", {"limit": 1})["revision"])
        path, query = f"enforcement/{number}", {"outstanding": True} if outstanding else {}
        first = api.get(path, {**query, "limit": 1})
        items = list(api.items(path, query))
        if output is not Output.TABLE:
            print_json({**first, "items": items, "next_cursor": None})
            return
        say(*_sentences(first, _name_of(api, str(first["actor"]))))
        names = names_of(api, CONNECTOR, DEVICE)
        columns: Columns = [
            ("AGENT", by_id(names, "agent")),
            ("KIND", "kind"),
            ("STATE", "state"),
            ("SINCE", "since"),
            ("HEARD", age("heard_at")),
            ("LEASE ENDS", expiry("lease_ends_at")),
            ("DIGEST", lambda item: str(item.get("digest") or "")[:12]),
        ]
        empty = "No agent is missing." if outstanding else "This change concerns no agent."
        show_list(items, columns, output, empty=empty)


def _name_of(api: Api, actor: str) -> str:
    """Who that is, as people name him; the id where he is gone or not the caller's to see, and for `system`."""
    noun = next((noun for noun in (USER, SERVICE_ACCOUNT, CONNECTOR, DEVICE) if noun.is_id(actor)), None)
    if noun is None:
        return actor
    try:
        return str(api.get(f"{noun.path}/{actor}").get(noun.name) or actor)
    except ProblemError as error:
        if error.reason not in (Reason.FORBIDDEN, Reason.NOT_FOUND):
            raise
        return actor


def _sentences(found: Json, actor: str) -> tuple[str, ...]:
    made = f"Revision {found['revision']}: {found['event']} at {found['made_at']} by {actor}."
    if found["enforced_at"] is not None:
        return made, f"Enforced everywhere since {found['enforced_at']}."
    connectors, clients = found["connectors"], found["clients"]
    missing = f"{connectors['outstanding']} of {connectors['agents']} connectors and {clients['outstanding']} of "
    return made, f"Not everywhere yet: {missing}{clients['agents']} clients have not said that they enforce it."
