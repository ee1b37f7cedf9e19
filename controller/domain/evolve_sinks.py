"""Folds of the events of sinks: the policy does not depend on them."""

from controller.domain import events as e
from controller.domain.appliers import Appliers, applies
from controller.domain.state import PolicyState

HANDLERS: Appliers = {}


@applies(HANDLERS, e.SinkCreated)
def _created(state: PolicyState, _event: e.SinkCreated, _: int) -> PolicyState:
    return state


@applies(HANDLERS, e.SinkRemoved)
def _removed(state: PolicyState, _event: e.SinkRemoved, _: int) -> PolicyState:
    return state
