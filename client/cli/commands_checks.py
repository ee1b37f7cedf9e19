"""Declares the user's commands that look: ping, wait, events, netcheck, report. What they do is imported when one is run."""

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
    """Show what happened to this host's connections: held, allowed, denied and why, cut and why, closed.

    With --json each line is one JSON object. They are kept in the daemon's memory, the last 1,000.

    \b
    Examples:
      ostiary events -f
      ostiary events --trouble --json -f | tee trouble.jsonl
    """
    from client.cli import watching

    raise typer.Exit(watching.events(count, follow=follow, trouble=trouble, as_json=as_json))


def declare(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (ping, wait, events):
        app.command(command.__name__)(command)
