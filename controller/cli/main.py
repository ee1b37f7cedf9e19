"""`ostiary-controller`: sets the controller up, runs it, and looks after its database and keys.

This module only declares the commands. What they do, and everything heavy, is imported when one is run, so that
`--help` is instant (ecosystem 1.1).
"""

import os
from pathlib import Path
from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help='Print one JSON object with "schema": 1.')]

app = typer.Typer(
    name="ostiary-controller",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="""The Ostiary controller: identity, policy and keys of a zero-trust access network.

    \b
    First steps:
      ostiary-controller init --public-url https://ostiary.example.com:8443 \\
          --owner ada@example.com --owner-name Ada --password-file -
      ostiary-controller serve

    Settings come from flags, OSTIARY_* variables and /etc/ostiary/controller.toml, in this order; `check-config` shows
    each with its origin.
    """,
)
database = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look after the database schema.")
keys = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look after the keys that sign tokens.")
events = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check and export the audit trail.")
admin = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Help people who are locked out.")
app.add_typer(database, name="db")
app.add_typer(keys, name="keys")
app.add_typer(events, name="events")
app.add_typer(admin, name="admin")


def _version_and_leave(wanted: bool) -> None:
    if wanted:
        print_version(as_json=False)
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", help="TOML file instead of /etc/ostiary/controller.toml.")
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_version_and_leave),
    ] = False,
) -> None:
    context.obj = config


@app.command("init")
def init(
    context: typer.Context,
    public_url: Annotated[
        str | None,
        typer.Option(help="Where agents and people reach the controller: https://HOST[:PORT]."),
    ] = None,
    owner: Annotated[str | None, typer.Option(metavar="EMAIL", help="E-mail address of the first owner.")] = None,
    owner_name: Annotated[str | None, typer.Option(help="Name of the first owner.")] = None,
    password_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="File with the owner's password; - reads standard input.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Set the controller up: directory, master secret, database, CA, signing keys, first owner.

    Safe to run again: what is there stays, what is missing is made.

    \b
    Example:
      ostiary-controller init --public-url https://ostiary.example.com:8443 \\
          --owner ada@example.com --owner-name Ada --password-file /run/secrets/owner
    """
    from controller.cli import setup

    setup.init(
        context.obj,
        public_url=public_url,
        owner=owner,
        owner_name=owner_name,
        password_file=password_file,
        as_json=as_json,
    )


@app.command("serve")
def serve(
    context: typer.Context,
    listen_host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    listen_port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Run the controller until it is told to stop (SIGTERM).

    \b
    Example:
      ostiary-controller serve --listen-port 8443
    """
    from controller.cli import serve as serving

    raise typer.Exit(serving.serve(context.obj, listen_host=listen_host, listen_port=listen_port))


@app.command("health")
def health(
    context: typer.Context,
    live: Annotated[bool, typer.Option("--live", help="Only: does the process answer?")] = False,
    ready: Annotated[bool, typer.Option("--ready", help="Also: does it do its work? (default)")] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask the controller on this host how it is; exit code 0 or 3.

    \b
    Example, as a container's health check:
      ostiary-controller health --ready
    """
    from controller.cli import health as asking

    asking.health(context.obj, ready=ready or not live, as_json=as_json)


@app.command("check-config")
def check_config(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show every setting with its origin, secrets masked, and say what is wrong with them.

    \b
    Example:
      OSTIARY_LISTEN_PORT=443 ostiary-controller check-config
    """
    from controller.cli import setup

    setup.check_config(context.obj, as_json=as_json)


@app.command("openapi")
def openapi() -> None:
    """Print the API's OpenAPI 3.1 document.

    \b
    Example:
      ostiary-controller openapi > ostiary.openapi.json
    """
    from controller.cli import setup

    setup.openapi()


@app.command("version")
def version_command(as_json: JsonOption = False) -> None:
    """Print the version."""
    print_version(as_json=as_json)


@database.command("upgrade")
def db_upgrade(
    context: typer.Context,
    revision: Annotated[str, typer.Argument(help="Schema revision.")] = "head",
    as_json: JsonOption = False,
) -> None:
    """Bring the database to this version's schema; creates an empty one.

    \b
    Example:
      ostiary-controller db upgrade
    """
    from controller.cli import database as commands

    commands.upgrade(context.obj, revision, as_json=as_json)


@database.command("downgrade")
def db_downgrade(
    context: typer.Context,
    revision: Annotated[str, typer.Argument(help="Schema revision, or -1 for the one before.")],
    as_json: JsonOption = False,
) -> None:
    """Take the database back to an earlier schema, before an older version is started.

    \b
    Example (the -- keeps -1 from being read as an option):
      ostiary-controller db downgrade -- -1
    """
    from controller.cli import database as commands

    commands.downgrade(context.obj, revision, as_json=as_json)


@database.command("current")
def db_current(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show the database's schema revision and the one that this version needs."""
    from controller.cli import database as commands

    commands.current(context.obj, as_json=as_json)


@database.command("check")
def db_check(context: typer.Context, as_json: JsonOption = False) -> None:
    """Check that the database's tables are what this version expects; exit code 0 or 1."""
    from controller.cli import database as commands

    commands.check(context.obj, as_json=as_json)


@keys.command("list")
def keys_list(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the signing keys."""
    from controller.cli import keys as commands

    commands.list_keys(context.obj, as_json=as_json)


@keys.command("rotate")
def keys_rotate(context: typer.Context, as_json: JsonOption = False) -> None:
    """Sign with the next key from now on, and publish a new next one. Nobody notices.

    \b
    Example, monthly from a timer:
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
def events_verify(context: typer.Context, as_json: JsonOption = False) -> None:
    """Recompute the hash chain of the audit trail; names each event that was changed or removed. Exit code 0 or 1.

    \b
    Example:
      ostiary-controller events verify
    """
    from controller.cli import events as commands

    commands.verify(context.obj, as_json=as_json)


@events.command("export")
def events_export(
    context: typer.Context,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File; default: standard output.")] = None,
) -> None:
    """Write the audit trail as JSON lines, oldest first, without personal data.

    \b
    Example:
      ostiary-controller events export --output events.jsonl
    """
    from controller.cli import events as commands

    commands.export(context.obj, output)


@admin.command("reset-password")
def admin_reset_password(
    context: typer.Context,
    email: Annotated[str, typer.Argument(help="E-mail address of the account.")],
    password_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="File with the new password; - reads standard input. Default: make one up."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Set a user's password and end the user's sign-ins to the API.

    \b
    Example:
      ostiary-controller admin reset-password ada@example.com
    """
    from controller.cli import admin as commands

    commands.reset_password(context.obj, email, password_file, as_json=as_json)


def print_version(*, as_json: bool) -> None:
    """Prints software and protocol version."""
    from protocol.version import PROTOCOL, SOFTWARE
    from runtime.console import print_json, print_lines

    if as_json:
        print_json({"version": SOFTWARE, "protocol": PROTOCOL})
    else:
        print_lines(f"ostiary-controller {SOFTWARE} (protocol {PROTOCOL})")


def main() -> None:
    """The console script. What it makes is for its own user only, the database file included."""
    os.umask(0o077)
    app()
