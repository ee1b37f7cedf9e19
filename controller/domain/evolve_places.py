"""Folds of the events of networks, connectors, relays and resources."""

from dataclasses import replace

from controller.domain import events as e
from controller.domain.appliers import Appliers, applies
from controller.domain.evolve_policies import drop_exclusions
from controller.domain.grants import drop_grants
from controller.domain.index import discard, put, without
from controller.domain.model import Connector, FormerAgent, Network, Relay
from controller.domain.state import PolicyState, changed, fold_name
from protocol.acl.model import Resource
from protocol.acl.names import parse_pattern
from protocol.reasons import Reason

HANDLERS: Appliers = {}


@applies(HANDLERS, e.NetworkCreated)
def _network_created(state: PolicyState, event: e.NetworkCreated, at_ms: int) -> PolicyState:
    return changed(
        state,
        networks=state.networks.set(event.network, Network(event.network, event.name, at_ms)),
        names=state.names.set(("network", fold_name(event.name)), event.network),
    )


@applies(HANDLERS, e.NetworkRenamed)
def _network_renamed(state: PolicyState, event: e.NetworkRenamed, _: int) -> PolicyState:
    old = state.networks[event.network]
    names = without(state.names, ("network", fold_name(old.name)))
    return changed(
        state,
        networks=state.networks.set(event.network, replace(old, name=event.name)),
        names=names.set(("network", fold_name(event.name)), event.network),
    )


@applies(HANDLERS, e.NetworkEgressChanged)
def _network_egress_changed(state: PolicyState, event: e.NetworkEgressChanged, _: int) -> PolicyState:
    network = replace(state.networks[event.network], egress_allow=event.allow)
    return changed(state, networks=state.networks.set(event.network, network))


@applies(HANDLERS, e.NetworkRemoved)
def _network_removed(state: PolicyState, event: e.NetworkRemoved, _: int) -> PolicyState:
    old = state.networks[event.network]
    return changed(
        state,
        networks=state.networks.delete(event.network),
        names=without(state.names, ("network", fold_name(old.name))),
    )


@applies(HANDLERS, e.ConnectorCreated)
def _connector_created(state: PolicyState, event: e.ConnectorCreated, at_ms: int) -> PolicyState:
    connector = Connector(event.connector, event.network, event.name, at_ms)
    return changed(
        state,
        connectors=state.connectors.set(event.connector, connector),
        connectors_in=put(state.connectors_in, event.network, event.connector),
        names=state.names.set(("connector", fold_name(event.name)), event.connector),
    )


@applies(HANDLERS, e.ConnectorEnrolled)
def _connector_enrolled(state: PolicyState, event: e.ConnectorEnrolled, _: int) -> PolicyState:
    old = state.connectors[event.connector]
    connector = Connector(old.id, old.network, old.name, old.created_ms, key=event.jwk, pin=event.pin)
    return changed(state, connectors=state.connectors.set(event.connector, connector))


@applies(HANDLERS, e.ConnectorRemoved)
def _connector_removed(state: PolicyState, event: e.ConnectorRemoved, _: int) -> PolicyState:
    old = state.connectors[event.connector]
    former = state.former_agents
    if old.key is not None:
        former = former.set(old.id, FormerAgent(old.id, old.key, Reason.ACCESS_REVOKED))
    return changed(
        state,
        connectors=state.connectors.delete(event.connector),
        connectors_in=discard(state.connectors_in, old.network, event.connector),
        names=without(state.names, ("connector", fold_name(old.name))),
        former_agents=former,
    )


@applies(HANDLERS, e.RelayCreated)
def _relay_created(state: PolicyState, event: e.RelayCreated, at_ms: int) -> PolicyState:
    relay = Relay(event.relay, event.name, event.fqdn, event.port, at_ms)
    return changed(
        state,
        relays=state.relays.set(event.relay, relay),
        names=state.names.set(("relay", fold_name(event.name)), event.relay),
    )


@applies(HANDLERS, e.RelayEnrolled)
def _relay_enrolled(state: PolicyState, event: e.RelayEnrolled, _: int) -> PolicyState:
    relay = replace(state.relays[event.relay], key=event.jwk)
    return changed(state, relays=state.relays.set(event.relay, relay))


@applies(HANDLERS, e.RelayRemoved)
def _relay_removed(state: PolicyState, event: e.RelayRemoved, _: int) -> PolicyState:
    old = state.relays[event.relay]
    return changed(
        state,
        relays=state.relays.delete(event.relay),
        names=without(state.names, ("relay", fold_name(old.name))),
    )


@applies(HANDLERS, e.ResourceCreated)
def _resource_created(state: PolicyState, event: e.ResourceCreated, _: int) -> PolicyState:
    return _with_resource(state, event)


@applies(HANDLERS, e.ResourceChanged)
def _resource_changed(state: PolicyState, event: e.ResourceChanged, _: int) -> PolicyState:
    return _with_resource(_without_resource(state, state.resources[event.resource]), event)


@applies(HANDLERS, e.ResourceRemoved)
def _resource_removed(state: PolicyState, event: e.ResourceRemoved, _: int) -> PolicyState:
    state = drop_grants(state, state.grants_on.get(event.resource, ()))
    state = drop_exclusions(state, state.exclusions_on.get(event.resource, ()))
    return _without_resource(state, state.resources[event.resource])


def _with_resource(state: PolicyState, event: e.ResourceCreated | e.ResourceChanged) -> PolicyState:
    resource = Resource(
        event.resource, event.name, event.network, parse_pattern(event.address), event.ports, event.lease_s
    )
    return changed(
        state,
        resources=state.resources.set(resource.id, resource),
        resources_in=put(state.resources_in, resource.network, resource.id),
        addresses=state.addresses.set((resource.network, event.address), resource.id),
        names=state.names.set(("resource", fold_name(resource.name)), resource.id),
    )


def _without_resource(state: PolicyState, old: Resource) -> PolicyState:
    return changed(
        state,
        resources=state.resources.delete(old.id),
        resources_in=discard(state.resources_in, old.network, old.id),
        addresses=without(state.addresses, (old.network, str(old.address))),
        names=without(state.names, ("resource", fold_name(old.name))),
    )
