"""Folds of the events of tests: the policy does not depend on them."""

from controller.domain import events as e
from controller.domain.appliers import Appliers, applies
from controller.domain.state import PolicyState

HANDLERS: Appliers = {}


@applies(HANDLERS, e.ConnectorTestOrdered)
def _ordered(state: PolicyState, _event: e.ConnectorTestOrdered, _: int) -> PolicyState:
    return state
