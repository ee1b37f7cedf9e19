"""Passkeys leave their trace in the log (T-9)."""

import pytest
from policy_world import World, fresh_id

from controller.domain.commands_passkeys import AddPasskey, RemovePasskey, RenamePasskey
from controller.domain.events import UserPasskeyAdded, UserPasskeyRemoved, UserPasskeyRenamed
from protocol.ids import UserId
from protocol.reasons import Reason


def test_t9_a_passkey_is_added_renamed_and_removed() -> None:
    world, passkey = World(), fresh_id("passkey")
    user = world.user()
    assert world.do(AddPasskey(user, passkey)) == (UserPasskeyAdded(user, passkey),)
    assert world.do(RenamePasskey(user, passkey)) == (UserPasskeyRenamed(user, passkey),)
    assert world.do(RemovePasskey(user, passkey)) == (UserPasskeyRemoved(user, passkey),)


@pytest.mark.parametrize("command", [AddPasskey, RenamePasskey, RemovePasskey])
def test_nobody_has_none(command: type[AddPasskey]) -> None:
    assert World().refused(command(UserId(fresh_id("user")), fresh_id("passkey")))[0] is Reason.NOT_FOUND


def test_an_id_of_something_else_is_refused() -> None:
    world = World()
    assert world.refused(AddPasskey(world.user(), fresh_id("sink")))[0] is Reason.INVALID_INPUT
