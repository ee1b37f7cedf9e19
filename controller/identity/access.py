"""Who may do what with the controller itself. Pure; asked before the work and again inside the write (T-16).

``controller.domain.permissions`` is the table; ``controller.domain.authority`` says which command needs which permission. This
module is for what is no command (passwords, personal data, lists) and for answering before the work.

Access to resources has nothing to do with roles: it comes from grants only.
"""

from collections.abc import Iterable

from controller.domain.model import Role, User
from controller.domain.permissions import Permission
from controller.domain.standing import Standing, standing_of
from controller.domain.state import PolicyState
from protocol.errors import RefusedError
from protocol.ids import UserId
from protocol.reasons import Reason


def require_user(state: PolicyState, user: UserId) -> User:
    """Returns the living, enabled account. Raises RefusedError SIGN_IN_REQUIRED or USER_DISABLED."""
    account = state.users.get(user)
    if account is None:
        raise RefusedError(Reason.SIGN_IN_REQUIRED, "the account is gone")
    if account.disabled:
        raise RefusedError(Reason.USER_DISABLED)
    return account


def require_standing(state: PolicyState, actor: str) -> Standing:
    """Returns what a person or an API token may do now. Raises RefusedError SIGN_IN_REQUIRED or USER_DISABLED."""
    standing = standing_of(state, actor)
    if standing is None:
        account = state.users.get(UserId(actor))
        if account is not None and account.disabled:
            raise RefusedError(Reason.USER_DISABLED)
        raise RefusedError(Reason.SIGN_IN_REQUIRED, "the account or the token is gone")
    return standing


def require(standing: Standing, permission: Permission, *, own: Permission | None = None) -> None:
    """Raises RefusedError(FORBIDDEN) unless ``permission`` is held, or ``own``, which does for one's own things."""
    if not standing.may(permission) and (own is None or not standing.may(own)):
        raise RefusedError(Reason.FORBIDDEN, f"this needs the permission {permission.value}")


def require_all(standing: Standing, permissions: Iterable[Permission]) -> None:
    """Raises RefusedError(FORBIDDEN), naming those that are missing, unless all ``permissions`` are held."""
    missing = [item.value for item in permissions if not standing.may(item)]
    if missing:
        raise RefusedError(Reason.FORBIDDEN, f"this needs the permissions {', '.join(missing)} as well")


def require_power_over(actor: Standing, target: User) -> None:
    """Raises RefusedError(FORBIDDEN) unless ``actor`` may change the account ``target``.

    Setting somebody's password is becoming him, so one must stand above him: hold strictly more than he does.
    """
    if not actor.may(Permission.PEOPLE_WRITE):
        raise RefusedError(Reason.FORBIDDEN, f"this needs the permission {Permission.PEOPLE_WRITE.value}")
    if not actor.outranks(target.role):
        raise RefusedError(Reason.FORBIDDEN, f"the role {target.role.value} is not below yours")


def needs_second_factor(state: PolicyState, user: User) -> bool:
    """Whether the rules let ``user`` use the controller only after a second factor."""
    match state.second_factor_for:
        case "everybody":
            return True
        case "staff":
            return user.role is not Role.MEMBER
    return False
