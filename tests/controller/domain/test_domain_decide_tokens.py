"""Decisions about API tokens and their fold."""

import pytest
from policy_world import FAR, World, fresh_id

from controller.domain import commands as c
from controller.domain import commands_tokens as t
from controller.domain.decide_tokens import TOKENS_MAX
from controller.domain.rules import TIME_MAX_S
from protocol.ids import ApiTokenId, UserId
from protocol.reasons import Reason


def create(owner: UserId, *scopes: str, expires: int = FAR, token: str = "") -> t.CreateApiToken:
    return t.CreateApiToken(ApiTokenId(token or fresh_id("api_token")), owner, scopes, expires)


def test_a_token_lives_until_it_is_revoked() -> None:
    world = World()
    owner = world.user()
    command = create(owner, "self:write", "self:read", "self:read")
    world.do(command)
    made = world.state.api_tokens[command.token]
    assert (made.owner, made.scopes, made.expires) == (owner, ("self:read", "self:write"), FAR)
    assert set(world.state.api_tokens_of[owner]) == {command.token}
    world.do(t.RevokeApiToken(command.token))
    assert not world.state.api_tokens
    assert not world.state.api_tokens_of
    assert world.refused(t.RevokeApiToken(command.token))[0] is Reason.NOT_FOUND
    assert world.refused(command)[0] is Reason.ALREADY_EXISTS


@pytest.mark.parametrize(
    ("scopes", "said"),
    [((), "at least one"), (("fly:write",), "fly:write"), (("credentials:write",), "credentials:write")],
)
def test_scopes_are_permissions_that_a_token_may_carry(scopes: tuple[str, ...], said: str) -> None:
    world = World()
    reason, detail = world.refused(create(world.user(), *scopes))
    assert (reason, said in detail) == (Reason.INVALID_INPUT, True)


def test_what_else_a_token_needs() -> None:
    world = World()
    owner = world.user()
    assert world.refused(create(UserId("usr_x"), "self:read"))[0] is Reason.NOT_FOUND
    assert world.refused(create(owner, "self:read", token="tok_x"))[0] is Reason.INVALID_INPUT
    assert world.refused(create(owner, "self:read", expires=TIME_MAX_S + 1))[0] is Reason.INVALID_INPUT
    world.do(c.DisableUser(owner))
    assert world.refused(create(owner, "self:read"))[0] is Reason.USER_DISABLED


def test_d10_tokens_are_bounded_per_owner() -> None:
    world = World()
    owner = world.user()
    for _ in range(TOKENS_MAX):
        world.do(create(owner, "self:read"))
    assert world.refused(create(owner, "self:read"))[0] is Reason.LIMIT_EXCEEDED
    world.do(create(world.user(), "self:read"))
