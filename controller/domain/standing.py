"""Who acts, and what he may do at this moment: a person by himself, or through one of his API tokens.

Actors of the log are ``usr_…`` (a session of that person) and ``apt_…`` (an API token, which acts for its owner). Both are
looked up in the state, so that a disabled account, a changed role or a revoked token counts at once, also inside the write
transaction (T-16).
"""

from dataclasses import dataclass

from controller.domain.model import Role, User
from controller.domain.permissions import Permission, outranks, permissions_of
from controller.domain.state import PolicyState
from protocol.ids import PREFIXES, ApiTokenId, UserId

_USER = PREFIXES["user"] + "_"
_TOKEN = PREFIXES["api_token"] + "_"


@dataclass(frozen=True, slots=True)
class Standing:
    """``actor`` acts for ``user`` and holds ``permissions``."""

    actor: str
    user: User
    permissions: frozenset[Permission]

    def may(self, permission: Permission) -> bool:
        """Whether the permission is held."""
        return permission in self.permissions

    def outranks(self, role: Role) -> bool:
        """Whether the actor stands above ``role``."""
        return outranks(self.permissions, role)


def acts_for_a_person(actor: str) -> bool:
    """Whether ``actor`` is a person or an API token; others (``cli``, ``system``, an agent) admitted the caller themselves."""
    return actor.startswith((_USER, _TOKEN))


def standing_of(state: PolicyState, actor: str) -> Standing | None:
    """Returns what a person or an API token may do; None when there is no such account or token, or it is disabled."""
    scopes = None
    owner = UserId(actor)
    if actor.startswith(_TOKEN):
        token = state.api_tokens.get(ApiTokenId(actor))
        if token is None:
            return None
        owner, scopes = token.owner, token.scopes
    user = state.users.get(owner)
    if user is None or user.disabled:
        return None
    return Standing(actor, user, permissions_of(user.role, scopes))
