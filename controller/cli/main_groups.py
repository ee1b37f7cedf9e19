"""The groups `keys` and `events` of ``ostiary-controller``."""

from pathlib import Path
from typing import Annotated

import typer

from runtime.command_line import JsonOption, command_group

keys = command_group("Look after the keys that sign tokens.")
events = command_group("Check, export and replay the audit trail.")


@keys.command("list")
def keys_list(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the signing keys."""
    from controller.cli import keys as commands

    commands.list_keys(context.obj, as_json=as_json)


@keys.command("rotate")
def keys_rotate(context: typer.Context, as_json: JsonOption = False) -> None:
    """Sign with the next key from now on, and publish a new next one. Nobody notices.

    The controller does so by itself every `signing_key_days`; this does it now.

    \b
    Example:
      ostiary-controller keys rotate
    """
    from controller.cli import keys as commands

    commands.rotate(context.obj, as_json=as_json)


@keys.command("distrust")
def keys_distrust(
    context: typer.Context,
    kid: Annotated[str, typer.Argument(help="Key id, as `keys list` shows it.")],
    as_json: JsonOption = False,
) -> None:
    """Emergency: nothing that this key signed counts any more. Agents fetch new tokens at once.

    \b
    Example:
      ostiary-controller keys distrust Vj1oZ0Ub3W2h8n5v0W3cOQk2m9w
    """
    from controller.cli import keys as commands

    commands.distrust(context.obj, kid, as_json=as_json)


@events.command("verify")
def events_verify(
    context: typer.Context,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Audit this export instead of the database.")
    ] = None,
    witness: Annotated[
        list[Path] | None,
        typer.Option("--witness", metavar="FILE", help="Compare with what a connector witnessed; may be repeated."),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys", metavar="FILE", help="Key set (jwks.json) that was kept elsewhere; it must be the log's."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Audit the log: its hash chain, the signatures of its checkpoints, and what connectors witnessed of it.

    Names each event that was changed, removed, moved or cut off; the first one named is where to look. Exit code 0 or 1.
    Whoever owns the database and the signing keys can forge a whole log, but not what connectors have witnessed.

    \b
    Examples:
      ostiary-controller events verify
      ostiary-controller events verify --witness office.witness.json --witness lab.witness.json
      ostiary-controller events verify --export events.jsonl --keys jwks.json --json
    """
    from controller.cli import events as commands

    commands.verify(context.obj, export=export, witnesses=witness or [], keys=keys, as_json=as_json)


@events.command("export")
def events_export(
    context: typer.Context,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File; default: standard output.")] = None,
    personal_data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write names and e-mail addresses, by id, into a file beside it."),
    ] = None,
) -> None:
    """Write the log as JSON lines, oldest first: events with their hashes, checkpoints, public keys. No personal data.

    It works while the controller runs, and also on a damaged log. Auditors check it with `events verify --export`, or
    without this software with tools/verify_events.py.

    \b
    Examples:
      ostiary-controller events export --output events.jsonl
      ostiary-controller events export --output events.jsonl --personal-data people.jsonl
    """
    from controller.cli import events as commands

    commands.export(context.obj, output, personal_data)


@events.command("replay")
def events_replay(
    source: Annotated[Path, typer.Argument(metavar="EXPORT", help="File of `events export`; - reads standard input.")],
    at: Annotated[
        int | None, typer.Option(metavar="POSITION", help="Fold up to this event. Default: all.", min=1)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fold an export into the policy that it led to, and show its digest: what the policy was, without a database.

    Two folds of the same events by the same version of this software have the same digest.

    \b
    Example:
      ostiary-controller events replay events.jsonl --at 1000
    """
    from controller.cli import events as commands

    commands.replay(source, at, as_json=as_json)
