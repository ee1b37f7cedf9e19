"""Decisions about personal data, and that their fold changes no policy (T-9)."""

from policy_world import World, fresh_id

from controller.domain import commands as c
from controller.domain.commands_personal import ErasePersonalData, RenameUser
from controller.domain.model import Role
from protocol.ids import UserId
from protocol.reasons import Reason


def test_a_rename_is_an_event_without_the_name() -> None:
    world = World()
    user = world.user()
    before = world.state.users
    world.do(RenameUser(user))
    assert world.changes[-1].event.TYPE == "user.renamed/1"
    assert world.state.users == before
    assert world.state.version_of(user) == 2
    assert world.refused(RenameUser(UserId(fresh_id("user"))))[0] is Reason.NOT_FOUND


def test_only_of_accounts_that_are_not_in_use_is_personal_data_erased() -> None:
    world = World()
    world.user(Role.OWNER)
    user = world.user()
    assert world.refused(ErasePersonalData(user))[0] is Reason.IN_USE
    world.do(c.DisableUser(user))
    world.do(ErasePersonalData(user))
    assert world.changes[-1].event.TYPE == "user.personal_data_erased/1"
    world.do(c.RemoveUser(user))
    world.do(ErasePersonalData(user))
    assert world.state.version_of(user) == 5
    for nobody in (fresh_id("user"), "controller", world.network()):
        assert world.refused(ErasePersonalData(UserId(nobody)))[0] is Reason.NOT_FOUND
