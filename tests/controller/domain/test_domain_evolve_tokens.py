"""The fold of API tokens: what is gone leaves nothing behind."""

from policy_world import FAR, World, fresh_id

from controller.domain.events.tokens import ApiTokenCreated, ApiTokenRevoked
from controller.domain.evolve_tokens import drop_token, drop_tokens_of
from protocol.ids import ApiTokenId, UserId


def made(world: World, owner: UserId) -> ApiTokenId:
    token = ApiTokenId(fresh_id("api_token"))
    world.append(ApiTokenCreated(token, owner, ("self:read",), FAR))
    return token


def test_tokens_are_found_by_their_owner() -> None:
    world = World()
    owner, other = world.user(), world.user()
    first, second, third = made(world, owner), made(world, owner), made(world, other)
    assert set(world.state.api_tokens_of[owner]) == {first, second}
    assert world.state.api_tokens[third].owner == other
    world.append(ApiTokenRevoked(first))
    assert set(world.state.api_tokens) == {second, third}
    assert set(world.state.api_tokens_of[owner]) == {second}


def test_dropping_everything_leaves_equal_folds() -> None:
    world = World()
    owner = world.user()
    before = world.state
    token = made(world, owner)
    made(world, owner)
    after = drop_tokens_of(world.state, owner)
    assert (after.api_tokens, after.api_tokens_of) == (before.api_tokens, before.api_tokens_of)
    assert drop_token(after, token) is after


def test_a_revocation_of_what_went_with_its_owner_folds() -> None:
    world = World()
    world.append(ApiTokenRevoked(ApiTokenId(fresh_id("api_token"))))
    assert not world.state.api_tokens
