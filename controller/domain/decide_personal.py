"""Decisions about personal data (T-9)."""

from controller.domain import commands_personal as p
from controller.domain.events.personal import UserPersonalDataErased, UserRenamed
from controller.domain.handlers import Decided, Handlers, about, handles
from controller.domain.rules import RuleBrokenError, known
from controller.domain.state import PolicyState
from protocol.ids import is_id
from protocol.reasons import Reason

HANDLERS: Handlers = {}


@handles(HANDLERS, p.RenameUser)
def _rename_user(state: PolicyState, command: p.RenameUser) -> Decided:
    known(state.users, command.user, "user")
    return about(command.user, UserRenamed(command.user))


@handles(HANDLERS, p.ErasePersonalData)
def _erase_personal_data(state: PolicyState, command: p.ErasePersonalData) -> Decided:
    user = state.users.get(command.user)
    if user is None and not (is_id(command.user, "user") and state.version_of(command.user)):
        raise RuleBrokenError(Reason.NOT_FOUND, "there is and was no such user")
    if user is not None and not user.disabled:
        raise RuleBrokenError(Reason.IN_USE, "the account is in use; disable or remove it first")
    return about(command.user, UserPersonalDataErased(command.user))
