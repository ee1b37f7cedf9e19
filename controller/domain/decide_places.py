"""Decisions about remote networks, connectors, relays and resources."""

from controller.domain import commands as c
from controller.domain import events as e
from controller.domain import rules
from controller.domain.handlers import Decided, Handlers, about, handles
from controller.domain.rules import RuleBrokenError, fresh, known
from controller.domain.state import PolicyState
from protocol.acl.names import normalise_name
from protocol.errors import LocalError
from protocol.ids import NetworkId, RelayId, ResourceId
from protocol.reasons import Reason

HANDLERS: Handlers = {}


@handles(HANDLERS, c.CreateNetwork)
def _create_network(state: PolicyState, command: c.CreateNetwork) -> Decided:
    fresh(state, command.network, "network")
    name = rules.free_name(state, "network", command.name, command.network)
    return about(command.network, e.NetworkCreated(command.network, name))


@handles(HANDLERS, c.RenameNetwork)
def _rename_network(state: PolicyState, command: c.RenameNetwork) -> Decided:
    network = known(state.networks, command.network, "network")
    name = rules.free_name(state, "network", command.name, command.network)
    if name == network.name:
        return about(command.network)
    return about(command.network, e.NetworkRenamed(command.network, name))


@handles(HANDLERS, c.ChangeNetworkEgress)
def _change_egress(state: PolicyState, command: c.ChangeNetworkEgress) -> Decided:
    network = known(state.networks, command.network, "network")
    allow = rules.egress_list(command.allow)
    if allow == network.egress_allow:
        return about(command.network)
    return about(command.network, e.NetworkEgressChanged(command.network, allow))


@handles(HANDLERS, c.RemoveNetwork)
def _remove_network(state: PolicyState, command: c.RemoveNetwork) -> Decided:
    known(state.networks, command.network, "network")
    inside = len(state.connectors_in.get(command.network, ())), len(state.resources_in.get(command.network, ()))
    if any(inside):
        detail = f"network {command.network} has {inside[0]} connectors and {inside[1]} resources"
        raise RuleBrokenError(Reason.IN_USE, detail)
    return about(command.network, e.NetworkRemoved(command.network))


@handles(HANDLERS, c.CreateConnector)
def _create_connector(state: PolicyState, command: c.CreateConnector) -> Decided:
    fresh(state, command.connector, "connector")
    known(state.networks, command.network, "network")
    name = rules.free_name(state, "connector", command.name, command.connector)
    return about(command.connector, e.ConnectorCreated(command.connector, command.network, name))


@handles(HANDLERS, c.EnrolConnector)
def _enrol_connector(state: PolicyState, command: c.EnrolConnector) -> Decided:
    known(state.connectors, command.connector, "connector")
    rules.pin(command.pin)
    return about(command.connector, e.ConnectorEnrolled(command.connector, command.key, command.pin))


@handles(HANDLERS, c.RemoveConnector)
def _remove_connector(state: PolicyState, command: c.RemoveConnector) -> Decided:
    known(state.connectors, command.connector, "connector")
    return about(command.connector, e.ConnectorRemoved(command.connector))


@handles(HANDLERS, c.CreateRelay)
def _create_relay(state: PolicyState, command: c.CreateRelay) -> Decided:
    fresh(state, command.relay, "relay")
    name = rules.free_name(state, "relay", command.name, command.relay)
    fqdn = _fqdn(command.fqdn)
    rules.port(command.port)
    _free_endpoint(state, fqdn, command.port)
    return about(command.relay, e.RelayCreated(command.relay, name, fqdn, command.port))


@handles(HANDLERS, c.EnrolRelay)
def _enrol_relay(state: PolicyState, command: c.EnrolRelay) -> Decided:
    known(state.relays, command.relay, "relay")
    return about(command.relay, e.RelayEnrolled(command.relay, command.key))


@handles(HANDLERS, c.RemoveRelay)
def _remove_relay(state: PolicyState, command: c.RemoveRelay) -> Decided:
    known(state.relays, command.relay, "relay")
    return about(command.relay, e.RelayRemoved(command.relay))


@handles(HANDLERS, c.CreateResource)
def _create_resource(state: PolicyState, command: c.CreateResource) -> Decided:
    fresh(state, command.resource, "resource")
    known(state.networks, command.network, "network")
    name = rules.free_name(state, "resource", command.name, command.resource)
    address = rules.address(command.address)
    _free_address(state, command.network, address, command.resource)
    content = name, address, rules.ports(command.ports), rules.lease(command.lease_s)
    return about(command.resource, e.ResourceCreated(command.resource, command.network, *content))


@handles(HANDLERS, c.ChangeResource)
def _change_resource(state: PolicyState, command: c.ChangeResource) -> Decided:
    old = known(state.resources, command.resource, "resource")
    network = old.network if command.network is None else command.network
    known(state.networks, network, "network")
    wanted = old.name if command.name is None else command.name
    name = rules.free_name(state, "resource", wanted, command.resource)
    address = str(old.address) if command.address is None else rules.address(command.address)
    _free_address(state, network, address, command.resource)
    ports = old.ports if command.ports is None else rules.ports(command.ports)
    lease_s = old.lease_s if command.lease_s is None else rules.lease(command.lease_s)
    if (network, name, address, ports, lease_s) == (old.network, old.name, str(old.address), old.ports, old.lease_s):
        return about(command.resource)
    return about(command.resource, e.ResourceChanged(command.resource, network, name, address, ports, lease_s))


@handles(HANDLERS, c.RemoveResource)
def _remove_resource(state: PolicyState, command: c.RemoveResource) -> Decided:
    known(state.resources, command.resource, "resource")
    return about(command.resource, e.ResourceRemoved(command.resource))


def _fqdn(text: str) -> str:
    try:
        return normalise_name(text)
    except LocalError as exc:
        raise RuleBrokenError(Reason.INVALID_INPUT, f"fqdn: {exc.detail}") from exc


def _free_endpoint(state: PolicyState, fqdn: str, port: int) -> None:
    taken: list[RelayId] = [relay.id for relay in state.relays.values() if (relay.fqdn, relay.port) == (fqdn, port)]
    if taken:
        raise RuleBrokenError(Reason.ALREADY_EXISTS, f"{fqdn}:{port} is relay {taken[0]}")


def _free_address(state: PolicyState, network: NetworkId, address: str, own_id: ResourceId) -> None:
    holder = state.addresses.get((network, address))
    if holder is not None and holder != own_id:
        name = state.resources[holder].name
        raise RuleBrokenError(
            Reason.ALREADY_EXISTS, f"address {address} in this network is resource {name!r} ({holder})"
        )
