"""Declares the user's commands that look and tell: ping, wait, events, netcheck, report, notify, completion.

What they do is imported when one is run.
"""

from enum import StrEnum
from typing import Annotated

import typer

from runtime.command_line import JsonOption


class WaitFor(StrEnum):
    """What `ostiary wait` can wait for."""

    LIVE = "live"
    READY = "ready"
    RESOURCE = "resource"


def ping(
    target: Annotated[
        str, typer.Argument(metavar="RESOURCE", help="HOST[:PORT], or the name of a resource that has one address.")
    ],
    count: Annotated[int, typer.Option("--count", "-c", min=1, max=1000, help="How often, one second apart.")] = 1,
    udp: Annotated[
        bool, typer.Option("--udp", help="A resource that speaks UDP: the last step is the connector.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Go to a resource step by step, through to the end, with the time of each step.

    The steps are those of a connection: policy, controller, tunnel, relay, connector, resource. The first that fails is
    named with the next command. It opens one real connection to the resource and closes it.

    \b
    Examples:
      ostiary ping db.corp.internal:5432
      ostiary ping Payroll -c 3
    """
    from client.cli import checking

    raise typer.Exit(checking.ping(target, count=count, udp=udp, as_json=as_json))


def wait(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="With --for resource: which, as for `ostiary ping`.", show_default=False),
    ] = None,
    what: Annotated[
        WaitFor,
        typer.Option(
            "--for", help="live: the daemon answers. ready: a connector answers. resource: this resource accepts."
        ),
    ] = WaitFor.READY,
    timeout: Annotated[str, typer.Option(metavar="TIME", help="Give up after this long, exit code 7.")] = "60s",
    as_json: JsonOption = False,
) -> None:
    """Come back when the client, or one resource, can be used: for scripts, and for services that need the network.

    \b
    Examples:
      ostiary wait && make deploy
      ostiary wait --for resource db.corp.internal:5432 --timeout 5m
    """
    from client.cli import checking

    raise typer.Exit(checking.wait(what.value, name, timeout=timeout, as_json=as_json))


def events(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    count: Annotated[int, typer.Option("--lines", "-n", min=0, max=1000, help="How many to begin with.")] = 20,
    trouble: Annotated[
        bool, typer.Option("--trouble", help="Only what was denied or cut, and changes of the client itself.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what happened to this host's connections: held, allowed, denied, given up, cut or closed, and why.

    With --json each line is one JSON object. They are kept in the daemon's memory, the last 1,000.

    \b
    Examples:
      ostiary events -f
      ostiary events --trouble --json -f | tee trouble.jsonl
    """
    from client.cli import watching

    raise typer.Exit(watching.events(count, follow=follow, trouble=trouble, as_json=as_json))


def netcheck(
    url: Annotated[
        str | None,
        typer.Argument(help="The controller, when no daemon runs that knows it.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check what this network lets through: addresses, names, proxy, controller, captive portal, clock, relays.

    It asks nobody but the controller and its relays. With a daemon it uses the daemon's CA, proxy and routes; without one
    it needs the controller's URL.

    \b
    Examples:
      ostiary netcheck
      ostiary netcheck https://ostiary.corp.example
    """
    from client.cli import checking

    raise typer.Exit(checking.netcheck(url, as_json=as_json))


def report(
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Default: ostiary-report-TIME.tar.gz here.")
    ] = None,
    anonymise: Annotated[
        bool,
        typer.Option("--anonymise", help="Replace the names of resources, networks and private addresses as well."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Collect everything that helps to find a fault into one archive of plain text; nothing is sent anywhere.

    Secrets are taken out; people, this host's name and public addresses become numbers. What is in it is listed.

    \b
    Examples:
      ostiary report
      ostiary report --anonymise -o /tmp/for-the-helpdesk.tar.gz
    """
    from client.cli import bundle

    raise typer.Exit(bundle.report(output, anonymise=anonymise, as_json=as_json))


def notify(
    once: Annotated[
        bool, typer.Option("--test", help="Show one notification, to see whether that works, and end.")
    ] = False,
) -> None:
    """Show desktop notifications when a connection is denied or cut, and when you must sign in.

    Run it as yourself, for example from the desktop's autostart; the daemon does not. Without a session bus it says so and
    ends with exit code 3.

    \b
    Examples:
      ostiary notify --test
      ostiary notify &
    """
    from client.cli import notifying

    raise typer.Exit(notifying.notify(once=once))


class Shell(StrEnum):
    """For which `ostiary completion` writes a script."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    shell: Annotated[Shell, typer.Argument(help="The shell that is to complete `ostiary`.")],
) -> None:
    """Print a script that completes commands, options and the names of your resources.

    \b
    Examples:
      ostiary completion bash > ~/.local/share/bash-completion/completions/ostiary
      ostiary completion zsh > "${fpath[1]}/_ostiary"
      ostiary completion fish > ~/.config/fish/completions/ostiary.fish
    """
    from client.cli import completion as scripts

    raise typer.Exit(scripts.show(shell.value))


def declare(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (ping, wait, events, netcheck, report, notify, completion):
        app.command(command.__name__)(command)
