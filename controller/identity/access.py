"""What a role may do with the controller itself. Pure; asked before the work and again inside the write (T-16).

    member  itself: its own sessions, devices, password and connections
    admin   everything but signing keys, roles, and the accounts of other admins and owners
    owner   everything

``controller.domain.authority`` says the same about commands; this module is for what is no command (passwords, personal
data, lists) and for answering before the work.

Access to resources has nothing to do with roles: it comes from grants only.
"""

from controller.domain.model import Role, User
from controller.domain.state import PolicyState
from protocol.errors import RefusedError
from protocol.ids import UserId
from protocol.reasons import Reason

_RANK = {Role.MEMBER: 0, Role.ADMIN: 1, Role.OWNER: 2}


def require_user(state: PolicyState, user: UserId) -> User:
    """Returns the living, enabled account. Raises RefusedError SIGN_IN_REQUIRED or USER_DISABLED."""
    account = state.users.get(user)
    if account is None:
        raise RefusedError(Reason.SIGN_IN_REQUIRED, "the account is gone")
    if account.disabled:
        raise RefusedError(Reason.USER_DISABLED)
    return account


def require_role(state: PolicyState, user: UserId, least: Role) -> User:
    """Returns the account when its role is at least ``least``. Raises RefusedError FORBIDDEN too."""
    account = require_user(state, user)
    if _RANK[account.role] < _RANK[least]:
        raise RefusedError(Reason.FORBIDDEN, f"this needs the role {least.value}")
    return account


def require_power_over(actor: User, target: User) -> None:
    """Raises RefusedError(FORBIDDEN) unless ``actor`` may change the account ``target``.

    Setting somebody's password is becoming him, so it needs more than his role: admins change members only.
    """
    if actor.role is Role.OWNER or (actor.role is Role.ADMIN and target.role is Role.MEMBER):
        return
    raise RefusedError(Reason.FORBIDDEN, f"this needs the role {Role.OWNER.value}")


def is_staff(user: User) -> bool:
    """Whether the user sees more than himself."""
    return user.role is not Role.MEMBER
