"""`ostiary-controller`: sets the controller up, runs it, and looks after its database and keys.

This module only declares the commands. What they do, and everything heavy, is imported when one is run, so that
`--help` is instant.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from controller.cli.main_groups import events, keys
from runtime.command_line import JsonOption, ReadyOption, command_group, config_option, version_option
from runtime.console import print_version
from runtime.service_commands import service_group

app = command_group(
    """The Ostiary controller: identity, policy and keys of a zero-trust access network.

    \b
    First steps:
      ostiary-controller init --public-url https://ostiary.example.com:8443 \\
          --owner ada@example.com --owner-name Ada --password-file -
      ostiary-controller serve

    Settings come from flags, OSTIARY_* variables and /etc/ostiary/controller.toml, in this order; `check-config` shows
    each with its origin.
    """,
    name="ostiary-controller",
)
database = command_group("Look after the database schema.")
admin = command_group("Help people who are locked out, or not in yet.")
app.add_typer(database, name="db")
app.add_typer(keys, name="keys")
app.add_typer(events, name="events")
app.add_typer(admin, name="admin")


@app.callback()
def root(
    context: typer.Context,
    config: Annotated[Path | None, config_option("controller")] = None,
    version: Annotated[bool, version_option("ostiary-controller")] = False,
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
        str | None,
        typer.Option(metavar="FILE", help="File with the owner's password; - reads standard input. Default: ask."),
    ] = None,
    without_owner: Annotated[
        bool, typer.Option("--without-owner", help="Print a set-up token: the first owner is made in the browser.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Set the controller up: directory, master secret, database, CA, signing keys, first owner.

    Safe to run again: what is there stays, what is missing is made.

    \b
    Example:
      ostiary-controller init --public-url https://ostiary.example.com:8443 \\
          --owner ada@example.com --owner-name Ada --password-file /run/secrets/owner
      ostiary-controller init --public-url https://ostiary.example.com:8443 --without-owner
    """
    from controller.cli import setup

    setup.init(
        context.obj,
        public_url=public_url,
        owner=owner,
        owner_name=owner_name,
        password_file=password_file,
        without_owner=without_owner,
        as_json=as_json,
    )


@app.command("serve")
def serve(
    context: typer.Context,
    listen_host: Annotated[str | None, typer.Option(help="Address to listen on. Default: every address.")] = None,
    listen_port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Processes that serve, each a whole replica; needs PostgreSQL. Default: 1."),
    ] = None,
) -> None:
    """Run the controller until it is told to stop (SIGTERM).

    One process uses one core. Where several thousand agents keep it busy, --workers runs several over the same
    PostgreSQL and port, and starts one that dies again; docs/replicas.md says when.

    \b
    Examples:
      ostiary-controller serve --listen-port 8443
      OSTIARY_DATABASE_URL=postgresql://ostiary@db/ostiary ostiary-controller serve --workers 4
    """
    from controller.cli import start

    flags = start.Flags(context.obj, listen_host, listen_port, workers)
    raise typer.Exit(start.serve(flags))


@app.command("relay-token")
def relay_token(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the relay; it is created if there is none.")],
    fqdn: Annotated[str, typer.Option(help="Host name under which clients and connectors reach it.")],
    port: Annotated[int, typer.Option(help="Its TCP port.")] = 8444,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File for the token (0600). Default: standard output.")
    ] = None,
) -> None:
    """Make an enrolment token for a relay on this host, without signing in. An unused earlier one is void.

    \b
    Example, for a set-up without people:
      ostiary-controller relay-token relay-1 --fqdn relay.example.com --output relay.token
    """
    from controller.cli import relay_token as commands

    commands.make(context.obj, name, fqdn=fqdn, port=port, output=output)


@app.command("health")
def health(context: typer.Context, ready: ReadyOption = True, as_json: JsonOption = False) -> None:
    """Tell by the exit code how the controller on this host is: 0 well, 3 not ready, 5 not running.

    \b
    Example, as a container's health check:
      ostiary-controller health --ready
    """
    from controller.cli import health as asking

    asking.health(context.obj, ready=ready, as_json=as_json)


@app.command("check-config")
def check_config(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show every setting with its origin, secrets masked, and say what is wrong with them.

    \b
    Example:
      OSTIARY_LISTEN_PORT=443 ostiary-controller check-config
    """
    from controller.cli import setup

    setup.check_config(context.obj, as_json=as_json)


@app.command("backup")
def backup_command(
    context: typer.Context,
    target: Annotated[Path, typer.Argument(metavar="FILE", help="File to write; with --check, to read.")],
    check: Annotated[bool, typer.Option("--check", help="Read a backup and say whether it is whole.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the whole database into one file while the controller runs, and read it again.

    It holds people's data, password hashes and sealed private keys: keep it where only you can read it. The master secret
    that the keys are sealed with (master.secret in the state directory) is not in it: keep that elsewhere, or neither is
    of use. People's sign-ins to the API and unspent enrolment tokens are left out.

    \b
    Examples:
      ostiary-controller backup /var/backups/ostiary-2026-11-22.backup
      ostiary-controller backup --check /var/backups/ostiary-2026-11-22.backup
    """
    from controller.cli import backup as commands

    (commands.check if check else commands.make)(context.obj, target, as_json=as_json)


@app.command("restore")
def restore_command(
    context: typer.Context,
    source: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Backup to restore.")] = None,
    bump_epoch: Annotated[
        bool, typer.Option("--bump-epoch", help="Raise the epoch of the restored database, so that it may serve.")
    ] = False,
    review: Annotated[bool, typer.Option("--review", help="Show the list of what was revoked since, again.")] = False,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="An export of the log that is newer than the backup."),
    ] = None,
    witness: Annotated[
        list[Path] | None,
        typer.Option("--witness", metavar="FILE", help="What a connector witnessed; may be repeated."),
    ] = None,
    end_sessions: Annotated[
        bool, typer.Option("--end-sessions", help="With --bump-epoch: all devices of people must sign in again.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Fill an empty database with a backup, list who was revoked since it was made, and raise the epoch.

    In three steps, so that nobody's access comes back unnoticed: restore; review the list and take away again what must not
    live; then raise the epoch. Until then `serve` refuses. Agents that have seen newer policy take the higher epoch and
    refuse everything of the old one.

    \b
    Example:
      ostiary-controller restore /var/backups/ostiary-2026-11-22.backup --export events.jsonl --witness office.json
      ostiary-controller restore --bump-epoch --witness office.json
      ostiary-controller serve
    """
    from controller.cli import backup as commands

    if (source is not None) + bump_epoch + review != 1:
        raise typer.BadParameter("give a FILE, or --review, or --bump-epoch")
    if end_sessions and not bump_epoch:
        raise typer.BadParameter("--end-sessions belongs to --bump-epoch")
    evidence = commands.Evidence(export, witness or [])
    if source is not None:
        commands.restore(context.obj, source, evidence, as_json=as_json)
    elif review:
        commands.review(context.obj, evidence, as_json=as_json)
    else:
        commands.bump_epoch(context.obj, evidence, end_sessions=end_sessions, as_json=as_json)


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
    """Print the version of the software and of the protocol."""
    print_version("ostiary-controller", as_json=as_json)


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


@admin.command("setup-token")
def admin_setup_token(context: typer.Context, as_json: JsonOption = False) -> None:
    """Make a set-up token, with which the first owner is made in the browser; an earlier one is void.

    It is good once, for an hour, and only while there is no owner.

    \b
    Example:
      ostiary-controller admin setup-token
    """
    from controller.cli import setup

    setup.setup_token(context.obj, as_json=as_json)


app.add_typer(service_group("controller", "ostiary-controller"))


def main() -> None:
    """The console script. What it makes is for its own user only, the database file included."""
    os.umask(0o077)
    app()
