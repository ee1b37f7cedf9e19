"""Who acts: a person, a token of his, or trusted code (T-16)."""

import pytest
from policy_world import FAR, World, fresh_id

from controller.domain import commands as c
from controller.domain import commands_tokens as t
from controller.domain.model import Role
from controller.domain.permissions import ROLE_PERMISSIONS, Permission
from controller.domain.standing import acts_for_a_person, standing_of
from protocol.ids import ApiTokenId


@pytest.mark.parametrize(
    ("actor", "person"), [("usr_x", True), ("apt_x", True), ("cli", False), ("system", False), ("con_x", False)]
)
def test_people_and_their_tokens_are_checked(actor: str, person: bool) -> None:
    assert acts_for_a_person(actor) is person


def test_a_person_holds_what_his_role_holds() -> None:
    world = World()
    for role in Role:
        user = world.user(role)
        found = standing_of(world.state, user)
        assert found is not None
        assert (found.actor, found.user.id, found.permissions) == (user, user, ROLE_PERMISSIONS[role])
        assert found.may(Permission.SELF_READ)
        assert found.outranks(Role.MEMBER) is (role is not Role.MEMBER)


def test_t16_a_token_follows_its_owner_at_once() -> None:
    world = World()
    user = world.user(Role.ADMIN)
    token = ApiTokenId(fresh_id("api_token"))
    world.do(t.CreateApiToken(token, user, ("grants:write", "self:read"), FAR))
    found = standing_of(world.state, token)
    assert found is not None
    assert (found.actor, found.user.id) == (token, user)
    assert found.permissions == {Permission.GRANTS_WRITE, Permission.SELF_READ}
    world.do(c.ChangeUserRole(user, Role.MEMBER))
    found = standing_of(world.state, token)
    assert found is not None
    assert found.permissions == {Permission.SELF_READ}
    world.do(c.DisableUser(user))
    assert standing_of(world.state, token) is None
    assert standing_of(world.state, user) is None
    assert standing_of(world.state, "usr_unknown") is None
