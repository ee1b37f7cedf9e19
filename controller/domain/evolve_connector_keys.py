"""Folds of the events of a connector's own key."""

from dataclasses import replace

from controller.domain import events as e
from controller.domain.appliers import Appliers, applies
from controller.domain.state import PolicyState, changed

HANDLERS: Appliers = {}


@applies(HANDLERS, e.ConnectorKeyAnnounced)
def _announced(state: PolicyState, event: e.ConnectorKeyAnnounced, _: int) -> PolicyState:
    connector = replace(state.connectors[event.connector], next_key=event.jwk, next_pin=event.pin)
    return changed(state, connectors=state.connectors.set(event.connector, connector))


@applies(HANDLERS, e.ConnectorKeyRotated)
def _rotated(state: PolicyState, event: e.ConnectorKeyRotated, _: int) -> PolicyState:
    old = state.connectors[event.connector]
    connector = replace(
        old,
        key=event.jwk,
        pin=event.pin,
        next_key=None,
        next_pin=None,
        former_pin=old.pin,
        former_until=event.former_until,
    )
    return changed(state, connectors=state.connectors.set(event.connector, connector))
