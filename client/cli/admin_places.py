"""`ostiary admin network|connector|relay`: where things are."""

from typing import Annotated

import typer

from client.cli.admin_common import (
    CONNECTOR,
    NETWORK,
    RELAY,
    JsonOption,
    NetworkOption,
    OutputOption,
    TokenOutOption,
    YesOption,
    administrator,
    by_id,
    chosen,
    confirm,
    delete,
    find,
    names_of,
    resolve,
    show_enrolment,
)
from client.cli.admin_output import Columns, Output, age, online, show_list, show_one
from runtime.command_line import command_group

network = command_group("Remote networks: places with connectors.")
connector = command_group("Connectors: they serve a remote network's resources.")
relay = command_group("Relays: they pair clients and connectors blindly.")

EgressOption = Annotated[
    list[str] | None,
    typer.Option(
        "--egress-allow",
        metavar="ADDRESS",
        help="Address or CIDR that its connectors may dial although forbidden by default; may be repeated.",
    ),
]


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
