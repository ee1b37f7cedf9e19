"""Decisions about a connector's own key (C5, F-23)."""

from controller.domain import commands_connector_keys as k
from controller.domain import events as e
from controller.domain import rules
from controller.domain.handlers import Decided, Handlers, about, handles
from controller.domain.model import Connector
from controller.domain.rules import RuleBrokenError, known
from controller.domain.state import PolicyState
from protocol.ids import ConnectorId
from protocol.limits import KEY_OVERLAP_S
from protocol.reasons import Reason

HANDLERS: Handlers = {}


@handles(HANDLERS, k.AnnounceConnectorKey)
def _announce(state: PolicyState, command: k.AnnounceConnectorKey) -> Decided:
    connector = _enrolled(state, command.connector)
    rules.pin(command.pin)
    if command.key == connector.next_key:
        return about(connector.id)
    others = (other for other in state.connectors.values() if command.key in (other.key, other.next_key))
    if command.key in state.device_by_key or next(others, None) is not None:
        raise RuleBrokenError(Reason.ALREADY_EXISTS, "this key is in use")
    return about(connector.id, e.ConnectorKeyAnnounced(connector.id, command.key, command.pin))


@handles(HANDLERS, k.RotateConnectorKey)
def _rotate(state: PolicyState, command: k.RotateConnectorKey) -> Decided:
    connector = _enrolled(state, command.connector)
    if command.key == connector.key:
        return about(connector.id)
    if command.key != connector.next_key or connector.next_pin is None:
        raise RuleBrokenError(Reason.CONFLICT, f"connector {connector.id} announced another key, or none")
    until = rules.unix_time(command.at, "at") + KEY_OVERLAP_S
    return about(connector.id, e.ConnectorKeyRotated(connector.id, command.key, connector.next_pin, until))


def _enrolled(state: PolicyState, connector_id: ConnectorId) -> Connector:
    connector = known(state.connectors, connector_id, "connector")
    if connector.key is None:
        raise RuleBrokenError(Reason.NOT_FOUND, f"connector {connector_id} is not enrolled")
    return connector
