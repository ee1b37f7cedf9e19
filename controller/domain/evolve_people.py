"""Folds of the events of users, groups, service accounts, devices, sessions and grants."""

from dataclasses import replace

from controller.domain import events as e
from controller.domain.appliers import Appliers, applies
from controller.domain.evolve_policies import drop_exclusions
from controller.domain.evolve_requests import drop_requests_of
from controller.domain.evolve_tokens import drop_tokens_of
from controller.domain.grants import (
    drop_device,
    drop_devices_of,
    drop_grants,
    drop_session,
    drop_subject_grants,
)
from controller.domain.index import discard, put, without
from controller.domain.model import (
    Device,
    Grant,
    Group,
    ServiceAccount,
    Session,
    SubjectKind,
    SubjectRef,
    User,
)
from controller.domain.state import PolicyState, changed, fold_name
from protocol.ids import GroupId, ServiceAccountId, UserId

HANDLERS: Appliers = {}


@applies(HANDLERS, e.UserCreated)
def _user_created(state: PolicyState, event: e.UserCreated, at_ms: int) -> PolicyState:
    return changed(state, users=state.users.set(event.user, User(event.user, event.role, at_ms)))


@applies(HANDLERS, e.UserRoleChanged)
def _role_changed(state: PolicyState, event: e.UserRoleChanged, _: int) -> PolicyState:
    return changed(state, users=state.users.set(event.user, replace(state.users[event.user], role=event.role)))


@applies(HANDLERS, e.UserPasswordSet)
def _user_password_set(state: PolicyState, _event: e.UserPasswordSet, _: int) -> PolicyState:
    return state


@applies(HANDLERS, e.UserDisabled)
def _user_disabled(state: PolicyState, event: e.UserDisabled, _: int) -> PolicyState:
    return _set_user_disabled(drop_tokens_of(state, event.user), event.user, disabled=True)


@applies(HANDLERS, e.UserEnabled)
def _user_enabled(state: PolicyState, event: e.UserEnabled, _: int) -> PolicyState:
    return _set_user_disabled(state, event.user, disabled=False)


def _set_user_disabled(state: PolicyState, user: UserId, *, disabled: bool) -> PolicyState:
    return changed(state, users=state.users.set(user, replace(state.users[user], disabled=disabled)))


@applies(HANDLERS, e.UserRemoved)
def _user_removed(state: PolicyState, event: e.UserRemoved, _: int) -> PolicyState:
    subject = SubjectRef(SubjectKind.USER, event.user)
    state = _without_subject(drop_devices_of(state, subject), subject)
    for group in state.groups_of.get(event.user, ()):
        state = _without_member(state, group, event.user)
    state = drop_requests_of(drop_tokens_of(state, event.user), event.user)
    return changed(state, users=state.users.delete(event.user))


def _without_subject(state: PolicyState, subject: SubjectRef) -> PolicyState:
    """The state without what was said of the subject itself: its grants and exclusions."""
    return drop_exclusions(drop_subject_grants(state, subject), state.exclusions_of.get(subject, ()))


@applies(HANDLERS, e.GroupCreated)
def _group_created(state: PolicyState, event: e.GroupCreated, at_ms: int) -> PolicyState:
    return changed(
        state,
        groups=state.groups.set(event.group, Group(event.group, event.name, at_ms)),
        names=state.names.set(("group", fold_name(event.name)), event.group),
    )


@applies(HANDLERS, e.GroupRenamed)
def _group_renamed(state: PolicyState, event: e.GroupRenamed, _: int) -> PolicyState:
    old = state.groups[event.group]
    names = without(state.names, ("group", fold_name(old.name)))
    return changed(
        state,
        groups=state.groups.set(event.group, replace(old, name=event.name)),
        names=names.set(("group", fold_name(event.name)), event.group),
    )


@applies(HANDLERS, e.GroupRemoved)
def _group_removed(state: PolicyState, event: e.GroupRemoved, _: int) -> PolicyState:
    old = state.groups[event.group]
    state = _without_subject(state, SubjectRef(SubjectKind.GROUP, event.group))
    for user in state.members.get(event.group, ()):
        state = _without_member(state, event.group, user)
    return changed(
        state,
        groups=state.groups.delete(event.group),
        names=without(state.names, ("group", fold_name(old.name))),
    )


@applies(HANDLERS, e.GroupMemberAdded)
def _member_added(state: PolicyState, event: e.GroupMemberAdded, _: int) -> PolicyState:
    return changed(
        state,
        members=put(state.members, event.group, event.user),
        groups_of=put(state.groups_of, event.user, event.group),
    )


@applies(HANDLERS, e.GroupMemberRemoved)
def _member_removed(state: PolicyState, event: e.GroupMemberRemoved, _: int) -> PolicyState:
    return _without_member(state, event.group, event.user)


def _without_member(state: PolicyState, group: GroupId, user: UserId) -> PolicyState:
    return changed(
        state,
        members=discard(state.members, group, user),
        groups_of=discard(state.groups_of, user, group),
    )


@applies(HANDLERS, e.ServiceAccountCreated)
def _service_account_created(state: PolicyState, event: e.ServiceAccountCreated, at_ms: int) -> PolicyState:
    account = ServiceAccount(event.service_account, event.name, at_ms)
    return changed(
        state,
        service_accounts=state.service_accounts.set(account.id, account),
        names=state.names.set(("service_account", fold_name(event.name)), account.id),
    )


@applies(HANDLERS, e.ServiceAccountDisabled)
def _service_account_disabled(state: PolicyState, event: e.ServiceAccountDisabled, _: int) -> PolicyState:
    return _set_account_disabled(state, event.service_account, disabled=True)


@applies(HANDLERS, e.ServiceAccountEnabled)
def _service_account_enabled(state: PolicyState, event: e.ServiceAccountEnabled, _: int) -> PolicyState:
    return _set_account_disabled(state, event.service_account, disabled=False)


def _set_account_disabled(state: PolicyState, account_id: ServiceAccountId, *, disabled: bool) -> PolicyState:
    account = replace(state.service_accounts[account_id], disabled=disabled)
    return changed(state, service_accounts=state.service_accounts.set(account_id, account))


@applies(HANDLERS, e.ServiceAccountRemoved)
def _service_account_removed(state: PolicyState, event: e.ServiceAccountRemoved, _: int) -> PolicyState:
    old = state.service_accounts[event.service_account]
    subject = SubjectRef(SubjectKind.SERVICE_ACCOUNT, event.service_account)
    state = _without_subject(drop_devices_of(state, subject), subject)
    return changed(
        state,
        service_accounts=state.service_accounts.delete(event.service_account),
        names=without(state.names, ("service_account", fold_name(old.name))),
    )


@applies(HANDLERS, e.DeviceRegistered)
def _device_registered(state: PolicyState, event: e.DeviceRegistered, at_ms: int) -> PolicyState:
    owner = SubjectRef(event.owner_kind, event.owner)
    device = Device(event.device, owner, event.jwk, event.platform, at_ms)
    return changed(
        state,
        devices=state.devices.set(device.id, device),
        devices_of=put(state.devices_of, owner, device.id),
        device_by_key=state.device_by_key.set(device.key, device.id),
    )


@applies(HANDLERS, e.DeviceRevoked)
def _device_revoked(state: PolicyState, event: e.DeviceRevoked, _: int) -> PolicyState:
    return drop_device(state, event.device)


@applies(HANDLERS, e.SessionStarted)
def _session_started(state: PolicyState, event: e.SessionStarted, at_ms: int) -> PolicyState:
    earlier = state.session_of.get(event.device)
    if earlier is not None:
        state = drop_session(state, earlier)
    authenticated_s = at_ms // 1000 if event.authenticated_s is None else event.authenticated_s
    session = Session(
        event.session, event.device, event.user, at_ms, event.expires, authenticated_s, event.mfa_s, event.method
    )
    return changed(
        state,
        sessions=state.sessions.set(session.id, session),
        session_of=state.session_of.set(session.device, session.id),
    )


@applies(HANDLERS, e.SessionEnded)
def _session_ended(state: PolicyState, event: e.SessionEnded, _: int) -> PolicyState:
    return drop_session(state, event.session)


@applies(HANDLERS, e.GrantCreated)
def _grant_created(state: PolicyState, event: e.GrantCreated, at_ms: int) -> PolicyState:
    subject = SubjectRef(event.subject_kind, event.subject)
    grant = Grant(event.grant, subject, event.resource, event.expires, at_ms, event.policy)
    if grant.policy is not None:
        state = changed(state, grants_under=put(state.grants_under, grant.policy, grant.id))
    return changed(
        state,
        grants=state.grants.set(grant.id, grant),
        grants_to=put(state.grants_to, subject, grant.id),
        grants_on=put(state.grants_on, event.resource, grant.id),
    )


@applies(HANDLERS, e.GrantRevoked)
def _grant_revoked(state: PolicyState, event: e.GrantRevoked, _: int) -> PolicyState:
    return drop_grants(state, (event.grant,))
