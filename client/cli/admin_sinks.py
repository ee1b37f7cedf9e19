"""`ostiary admin sink`: where connection records and the audit trail are sent to."""

from pathlib import Path
from typing import Annotated

import typer

from client.cli.admin_common import (
    SINK,
    JsonOption,
    OutputOption,
    YesOption,
    administrator,
    chosen,
    confirm,
    delete,
    read_secret,
    resolve,
)
from client.cli.admin_output import Columns, Item, Output, age, show_list, show_one
from runtime.command_line import command_group
from runtime.files import read_limited

sink = command_group("Sinks: where connection records and the audit trail are sent to.")

_CA_MAX_BYTES = 64 * 1024


@sink.command("create")
def sink_create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name: letters, digits, . _ -")],
    destination: Annotated[
        str, typer.Argument(metavar="DESTINATION", help="https://HOST/PATH, or HOST[:PORT] for syslog.")
    ],
    kind: Annotated[
        str, typer.Option("--kind", help="https, syslog_tls, or syslog_tcp (not encrypted).", show_default=True)
    ] = "https",
    content: Annotated[
        list[str] | None, typer.Option("--content", help="connections, events; may be repeated. Default: both.")
    ] = None,
    token_file: Annotated[
        str | None,
        typer.Option("--token-file", metavar="FILE", help="File with the bearer token; - reads standard input."),
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option("--ca-file", help="PEM of the CA to trust. Default: the system's.")
    ] = None,
    from_start: Annotated[bool, typer.Option("--from-start", help="Send what is kept already, too.")] = False,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Send records somewhere from now on: each at least once, in order.

    \b
    Example:
      ostiary admin sink create siem https://siem.corp.example/ingest --token-file token.txt
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        body: dict[str, object] = {
            "name": name,
            "kind": kind,
            "destination": destination,
            "content": content or ["connections", "events"],
            "from_start": from_start,
        }
        if token_file is not None:
            body["token"] = read_secret(token_file, "Token: ").strip()
        if ca_file is not None:
            body["ca_pem"] = read_limited(ca_file, _CA_MAX_BYTES).decode(errors="replace")
        made = api.post("sinks", body)
        show_one(made, output, sentence=f"Sink {name} was added: {made['id']}.")


@sink.command("list")
def sink_list(as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """List the sinks, what waits for each, and why it fails if it does.

    \b
    Example:
      ostiary admin sink list
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        columns: Columns = [
            ("SINK", "name"),
            ("KIND", "kind"),
            ("DESTINATION", "destination"),
            ("STATE", _state),
            ("DELIVERED", "delivered"),
            ("WAITING", _waiting),
            ("LAST", age("delivered_at")),
        ]
        show_list(api.items("sinks"), columns, output, empty="There is no sink.")


@sink.command("delete")
def sink_delete(
    name: Annotated[str, typer.Argument(metavar="SINK", help="The sink, by name or id.")],
    yes: YesOption = False,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Send nothing there any more; what it has not taken it never gets.

    \b
    Example:
      ostiary admin sink delete siem
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        confirm(f"Delete the sink {name}?", yes=yes)
        delete(api, "sinks", resolve(api, SINK, name), output, f"Sink {name} was deleted.")


def _state(item: Item) -> str:
    reason, detail = item.get("failure"), item.get("detail")
    return str(item.get("state", "")) if not reason else f"{reason}: {detail or ''}".rstrip(": ")


def _waiting(item: Item) -> str:
    return str(int(item.get("pending_connections") or 0) + int(item.get("pending_events") or 0))
