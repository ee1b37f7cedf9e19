"""Folds of the events of API tokens."""

from controller.domain.appliers import Appliers, applies
from controller.domain.events.tokens import ApiTokenCreated, ApiTokenRevoked
from controller.domain.index import discard, put, without
from controller.domain.model import ApiToken
from controller.domain.state import PolicyState, changed
from protocol.ids import ApiTokenId, UserId

HANDLERS: Appliers = {}


@applies(HANDLERS, ApiTokenCreated)
def _token_created(state: PolicyState, event: ApiTokenCreated, at_ms: int) -> PolicyState:
    token = ApiToken(event.token, event.owner, event.scopes, event.expires, at_ms)
    return changed(
        state,
        api_tokens=state.api_tokens.set(event.token, token),
        api_tokens_of=put(state.api_tokens_of, event.owner, event.token),
    )


@applies(HANDLERS, ApiTokenRevoked)
def _token_revoked(state: PolicyState, event: ApiTokenRevoked, _: int) -> PolicyState:
    return drop_token(state, event.token)


def drop_token(state: PolicyState, token: ApiTokenId) -> PolicyState:
    """Takes a token out; one that went with its owner is gone already."""
    known = state.api_tokens.get(token)
    if known is None:
        return state
    return changed(
        state,
        api_tokens=without(state.api_tokens, token),
        api_tokens_of=discard(state.api_tokens_of, known.owner, token),
    )


def drop_tokens_of(state: PolicyState, owner: UserId) -> PolicyState:
    """Takes out all tokens of somebody who was disabled or removed."""
    for token in state.api_tokens_of.get(owner, ()):
        state = drop_token(state, token)
    return state
