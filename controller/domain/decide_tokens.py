"""Decisions about API tokens (T-10, T-16)."""

from typing import Final

from controller.domain import commands_tokens as t
from controller.domain import rules
from controller.domain.events.tokens import ApiTokenCreated, ApiTokenRevoked
from controller.domain.handlers import Decided, Handlers, about, handles
from controller.domain.permissions import TOKEN_SCOPES
from controller.domain.rules import RuleBrokenError, fresh, known
from controller.domain.state import PolicyState
from protocol.reasons import Reason

HANDLERS: Handlers = {}
TOKENS_MAX: Final = 50
"""Per owner, expired ones included until they are revoked: all are in memory."""
_SCOPES: Final = frozenset(item.value for item in TOKEN_SCOPES)


@handles(HANDLERS, t.CreateApiToken)
def _create_token(state: PolicyState, command: t.CreateApiToken) -> Decided:
    fresh(state, command.token, "api_token")
    owner = known(state.users, command.owner, "user")
    if owner.disabled:
        raise RuleBrokenError(Reason.USER_DISABLED, f"user {command.owner}")
    if not command.scopes:
        raise RuleBrokenError(Reason.INVALID_INPUT, "scopes: at least one")
    for scope in command.scopes:
        if scope not in _SCOPES:
            raise RuleBrokenError(Reason.INVALID_INPUT, f"scopes: {rules.printable(scope)} is not a scope of a token")
    if len(state.api_tokens_of.get(command.owner, ())) >= TOKENS_MAX:
        raise RuleBrokenError(Reason.LIMIT_EXCEEDED, f"at most {TOKENS_MAX} tokens; revoke those that are not used")
    scopes = tuple(sorted(set(command.scopes)))
    expires = rules.unix_time(command.expires, "expires_at")
    return about(command.token, ApiTokenCreated(command.token, command.owner, scopes, expires))


@handles(HANDLERS, t.RevokeApiToken)
def _revoke_token(state: PolicyState, command: t.RevokeApiToken) -> Decided:
    known(state.api_tokens, command.token, "API token")
    return about(command.token, ApiTokenRevoked(command.token))
