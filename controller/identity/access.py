"""What a role may do with the controller itself. Pure; asked before the work and again inside the write (T-16).

    member  itself: its own sessions, devices, password and connections
    admin   everything but owners and signing keys
    owner   everything

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
    """Raises RefusedError(FORBIDDEN) unless ``actor`` may change ``target``: only owners touch owners.

    Setting somebody's password is becoming him, so this holds for passwords too.
    """
    if _RANK[actor.role] < _RANK[Role.ADMIN] or (target.role is Role.OWNER and actor.role is not Role.OWNER):
        raise RefusedError(Reason.FORBIDDEN, f"this needs the role {Role.OWNER.value}")


def require_may_give(actor: User, role: Role) -> None:
    """Raises RefusedError(FORBIDDEN) unless ``actor`` may give ``role`` to somebody: nobody lifts above himself."""
    if _RANK[actor.role] < _RANK[Role.ADMIN] or _RANK[role] > _RANK[actor.role]:
        raise RefusedError(Reason.FORBIDDEN, f"only an {role.value} makes somebody {role.value}")


def is_staff(user: User) -> bool:
    """Whether the user sees more than himself."""
    return user.role is not Role.MEMBER
