"""Declares `ostiary dns`. What the commands do is imported when one is run."""

from typing import Annotated

import typer

from runtime.command_line import JsonOption, command_group

app = command_group("How names of resources are answered on this host.", name="dns")


@app.command("status")
def status(as_json: JsonOption = False) -> None:
    """Say how questions come to the client, and where those go that are not about resources.

    Exit code 3 while no question comes here.

    \b
    Example:
      ostiary dns status
    """
    from client.cli import dns

    raise typer.Exit(dns.status(as_json=as_json))


@app.command("query")
def query(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name, as a program would ask for it.")],
    kind: Annotated[str, typer.Option("--type", "-t", metavar="TYPE", help="A, AAAA, HTTPS, SRV, TXT, MX, PTR…")] = "A",
    as_json: JsonOption = False,
) -> None:
    """Ask about a name as a program on this host would, and say who answered, what, and why not.

    Exit code 0 for an answer, 1 when there is none, 3 when the client is not up or whoever was asked cannot be reached,
    7 when there was no answer in time, 8 when the question was refused.

    \b
    Examples:
      ostiary dns query db.corp.internal
      ostiary dns query _ldap._tcp.corp.internal --type SRV
    """
    from client.cli import dns

    raise typer.Exit(dns.query(name, kind, as_json=as_json))


@app.command("reset")
def reset(
    forget: Annotated[
        bool, typer.Option("--forget", help="Forget the names that strict DNS keeps on this host, too. Needs root.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Forget what connectors said about names, and make this host's resolver settings anew.

    --forget opens names that strict DNS has kept from an earlier whitelist, for example after `ostiary down`.

    \b
    Examples:
      ostiary dns reset
      sudo ostiary dns reset --forget
    """
    from client.cli import dns

    raise typer.Exit(dns.reset(forget=forget, as_json=as_json))
