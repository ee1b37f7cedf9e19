"""`ostiary admin resource`: what can be granted."""

import re
from typing import Annotated, Final

import typer

from client.cli.admin_common import (
    NETWORK,
    RESOURCE,
    JsonOption,
    NetworkOption,
    OutputOption,
    YesOption,
    administrator,
    by_id,
    chosen,
    confirm,
    delete,
    find,
    names_of,
    resolve,
)
from client.cli.admin_output import Columns, Output, show_list, show_one
from client.cli.admin_session import Json
from client.cli.render import ports as ports_text
from client.cli.times import parse_duration, span
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.command_line import command_group
from runtime.console import warn

resource = command_group("Resources: an address, its ports, its remote network.")

TcpOption = Annotated[
    list[str] | None, typer.Option("--tcp", metavar="PORT", help="80, 8000-8100, 80,443 or all; may be repeated.")
]
UdpOption = Annotated[
    list[str] | None, typer.Option("--udp", metavar="PORT", help="As --tcp, for UDP; may be repeated.")
]
LeaseOption = Annotated[
    str | None,
    typer.Option("--lease", metavar="TIME", help="How long access outlives an unreachable controller: 30s to 24h."),
]
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?")


@resource.command("create")
def resource_create(
    name: str,
    in_network: NetworkOption,
    address: Annotated[str, typer.Option("--address", help="A name, a wildcard (*.dev.internal), an address, a CIDR.")],
    tcp: TcpOption = None,
    udp: UdpOption = None,
    icmp: Annotated[bool, typer.Option("--icmp", help="Allow ping.")] = False,
    lease: LeaseOption = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create a resource. Nobody reaches it until a grant says so; what is not named is not allowed.

    \b
    Examples:
      ostiary admin resource create db --network office --address db.corp.internal --tcp 5432
      ostiary admin resource create lan --network office --address 10.20.0.0/24 --tcp 22 --tcp 8000-8100 --icmp
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        ports = {"tcp": port_list("--tcp", tcp), "udp": port_list("--udp", udp), "icmp": icmp}
        if not (ports["tcp"] or ports["udp"] or icmp):
            raise LocalError(Reason.INVALID_INPUT, "name what is allowed: --tcp PORT, --udp PORT or --icmp")
        body: Json = {"name": name, "address": address, "ports": ports}
        if lease is not None:
            body["lease_s"] = _lease(lease)
        made = api.post("resources", {**body, "network": resolve(api, NETWORK, in_network)})
        sentence = f"resource {made['name']} created ({made['id']}): {made['address']}, {ports_text(made['ports'])}"
        show_one(made, output, sentence=sentence)
        _warn_of_ties(made)


@resource.command("list")
def resource_list(
    in_network: Annotated[str | None, typer.Option("--network", help="Only those of this remote network.")] = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """List the resources.

    \b
    Example:
      ostiary admin resource list --network office
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        names = names_of(api, NETWORK) if output is Output.TABLE else {}
        only = None if in_network is None else resolve(api, NETWORK, in_network)
        columns: Columns = [
            ("NAME", "name"),
            ("ADDRESS", "address"),
            ("PORTS", lambda item: ports_text(item.get("ports"))),
            ("NETWORK", by_id(names, "network")),
            ("LEASE", lambda item: span(float(item.get("lease_s", 0)))),
            ("ID", "id"),
        ]
        empty = "next: ostiary admin resource create NAME --network NETWORK --address ADDRESS --tcp PORT"
        show_list(api.items("resources", {"network": only}), columns, output, empty=empty)


@resource.command("show")
def resource_show(name: str, as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Show a resource.

    \b
    Example:
      ostiary admin resource show db
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        show_one(find(api, RESOURCE, name), output)


@resource.command("update")
def resource_update(
    name: str,
    new_name: Annotated[str | None, typer.Option("--name", help="A new name.")] = None,
    in_network: Annotated[str | None, typer.Option("--network", help="Another remote network.")] = None,
    address: Annotated[str | None, typer.Option("--address", help="Another address.")] = None,
    tcp: Annotated[
        list[str] | None, typer.Option("--tcp", metavar="PORT", help="The whole new list of TCP ports, or none.")
    ] = None,
    udp: Annotated[
        list[str] | None, typer.Option("--udp", metavar="PORT", help="The whole new list of UDP ports, or none.")
    ] = None,
    icmp: Annotated[bool | None, typer.Option("--icmp/--no-icmp", help="Allow ping or not.")] = None,
    lease: LeaseOption = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Change a resource; what is not named stays. Connections that the change forbids are reset.

    \b
    Example:
      ostiary admin resource update db --tcp 5432 --tcp 6432
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        present = find(api, RESOURCE, name)
        body: Json = {"name": new_name, "address": address}
        body["network"] = None if in_network is None else resolve(api, NETWORK, in_network)
        body["lease_s"] = None if lease is None else _lease(lease)
        if tcp or udp or icmp is not None:
            ports = dict(present["ports"])
            ports["tcp"] = port_list("--tcp", tcp) if tcp else ports["tcp"]
            ports["udp"] = port_list("--udp", udp) if udp else ports["udp"]
            body["ports"] = {**ports, "icmp": ports["icmp"] if icmp is None else icmp}
        body = {key: value for key, value in body.items() if value is not None}
        if not body:
            raise LocalError(Reason.INVALID_INPUT, "name what to change, for example --tcp 5432")
        # The ports that were not named come from what was read, so that nobody else's change may be lost.
        changed = api.patch(f"resources/{present['id']}", body, version=present["version"])
        sentence = f"resource {changed['name']}: {changed['address']}, {ports_text(changed['ports'])}"
        show_one(changed, output, sentence=sentence)
        _warn_of_ties(changed)


@resource.command("delete")
def resource_delete(
    name: str, yes: YesOption = False, as_json: JsonOption = False, output: OutputOption = Output.TABLE
) -> None:
    """Delete a resource and its grants; open connections to it are reset.

    \b
    Example:
      ostiary admin resource delete db --yes
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        confirm(f"Delete the resource {name} with its grants?", yes=yes)
        delete(api, "resources", resolve(api, RESOURCE, name), output, f"resource {name} deleted")


def port_list(option: str, given: list[str] | None) -> list[str]:
    """Returns the ports as the API wants them; ``all`` is 1-65535, ``none`` is no port. Raises LocalError."""
    ports: list[str] = []
    for item in (part.strip() for text in given or () for part in text.split(",")):
        if item == "all":
            ports.append("1-65535")
        elif _PORT.fullmatch(item) is not None:
            ports.append(item)
        elif item != "none":
            raise LocalError(
                Reason.INVALID_INPUT, f"{option}: {item!r} is not a port, a range such as 8000-8100, or all"
            )
    return ports


def _lease(text: str) -> int:
    try:
        return int(parse_duration(text))
    except ValueError as exc:
        raise LocalError(Reason.INVALID_INPUT, f"--lease: {exc}") from exc


def _warn_of_ties(item: Json) -> None:
    """Says, on stderr, when the address alone means something else as well: nobody should find that out by accident."""
    for tie in item.get("ties") or ():
        winner = tie.get("name") if tie.get("decides") else item.get("name")
        warn(
            f"{tie.get('name')} in {tie.get('network_name')} has the same address {item.get('address')}; who may reach both gets "
            f"{winner} by the address alone, and either by ADDRESS.NETWORK.net.ostiary.internal (docs/networks.md)"
        )
