"""Folds of the events of passkeys: the policy does not depend on them."""

from controller.domain import events as e
from controller.domain.appliers import Appliers, applies
from controller.domain.state import PolicyState

HANDLERS: Appliers = {}


@applies(HANDLERS, e.UserPasskeyAdded)
def _added(state: PolicyState, _event: e.UserPasskeyAdded, _: int) -> PolicyState:
    return state


@applies(HANDLERS, e.UserPasskeyRenamed)
def _renamed(state: PolicyState, _event: e.UserPasskeyRenamed, _: int) -> PolicyState:
    return state


@applies(HANDLERS, e.UserPasskeyRemoved)
def _removed(state: PolicyState, _event: e.UserPasskeyRemoved, _: int) -> PolicyState:
    return state
