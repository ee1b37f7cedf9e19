"""Decisions about users, groups, service accounts, devices, sessions and grants."""

from controller.domain import commands as c
from controller.domain import events as e
from controller.domain import rules
from controller.domain.decide_policies import policy_for
from controller.domain.handlers import Decided, Handlers, about, handles
from controller.domain.model import Role, SubjectKind, SubjectRef
from controller.domain.rules import RuleBrokenError, fresh, known
from controller.domain.state import PolicyState
from protocol.ids import UserId
from protocol.reasons import Reason

HANDLERS: Handlers = {}


@handles(HANDLERS, c.CreateUser)
def _create_user(state: PolicyState, command: c.CreateUser) -> Decided:
    fresh(state, command.user, "user")
    return about(command.user, e.UserCreated(command.user, command.role))


@handles(HANDLERS, c.ChangeUserRole)
def _change_role(state: PolicyState, command: c.ChangeUserRole) -> Decided:
    user = known(state.users, command.user, "user")
    if user.role is command.role:
        return about(command.user)
    _keep_an_owner(state, command.user)
    return about(command.user, e.UserRoleChanged(command.user, command.role))


@handles(HANDLERS, c.SetUserPassword)
def _set_password(state: PolicyState, command: c.SetUserPassword) -> Decided:
    known(state.users, command.user, "user")
    return about(command.user, e.UserPasswordSet(command.user))


@handles(HANDLERS, c.DisableUser)
def _disable_user(state: PolicyState, command: c.DisableUser) -> Decided:
    user = known(state.users, command.user, "user")
    if user.disabled:
        return about(command.user)
    _keep_an_owner(state, command.user)
    return about(command.user, e.UserDisabled(command.user))


@handles(HANDLERS, c.EnableUser)
def _enable_user(state: PolicyState, command: c.EnableUser) -> Decided:
    user = known(state.users, command.user, "user")
    return about(command.user, *((e.UserEnabled(command.user),) if user.disabled else ()))


@handles(HANDLERS, c.RemoveUser)
def _remove_user(state: PolicyState, command: c.RemoveUser) -> Decided:
    known(state.users, command.user, "user")
    _keep_an_owner(state, command.user)
    return about(command.user, e.UserRemoved(command.user))


def _keep_an_owner(state: PolicyState, leaving: UserId) -> None:
    """Refuses to take away the last owner who can sign in (T-16)."""
    owners = {user.id for user in state.users.values() if user.role is Role.OWNER and not user.disabled}
    if owners == {leaving}:
        raise RuleBrokenError(Reason.LAST_OWNER, f"user {leaving}")


@handles(HANDLERS, c.CreateGroup)
def _create_group(state: PolicyState, command: c.CreateGroup) -> Decided:
    fresh(state, command.group, "group")
    name = rules.free_name(state, "group", command.name, command.group)
    return about(command.group, e.GroupCreated(command.group, name))


@handles(HANDLERS, c.RenameGroup)
def _rename_group(state: PolicyState, command: c.RenameGroup) -> Decided:
    group = known(state.groups, command.group, "group")
    name = rules.free_name(state, "group", command.name, command.group)
    return about(command.group, *((e.GroupRenamed(command.group, name),) if name != group.name else ()))


@handles(HANDLERS, c.RemoveGroup)
def _remove_group(state: PolicyState, command: c.RemoveGroup) -> Decided:
    known(state.groups, command.group, "group")
    exclusions = state.exclusions_of.get(SubjectRef(SubjectKind.GROUP, command.group), ())
    if exclusions:
        # Its members would reach again what they were excluded from, without anybody saying so.
        raise RuleBrokenError(Reason.IN_USE, f"exclusion {min(exclusions)} is of this group")
    return about(command.group, e.GroupRemoved(command.group))


@handles(HANDLERS, c.AddGroupMember)
def _add_member(state: PolicyState, command: c.AddGroupMember) -> Decided:
    known(state.groups, command.group, "group")
    known(state.users, command.user, "user")
    if command.user in state.members.get(command.group, ()):
        return about(command.group)
    return about(command.group, e.GroupMemberAdded(command.group, command.user))


@handles(HANDLERS, c.RemoveGroupMember)
def _remove_member(state: PolicyState, command: c.RemoveGroupMember) -> Decided:
    known(state.groups, command.group, "group")
    if command.user not in state.members.get(command.group, ()):
        return about(command.group)
    return about(command.group, e.GroupMemberRemoved(command.group, command.user))


@handles(HANDLERS, c.CreateServiceAccount)
def _create_service_account(state: PolicyState, command: c.CreateServiceAccount) -> Decided:
    fresh(state, command.service_account, "service_account")
    name = rules.free_name(state, "service_account", command.name, command.service_account)
    return about(command.service_account, e.ServiceAccountCreated(command.service_account, name))


@handles(HANDLERS, c.DisableServiceAccount)
def _disable_service_account(state: PolicyState, command: c.DisableServiceAccount) -> Decided:
    account = known(state.service_accounts, command.service_account, "service account")
    if account.disabled:
        return about(command.service_account)
    return about(command.service_account, e.ServiceAccountDisabled(command.service_account))


@handles(HANDLERS, c.EnableServiceAccount)
def _enable_service_account(state: PolicyState, command: c.EnableServiceAccount) -> Decided:
    account = known(state.service_accounts, command.service_account, "service account")
    if not account.disabled:
        return about(command.service_account)
    return about(command.service_account, e.ServiceAccountEnabled(command.service_account))


@handles(HANDLERS, c.RemoveServiceAccount)
def _remove_service_account(state: PolicyState, command: c.RemoveServiceAccount) -> Decided:
    known(state.service_accounts, command.service_account, "service account")
    return about(command.service_account, e.ServiceAccountRemoved(command.service_account))


@handles(HANDLERS, c.RegisterDevice)
def _register_device(state: PolicyState, command: c.RegisterDevice) -> Decided:
    fresh(state, command.device, "device")
    if command.owner_kind is SubjectKind.GROUP:
        raise RuleBrokenError(Reason.INVALID_INPUT, "owner_kind: a group owns no devices")
    rules.known_subject(state, command.owner_kind, command.owner)
    holder = state.device_by_key.get(command.key)
    if holder is not None:
        raise RuleBrokenError(Reason.ALREADY_EXISTS, f"this key belongs to device {holder}")
    platform = rules.word(command.platform, "platform")
    event = e.DeviceRegistered(command.device, command.owner_kind, command.owner, command.key, platform)
    return about(command.device, event)


@handles(HANDLERS, c.RevokeDevice)
def _revoke_device(state: PolicyState, command: c.RevokeDevice) -> Decided:
    known(state.devices, command.device, "device")
    return about(command.device, e.DeviceRevoked(command.device))


@handles(HANDLERS, c.StartSession)
def _start_session(state: PolicyState, command: c.StartSession) -> Decided:
    fresh(state, command.session, "session")
    device = known(state.devices, command.device, "device")
    user = known(state.users, command.user, "user")
    if device.owner.kind is not SubjectKind.USER or device.owner.id != command.user:
        raise RuleBrokenError(Reason.FORBIDDEN, f"device {command.device} does not belong to user {command.user}")
    if user.disabled:
        raise RuleBrokenError(Reason.USER_DISABLED, f"user {command.user}")
    rules.unix_time(command.expires, "expires")
    for field in ("authenticated_s", "mfa_s"):
        moment = getattr(command, field)
        if moment is not None:
            rules.unix_time(moment, field)
    event = e.SessionStarted(
        command.session,
        command.device,
        command.user,
        command.expires,
        command.authenticated_s,
        command.mfa_s,
        rules.sign_in_method(command.method),
    )
    return about(command.session, event)


@handles(HANDLERS, c.EndSession)
def _end_session(state: PolicyState, command: c.EndSession) -> Decided:
    known(state.sessions, command.session, "session")
    return about(command.session, e.SessionEnded(command.session, rules.word(command.cause, "cause")))


@handles(HANDLERS, c.CreateGrant)
def _create_grant(state: PolicyState, command: c.CreateGrant) -> Decided:
    fresh(state, command.grant, "grant")
    rules.known_subject(state, command.subject_kind, command.subject)
    known(state.resources, command.resource, "resource")
    if command.expires is not None:
        rules.unix_time(command.expires, "expires")
    policy = policy_for(state, command.policy, command.subject_kind) if command.policy is not None else None
    event = e.GrantCreated(
        command.grant, command.subject_kind, command.subject, command.resource, command.expires, policy
    )
    return about(command.grant, event)


@handles(HANDLERS, c.RevokeGrant)
def _revoke_grant(state: PolicyState, command: c.RevokeGrant) -> Decided:
    known(state.grants, command.grant, "grant")
    return about(command.grant, e.GrantRevoked(command.grant))
