"""Decisions about tests of destinations: never of anything but a resource of the connector's own network (T-32, T-38)."""

from controller.domain import commands_connector_tests as t
from controller.domain import events as e
from controller.domain.evaluate import config_acl
from controller.domain.handlers import Decided, Handlers, about, handles
from controller.domain.rules import RuleBrokenError, known
from controller.domain.state import PolicyState
from protocol.acl.decide import decide
from protocol.acl.model import Permit, Request, Transport
from protocol.reasons import Reason

HANDLERS: Handlers = {}


@handles(HANDLERS, t.OrderConnectorTest)
def _order(state: PolicyState, command: t.OrderConnectorTest) -> Decided:
    connector = known(state.connectors, command.connector, "connector")
    request = Request(command.host, Transport.TCP, command.port)
    decision = decide(config_acl(state, connector.id), request, state.at_ms / 1000)
    if not isinstance(decision, Permit):
        raise RuleBrokenError(Reason.FORBIDDEN, "this is part of no resource of the connector's remote network")
    event = e.ConnectorTestOrdered(connector.id, decision.entry.resource.id, str(command.host), command.port)
    return about("connector_tests", event)
