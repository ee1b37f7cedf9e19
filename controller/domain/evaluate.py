"""The one evaluator of the policy: who is this device, what may it reach, why, until when (C7, C11, C15, C22).

Deny by default: everything is a path from a living device over a living subject to an unexpired grant, and what is not
found on that path does not exist. Time is an argument; nothing else than ``state`` and ``now`` (Unix seconds) counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from controller.domain.model import Device, Grant, Role, SubjectKind, SubjectRef
from controller.domain.state import PolicyState
from protocol.acl.decide import decide
from protocol.acl.model import Acl, Decision, Deny, Entry, Permit, Request
from protocol.ids import (
    ConnectorId,
    DeviceId,
    GroupId,
    ResourceId,
    ServiceAccountId,
    SessionId,
    UserId,
)
from protocol.reasons import Reason


@dataclass(frozen=True, slots=True)
class Subject:
    """A device in good standing and whom it acts for. ``session`` and its end are None for a service account."""

    device: DeviceId
    owner: SubjectRef
    session: SessionId | None = None
    session_expires: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why. ``via`` names, grant by grant, to whom the grant was given; ``ask`` are users who could change the answer."""

    decision: Decision
    grants: tuple[Grant, ...] = ()
    ask: tuple[UserId, ...] = ()

    @property
    def via(self) -> tuple[SubjectRef, ...]:
        """For each grant the user, group or service account that it was given to."""
        return tuple(grant.subject for grant in self.grants)


def subject_of_device(state: PolicyState, device_id: DeviceId, now: float) -> Subject | Deny:
    """Returns the device's standing: it needs a living owner and, for a person, a session that has not ended."""
    device = state.devices.get(device_id)
    if device is None:
        former = state.former_agents.get(device_id)
        return Deny(former.reason if former is not None else Reason.DEVICE_REVOKED)
    if device.owner.kind is SubjectKind.SERVICE_ACCOUNT:
        account = state.service_accounts.get(ServiceAccountId(device.owner.id))
        if account is None:
            return Deny(Reason.DEVICE_REVOKED)
        return Deny(Reason.SERVICE_ACCOUNT_DISABLED) if account.disabled else Subject(device_id, device.owner)
    return _subject_of_user(state, device, now)


def _subject_of_user(state: PolicyState, device: Device, now: float) -> Subject | Deny:
    user = state.users.get(UserId(device.owner.id)) if device.owner.kind is SubjectKind.USER else None
    if user is None:
        return Deny(Reason.DEVICE_REVOKED)
    if user.disabled:
        return Deny(Reason.USER_DISABLED)
    session_id = state.session_of.get(device.id)
    session = state.sessions.get(session_id) if session_id is not None else None
    if session is None or session.user != user.id or session.expires <= now:
        return Deny(Reason.SESSION_ENDED)
    return Subject(device.id, device.owner, session.id, session.expires)


def acl_for_device(state: PolicyState, device_id: DeviceId, now: float) -> Acl:
    """Returns the device's whitelist, sorted by resource id; empty when it has no standing."""
    subject = subject_of_device(state, device_id, now)
    if isinstance(subject, Deny):
        return Acl()
    return _merge(state, [grant for grant in _grants_of(state, subject.owner) if _alive(grant, now)])


def config_acl(state: PolicyState, connector_id: ConnectorId) -> Acl:
    """Returns what a connector may serve for anyone: the resources of its remote network (C3)."""
    connector = state.connectors.get(connector_id)
    if connector is None:
        return Acl()
    resources = sorted(state.resources_in.get(connector.network, ()))
    return Acl(tuple(Entry(state.resources[resource]) for resource in resources))


def may_reach(state: PolicyState, device_id: DeviceId, resource: ResourceId, now: float) -> Entry | Deny:
    """Answers for one resource by its id (C11). An unknown resource and an ungranted one get the same NO_GRANT."""
    subject = subject_of_device(state, device_id, now)
    if isinstance(subject, Deny):
        return subject
    grants = _grants_between(state, subject.owner, resource)
    alive = [grant for grant in grants if _alive(grant, now)]
    if alive:
        return _merge(state, alive).entries[0]
    return Deny(Reason.GRANT_EXPIRED, resource) if grants else Deny(Reason.NO_GRANT)


def has_grant(state: PolicyState, owner: SubjectRef, resource: ResourceId, now: float) -> bool:
    """Tells whether a living grant leads from a user or service account to the resource; standing is not looked at."""
    return any(_alive(grant, now) for grant in _grants_between(state, owner, resource))


def next_change_at(state: PolicyState, device_id: DeviceId, now: float) -> int | None:
    """Returns the next moment (Unix seconds) at which time alone changes the device's answer; None: never."""
    subject = subject_of_device(state, device_id, now)
    if isinstance(subject, Deny):
        return None
    ends = [grant.expires for grant in _grants_of(state, subject.owner) if grant.expires is not None]
    if subject.session_expires is not None:
        ends.append(subject.session_expires)
    return min((end for end in ends if end > now), default=None)


def explain(state: PolicyState, device_id: DeviceId, request: Request, now: float) -> Explanation:
    """Says whether the device may reach ``request``, by which grants, and else why not and whom to ask.

    Grants that have expired still explain themselves (GRANT_EXPIRED); resources that were never granted do not exist.
    """
    ask = people_to_ask(state)
    subject = subject_of_device(state, device_id, now)
    if isinstance(subject, Deny):
        return Explanation(subject, ask=ask)
    decision = decide(acl_for_device(state, device_id, now), request, now)
    if isinstance(decision, Permit):
        return Explanation(decision, tuple(state.grants[grant] for grant in decision.entry.grants))
    with_expired = decide(_merge(state, list(_grants_of(state, subject.owner))), request, now)
    if isinstance(with_expired, Deny):
        decision = with_expired
    return Explanation(decision, ask=ask)


def people_to_ask(state: PolicyState) -> tuple[UserId, ...]:
    """Returns the admins and owners who can sign in, admins first."""
    able = [user for user in state.users.values() if user.role is not Role.MEMBER and not user.disabled]
    return tuple(user.id for user in sorted(able, key=lambda user: (user.role is Role.OWNER, user.id)))


def _grants_of(state: PolicyState, owner: SubjectRef) -> Iterator[Grant]:
    subjects = [owner]
    if owner.kind is SubjectKind.USER:
        groups = state.groups_of.get(UserId(owner.id), ())
        subjects += [SubjectRef(SubjectKind.GROUP, group) for group in groups if GroupId(group) in state.groups]
    for subject in subjects:
        for grant in state.grants_to.get(subject, ()):
            yield state.grants[grant]


def _grants_between(state: PolicyState, owner: SubjectRef, resource: ResourceId) -> list[Grant]:
    """The same grants as ``_grants_of``, found from the other end: few grants lead to one resource."""
    groups = state.groups_of.get(UserId(owner.id), ()) if owner.kind is SubjectKind.USER else ()
    grants = (state.grants[grant] for grant in state.grants_on.get(resource, ()))
    return [
        grant
        for grant in grants
        if grant.subject == owner or (grant.subject.kind is SubjectKind.GROUP and grant.subject.id in groups)
    ]


def _alive(grant: Grant, now: float) -> bool:
    return grant.expires is None or grant.expires > now


def _merge(state: PolicyState, grants: list[Grant]) -> Acl:
    entries: dict[ResourceId, Entry] = {}
    for grant in sorted(grants, key=lambda grant: grant.id):
        resource = state.resources.get(grant.resource)
        if resource is None:
            continue
        entry = entries.get(resource.id)
        if entry is None:
            entries[resource.id] = Entry(resource, (grant.id,), grant.expires)
            continue
        ends = entry.expires, grant.expires
        latest = None if ends[0] is None or ends[1] is None else max(ends[0], ends[1])
        entries[resource.id] = replace(entry, grants=(*entry.grants, grant.id), expires=latest)
    return Acl(tuple(entries[resource] for resource in sorted(entries)))
