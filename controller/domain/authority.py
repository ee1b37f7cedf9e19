"""Which role may give which command. Checked inside the write transaction, against the state that it changes (T-16).

The API checks as well, to answer early; this is the last word. Only people (``usr_…``) have roles: other actors (``cli``,
``system``, a connector, an enrolment) are trusted code paths that admitted the caller themselves.
"""

from controller.domain import commands as c
from controller.domain.model import Role, SubjectKind, SubjectRef
from controller.domain.rules import Refusal
from controller.domain.state import PolicyState
from protocol.ids import PREFIXES, DeviceId, UserId
from protocol.reasons import Reason

_OWNERS_ONLY = (
    c.InitialiseController,
    c.RaiseEpoch,
    c.AddSigningKey,
    c.ActivateSigningKey,
    c.RetireSigningKey,
    c.DistrustSigningKey,
    c.ChangeUserRole,
)


def refusal_for(state: PolicyState, actor: str, command: c.Command) -> Refusal | None:
    """Returns None when ``actor`` may give ``command``; otherwise a FORBIDDEN refusal."""
    if not actor.startswith(PREFIXES["user"] + "_"):
        return None
    user = state.users.get(UserId(actor))
    if user is None or user.disabled:
        return Refusal(Reason.FORBIDDEN, f"actor {actor} is not an active user")
    if _permitted(state, user.id, user.role, command):
        return None
    return Refusal(Reason.FORBIDDEN, f"role {user.role.value} may not give {type(command).__name__}")


def _permitted(state: PolicyState, actor: UserId, role: Role, command: c.Command) -> bool:
    match command:
        case c.RegisterDevice(owner_kind=SubjectKind.USER, owner=owner):
            return owner == actor  # nobody signs in for somebody else
        case c.StartSession(user=owner):
            return owner == actor
        case c.SetUserPassword(user=target) if target == actor:
            return True
        case c.RevokeDevice(device=device):
            return role is not Role.MEMBER or _owns(state, actor, device)
        case c.EndSession(session=session):
            started = state.sessions.get(session)
            return role is not Role.MEMBER or (started is not None and started.user == actor)
    if role is Role.OWNER:
        return True
    if role is not Role.ADMIN or isinstance(command, _OWNERS_ONLY):
        return False
    match command:
        case c.CreateUser(role=wanted):
            return wanted is Role.MEMBER
        case (
            c.SetUserPassword(user=target)
            | c.DisableUser(user=target)
            | c.EnableUser(user=target)
            | c.RemoveUser(user=target)
        ):
            known = state.users.get(target)
            return known is None or known.role is Role.MEMBER
    return True


def _owns(state: PolicyState, actor: UserId, device: DeviceId) -> bool:
    return device in state.devices_of.get(SubjectRef(SubjectKind.USER, actor), ())
