"""Folds of the events of personal data: the policy does not know any."""

from controller.domain.appliers import Appliers, applies
from controller.domain.events.personal import UserPersonalDataErased, UserRenamed
from controller.domain.state import PolicyState

HANDLERS: Appliers = {}


@applies(HANDLERS, UserRenamed)
def _renamed(state: PolicyState, _event: UserRenamed, _: int) -> PolicyState:
    return state


@applies(HANDLERS, UserPersonalDataErased)
def _erased(state: PolicyState, _event: UserPersonalDataErased, _: int) -> PolicyState:
    return state
