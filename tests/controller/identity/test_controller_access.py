"""Who may do what, asked outside of the domain's commands (T-16)."""

from collections.abc import Mapping

import pytest
from immutables import Map

from controller.domain.model import ApiToken, Role, User
from controller.domain.permissions import Permission
from controller.domain.standing import Standing
from controller.domain.state import PolicyState
from controller.identity import access
from protocol.errors import RefusedError
from protocol.ids import ApiTokenId, UserId
from protocol.reasons import Reason

OWNER = User(UserId("usr_o"), Role.OWNER, 0)
ADMIN = User(UserId("usr_a"), Role.ADMIN, 0)
AUDITOR = User(UserId("usr_u"), Role.AUDITOR, 0)
MEMBER = User(UserId("usr_m"), Role.MEMBER, 0)
GONE = User(UserId("usr_d"), Role.OWNER, 0, disabled=True)
TOKEN = ApiTokenId("apt_t")


def state_of(*users: User, tokens: Mapping[ApiTokenId, ApiToken] | None = None) -> PolicyState:
    return PolicyState(users=Map({user.id: user for user in users}), api_tokens=Map(tokens or {}))


def standing(user: User) -> Standing:
    return access.require_standing(state_of(user), user.id)


@pytest.mark.parametrize(
    ("user", "permission", "allowed"),
    [
        (OWNER, Permission.KEYS_WRITE, True),
        (ADMIN, Permission.KEYS_WRITE, False),
        (ADMIN, Permission.GRANTS_WRITE, True),
        (AUDITOR, Permission.GRANTS_WRITE, False),
        (AUDITOR, Permission.GRANTS_READ, True),
        (MEMBER, Permission.GRANTS_READ, False),
        (MEMBER, Permission.SELF_WRITE, True),
    ],
)
def test_a_permission_is_held_or_refused(user: User, permission: Permission, allowed: bool) -> None:
    if allowed:
        access.require(standing(user), permission)
        return
    with pytest.raises(RefusedError) as refused:
        access.require(standing(user), permission)
    assert refused.value.reason is Reason.FORBIDDEN
    assert permission.value in refused.value.detail


def test_what_is_ones_own_needs_less() -> None:
    access.require(standing(MEMBER), Permission.DEVICES_READ, own=Permission.SELF_READ)
    with pytest.raises(RefusedError):
        access.require(standing(MEMBER), Permission.DEVICES_READ)


@pytest.mark.parametrize(
    ("users", "actor", "reason"),
    [
        ((), OWNER.id, Reason.SIGN_IN_REQUIRED),
        ((GONE,), GONE.id, Reason.USER_DISABLED),
        ((OWNER,), "apt_unknown", Reason.SIGN_IN_REQUIRED),
        ((GONE,), TOKEN, Reason.SIGN_IN_REQUIRED),
        ((), TOKEN, Reason.SIGN_IN_REQUIRED),
    ],
)
def test_who_is_not_there_has_no_standing(users: tuple[User, ...], actor: str, reason: Reason) -> None:
    tokens = {TOKEN: ApiToken(TOKEN, GONE.id, ("self:read",), 1, 0)}
    with pytest.raises(RefusedError) as refused:
        access.require_standing(state_of(*users, tokens=tokens), actor)
    assert refused.value.reason is reason
    if actor == GONE.id:
        with pytest.raises(RefusedError):
            access.require_user(state_of(*users), GONE.id)


def test_a_token_stands_for_its_owner_within_its_scopes() -> None:
    tokens = {TOKEN: ApiToken(TOKEN, OWNER.id, ("self:read", "keys:write"), 1, 0)}
    found = access.require_standing(state_of(OWNER, tokens=tokens), TOKEN)
    assert (found.actor, found.user) == (TOKEN, OWNER)
    assert found.permissions == {Permission.SELF_READ, Permission.KEYS_WRITE}


def test_an_account_that_is_gone_is_not_signed_in() -> None:
    with pytest.raises(RefusedError) as refused:
        access.require_user(PolicyState(), OWNER.id)
    assert refused.value.reason is Reason.SIGN_IN_REQUIRED


def test_t16_nobody_changes_an_account_of_his_own_rank_but_an_owner() -> None:
    access.require_power_over(standing(OWNER), OWNER)
    access.require_power_over(standing(OWNER), ADMIN)
    access.require_power_over(standing(ADMIN), MEMBER)
    access.require_power_over(standing(ADMIN), AUDITOR)
    for actor, target in ((ADMIN, OWNER), (ADMIN, ADMIN), (AUDITOR, MEMBER), (MEMBER, MEMBER), (MEMBER, OWNER)):
        with pytest.raises(RefusedError) as refused:
            access.require_power_over(standing(actor), target)
        assert refused.value.reason is Reason.FORBIDDEN
