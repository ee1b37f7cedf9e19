"""`ostiary admin network|connector|relay|resource`: where things are."""

import re
from typing import Annotated, Final

import typer

from client.cli.admin_common import (
    CONNECTOR,
    NETWORK,
    RELAY,
    RESOURCE,
    JsonOption,
    OutputOption,
    TokenOutOption,
    YesOption,
    administrator,
    by_id,
    chosen,
    confirm,
    delete,
    find,
    group,
    names_of,
    resolve,
    show_enrolment,
)
from client.cli.admin_output import Columns, Output, age, online, show_list, show_one
from client.cli.admin_session import Json
from client.cli.render import ports as ports_text
from client.cli.times import parse_duration, span
from protocol.errors import LocalError
from protocol.reasons import Reason

network = group("Remote networks: places with connectors.")
connector = group("Connectors: they serve a remote network's resources.")
relay = group("Relays: they pair clients and connectors blindly.")
resource = group("Resources: an address, its ports, its remote network.")

NetworkOption = Annotated[str, typer.Option("--network", metavar="NETWORK", help="The remote network, by name or id.")]
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
EgressOption = Annotated[
    list[str] | None,
    typer.Option(
        "--egress-allow",
        metavar="ADDRESS",
        help="Address or CIDR that its connectors may dial although forbidden by default; may be repeated.",
    ),
]
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?")


# --- networks --------------------------------------------------------------------------------------------------------


@network.command("create")
def network_create(
    name: str, egress_allow: EgressOption = None, as_json: JsonOption = False, output: OutputOption = Output.TABLE
) -> None:
    """Create a remote network.

    \b
    Example:
      ostiary admin network create office
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        made = api.post("networks", {"name": name, "egress_allow": egress_allow or []})
        show_one(made, output, sentence=f"network {made['name']} created ({made['id']})")


@network.command("list")
def network_list(as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """List the remote networks.

    \b
    Example:
      ostiary admin network list
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        columns: Columns = [
            ("NAME", "name"),
            ("CREATED", age("created_at")),
            ("EGRESS ALLOWED", "egress_allow"),
            ("ID", "id"),
        ]
        show_list(api.items("networks"), columns, output, empty="next: ostiary admin network create NAME")


@network.command("rename")
def network_rename(name: str, new_name: str, as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Give a remote network another name.

    \b
    Example:
      ostiary admin network rename office headquarters
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        changed = api.patch(f"networks/{resolve(api, NETWORK, name)}", {"name": new_name})
        show_one(changed, output, sentence=f"the network is now called {changed['name']}")


@network.command("delete")
def network_delete(
    name: str, yes: YesOption = False, as_json: JsonOption = False, output: OutputOption = Output.TABLE
) -> None:
    """Delete a remote network that has neither connectors nor resources.

    \b
    Example:
      ostiary admin network delete office --yes
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        confirm(f"Delete the network {name}?", yes=yes)
        delete(api, "networks", resolve(api, NETWORK, name), output, f"network {name} deleted")


# --- connectors ------------------------------------------------------------------------------------------------------


@connector.command("create")
def connector_create(
    name: str,
    in_network: NetworkOption,
    token_out: TokenOutOption = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create a connector and print its one-time enrolment token.

    \b
    Example:
      ostiary admin connector create office-1 --network office
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        made = api.post("connectors", {"name": name, "network": resolve(api, NETWORK, in_network)})
        sentence = f"connector {made['name']} created ({made['id']})"
        command = "sudo ostiary-connector enroll"
        show_enrolment(made, output, sentence=sentence, command=command, token_out=token_out)


@connector.command("list")
def connector_list(as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """List the connectors: online since when, relays, flows.

    \b
    Example:
      ostiary admin connector list
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        names = names_of(api, NETWORK) if output is Output.TABLE else {}
        columns: Columns = [
            ("NAME", "name"),
            ("NETWORK", by_id(names, "network")),
            ("STATE", online),
            ("RELAYS", lambda item: len(item.get("relays") or ())),
            ("FLOWS", lambda item: item.get("flows", 0)),
            ("HOST", "hostname"),
            ("VERSION", "software"),
            ("ID", "id"),
        ]
        empty = "next: ostiary admin connector create NAME --network NETWORK"
        show_list(api.items("connectors"), columns, output, empty=empty)


@connector.command("show")
def connector_show(name: str, as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """Show everything that is known about a connector.

    \b
    Example:
      ostiary admin connector show office-1
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        show_one(find(api, CONNECTOR, name), output)


@connector.command("token")
def connector_token(
    name: str,
    token_out: TokenOutOption = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a new enrolment token; an unused earlier one is void.

    \b
    Example:
      ostiary admin connector token office-1 --token-out office-1.token
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        made = api.post(f"connectors/{resolve(api, CONNECTOR, name)}/enrolment")
        sentence, command = f"new token for the connector {name}", "sudo ostiary-connector enroll"
        show_enrolment(made, output, sentence=sentence, command=command, token_out=token_out)


@connector.command("delete")
def connector_delete(
    name: str, yes: YesOption = False, as_json: JsonOption = False, output: OutputOption = Output.TABLE
) -> None:
    """Delete a connector; its connections end at once.

    \b
    Example:
      ostiary admin connector delete office-1
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        confirm(f"Delete the connector {name} and end its connections?", yes=yes)
        delete(api, "connectors", resolve(api, CONNECTOR, name), output, f"connector {name} deleted")


# --- relays ----------------------------------------------------------------------------------------------------------


@relay.command("create")
def relay_create(
    name: str,
    fqdn: Annotated[str, typer.Option("--fqdn", help="The name under which clients and connectors reach it.")],
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Its TCP port.")] = 8444,
    token_out: TokenOutOption = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create a relay and print its one-time enrolment token.

    \b
    Example:
      ostiary admin relay create relay-1 --fqdn relay.corp.example --port 8444
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        made = api.post("relays", {"name": name, "fqdn": fqdn, "port": port})
        sentence, command = f"relay {made['name']} created ({made['id']})", "sudo ostiary-relay enroll"
        show_enrolment(made, output, sentence=sentence, command=command, token_out=token_out)


@relay.command("list")
def relay_list(as_json: JsonOption = False, output: OutputOption = Output.TABLE) -> None:
    """List the relays: online since when, attached connectors, pairs.

    \b
    Example:
      ostiary admin relay list
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        columns: Columns = [
            ("NAME", "name"),
            ("ADDRESS", lambda item: f"{item.get('fqdn')}:{item.get('port')}"),
            ("STATE", online),
            ("CONNECTORS", lambda item: item.get("attachments", 0)),
            ("PAIRS", lambda item: item.get("pairs", 0)),
            ("VERSION", "software"),
            ("ID", "id"),
        ]
        show_list(api.items("relays"), columns, output, empty="next: ostiary admin relay create NAME --fqdn NAME")


@relay.command("token")
def relay_token(
    name: str,
    token_out: TokenOutOption = None,
    as_json: JsonOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make a new enrolment token; an unused earlier one is void.

    \b
    Example:
      ostiary admin relay token relay-1
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        made = api.post(f"relays/{resolve(api, RELAY, name)}/enrolment")
        sentence, command = f"new token for the relay {name}", "sudo ostiary-relay enroll"
        show_enrolment(made, output, sentence=sentence, command=command, token_out=token_out)


@relay.command("delete")
def relay_delete(
    name: str, yes: YesOption = False, as_json: JsonOption = False, output: OutputOption = Output.TABLE
) -> None:
    """Delete a relay; connectors leave it with their next config.

    \b
    Example:
      ostiary admin relay delete relay-1
    """
    output = chosen(output, as_json=as_json)
    with administrator(output) as api:
        confirm(f"Delete the relay {name}?", yes=yes)
        delete(api, "relays", resolve(api, RELAY, name), output, f"relay {name} deleted")


# --- resources -------------------------------------------------------------------------------------------------------


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
