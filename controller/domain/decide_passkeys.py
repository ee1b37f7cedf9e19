"""Decisions about passkeys: each leaves its trace in the log."""

from controller.domain import commands_passkeys as p
from controller.domain import events as e
from controller.domain.handlers import Decided, Handlers, about, handles
from controller.domain.rules import RuleBrokenError, known
from controller.domain.state import PolicyState
from protocol.ids import is_id
from protocol.reasons import Reason

HANDLERS: Handlers = {}


@handles(HANDLERS, p.AddPasskey)
def _add(state: PolicyState, command: p.AddPasskey) -> Decided:
    if not is_id(command.passkey, "passkey"):
        raise RuleBrokenError(Reason.INVALID_INPUT, "passkey: it is not an id of a passkey")
    user = known(state.users, command.user, "user")
    return about(user.id, e.UserPasskeyAdded(user.id, command.passkey))


@handles(HANDLERS, p.RenamePasskey)
def _rename(state: PolicyState, command: p.RenamePasskey) -> Decided:
    user = known(state.users, command.user, "user")
    return about(user.id, e.UserPasskeyRenamed(user.id, command.passkey))


@handles(HANDLERS, p.RemovePasskey)
def _remove(state: PolicyState, command: p.RemovePasskey) -> Decided:
    user = known(state.users, command.user, "user")
    return about(user.id, e.UserPasskeyRemoved(user.id, command.passkey))
