"""Declares the user's commands about what the daemon is set to: set, get, accounts, switch, forward.

What they do is imported when one is run.
"""

from typing import Annotated

import typer

from runtime.command_line import JsonOption


def set_command(
    setting: Annotated[str, typer.Argument(metavar="KEY=VALUE", help="KEY=default takes a setting back.")],
    as_json: JsonOption = False,
) -> None:
    """Change a setting of the daemon for good; it counts at once where not said otherwise.

    \b
      check-every       off, or 15s to 1h: check every network through to a
                        connector by itself
      connect-at-start  on, or off: stay down after a start until `ostiary up`
      log-level         debug, info, warning or error
      notifications     all, sign-in or off: what `ostiary notify` shows
      prewarm           on, or off: make tunnels only when they are needed
      strict-dns        on, or off (needs root): names of resources never reach
                        another resolver
      udp-idle          10s to 24h: how long a quiet UDP association lives
      proxy-listen      ADDRESS:PORT on loopback, for the proxy mode; needs root
      mtu               1280 to 65535, after a restart; needs root
      pool-v4           auto, or an IPv4 network for names, after a restart;
                        needs root

    `ostiary get` shows what they are now. What else there is (mode, forwards, group, upstream proxy, metrics) is in
    /etc/ostiary/client.toml and needs a restart; `ostiaryd check-config` shows it.

    \b
    Examples:
      ostiary set check-every=5m
      ostiary set log-level=debug && ostiary logs -f
      ostiary set log-level=default
    """
    from client.cli import preferences

    raise typer.Exit(preferences.put(setting, as_json=as_json))


def get_command(
    key: Annotated[
        str | None, typer.Argument(metavar="[KEY]", help="Only this one, and only its value.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the settings that `ostiary set` can change, with what they mean.

    \b
    Examples:
      ostiary get
      ostiary get log-level
    """
    from client.cli import preferences

    raise typer.Exit(preferences.get(key, as_json=as_json))


def accounts_command(as_json: JsonOption = False) -> None:
    """List the sign-ins that this host keeps, for several controllers or users, and which one is active.

    \b
    Example:
      ostiary accounts
    """
    from client.cli import accounts

    raise typer.Exit(accounts.accounts(as_json=as_json))


def switch_command(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="As `ostiary accounts` calls it.")],
    new: Annotated[bool, typer.Option("--new", help="Make it first, empty. Needs root.")] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Forget it instead, with its key; not the active one. Needs root.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make another sign-in the active one. Open connections of the old one are cut; it stays signed in.

    \b
    Examples:
      ostiary switch acme
      sudo ostiary switch --new acme && sudo ostiary up https://ostiary.acme.example
      sudo ostiary switch --remove acme
    """
    if new and remove:
        raise typer.BadParameter("choose one of --new and --remove", param_hint="--new")
    from client.cli import accounts

    raise typer.Exit(accounts.switch(account, new=new, remove=remove, as_json=as_json))


def forward_command(
    target: Annotated[str, typer.Argument(metavar="HOST:PORT", help="The resource and its TCP port.")],
    listen: Annotated[
        int, typer.Argument(metavar="[PORT]", min=0, max=65535, help="Port on 127.0.0.1. Default: any.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Lead a port of this host to a resource until Ctrl-C, for programs that know no proxy.

    It works in every mode and needs no root. Forwards that are always there belong into the daemon's
    settings: forwards = ["15432=db.corp.internal:5432"].

    \b
    Example:
      ostiary forward db.corp.internal:5432 15432 &
      psql -h 127.0.0.1 -p 15432
    """
    from client.cli import forward

    raise typer.Exit(forward.forward(target, listen, as_json=as_json))


def declare(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (set_command, get_command, accounts_command, switch_command, forward_command):
        app.command(command.__name__.removesuffix("_command"))(command)
