"""The one evaluator of the policy: who is this device, what may it reach, why, until when (C7, C11, C15, C22).

Deny by default: everything is a path from a living device over a living subject to an unexpired grant whose policy is met, and
what is not found on that path does not exist. An exclusion beats every grant, on whatever overlaps too. Time is an argument; nothing else than ``state``,
``now`` (Unix seconds) and ``source`` counts: where the device's control connection comes from, which no log knows. Without it
a policy that asks for a place is not met; ``Assumed.MET`` answers what would be if only the place were right.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from controller.domain.conditions import Failure, Outcome, Source
from controller.domain.held import (
    Exclusions,
    Held,
    exclusions_of,
    flips_of,
    grants_between,
    grants_of,
    held_grants,
    holding_grants,
)
from controller.domain.model import Device, Grant, SubjectKind, SubjectRef
from controller.domain.permissions import ROLE_PERMISSIONS, Permission
from controller.domain.state import PolicyState
from protocol.acl.decide import decide
from protocol.acl.model import Acl, Decision, Deny, Entry, Permit, Request
from protocol.ids import (
    ConnectorId,
    DeviceId,
    ResourceId,
    ServiceAccountId,
    SessionId,
    UserId,
)
from protocol.reasons import Reason

_ANSWERING = tuple(
    sorted(
        (role for role, held in ROLE_PERMISSIONS.items() if Permission.REQUESTS_WRITE in held),
        key=lambda role: len(ROLE_PERMISSIONS[role]),
    )
)
"""The roles that answer requests for access, the least powerful first."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A device in good standing and whom it acts for. ``session`` and its end are None for a service account."""

    device: DeviceId
    owner: SubjectRef
    session: SessionId | None = None
    session_expires: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why. ``via`` names, grant by grant, to whom the grant was given; ``ask`` are users who could change the answer.

    ``missing`` are the conditions that the nearest grant lacks; ``changes_at`` (Unix seconds) is when time alone mends that.
    """

    decision: Decision
    grants: tuple[Grant, ...] = ()
    ask: tuple[UserId, ...] = ()
    missing: tuple[Failure, ...] = ()
    changes_at: int | None = None

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


def acl_for_device(state: PolicyState, device_id: DeviceId, now: float, *, source: Source = None) -> Acl:
    """Returns the device's whitelist, sorted by resource id; empty when it has no standing.

    An entry's ``expires`` is the first moment at which time alone may take it away: the end of a grant, or a condition's.
    """
    subject = subject_of_device(state, device_id, now)
    if isinstance(subject, Deny):
        return Acl()
    holding = holding_grants(state, device_id, grants_of(state, subject.owner), now, source)
    excluded = Exclusions(state, subject.owner, now)
    if excluded:
        holding = ((grant, until) for grant, until in holding if grant.resource not in excluded)
    return _merge(state, holding)


def config_acl(state: PolicyState, connector_id: ConnectorId) -> Acl:
    """Returns what a connector may serve for anyone: the resources of its remote network (C3)."""
    connector = state.connectors.get(connector_id)
    if connector is None:
        return Acl()
    resources = sorted(state.resources_in.get(connector.network, ()))
    return Acl(tuple(Entry(state.resources[resource]) for resource in resources))


def may_reach(
    state: PolicyState, device_id: DeviceId, resource: ResourceId, now: float, *, source: Source = None
) -> Entry | Deny:
    """Answers for one resource by its id (C11). An unknown resource and an ungranted one get the same NO_GRANT."""
    subject = subject_of_device(state, device_id, now)
    if isinstance(subject, Deny):
        return subject
    held = held_grants(state, device_id, grants_between(state, subject.owner, resource), now, source)
    if not held:
        return Deny(Reason.NO_GRANT)
    if resource in Exclusions(state, subject.owner, now):
        return Deny(Reason.EXCLUDED, resource)
    holding = [item for item in held if item.holds]
    if holding:
        return _merge(state, [(item.grant, item.until) for item in holding]).entries[0]
    nearest = _nearest(held)
    return Deny(nearest.outcome.failures[0].reason if nearest is not None else Reason.GRANT_EXPIRED, resource)


def has_grant(state: PolicyState, owner: SubjectRef, resource: ResourceId, now: float) -> bool:
    """Tells whether a grant that has not expired leads from a user or service account to the resource.

    Standing, conditions and exclusions are not looked at: they can come and go while the grant stays.
    """
    grants = grants_between(state, owner, resource)
    return any(grant.expires is None or grant.expires > now for grant in grants)


def next_change_at(state: PolicyState, device_id: DeviceId, now: float, *, source: Source = None) -> int | None:
    """Returns the next moment (Unix seconds) at which time alone can change the device's answer; None: never."""
    subject = subject_of_device(state, device_id, now)
    if isinstance(subject, Deny):
        return None
    ends = list(flips_of(state, device_id, grants_of(state, subject.owner), now, source))
    if subject.session_expires is not None:
        ends.append(subject.session_expires)
    ends += (item.expires for item in exclusions_of(state, subject.owner) if item.expires is not None)
    return min((end for end in ends if end > now), default=None)


def explain(
    state: PolicyState, device_id: DeviceId, request: Request, now: float, *, source: Source = None
) -> Explanation:
    """Says whether the device may reach ``request``, by which grants, and else why not, what is missing and whom to ask.

    Grants that do not hold still explain themselves; resources that were never granted do not exist.
    """
    ask = people_to_ask(state)
    subject = subject_of_device(state, device_id, now)
    if isinstance(subject, Deny):
        return Explanation(subject, ask=ask)
    decision = decide(acl_for_device(state, device_id, now, source=source), request, now)
    if isinstance(decision, Permit):
        return Explanation(decision, tuple(state.grants[grant] for grant in decision.entry.grants))
    held = held_grants(state, device_id, grants_of(state, subject.owner), now, source)
    # If all of them held, would it be permitted? Then what stands in between is the answer.
    would = decide(_merge(state, [(item.grant, None) for item in held]), request, now)
    if isinstance(would, Deny):
        return Explanation(would, ask=ask)
    resource = would.entry.resource.id
    refused = may_reach(state, device_id, resource, now, source=source)
    if not isinstance(refused, Deny):
        return Explanation(decision, ask=ask)
    exclusion = Exclusions(state, subject.owner, now).on(resource)
    if exclusion is not None:
        lifted = Failure("exclusion", Reason.EXCLUDED, f"the end of the exclusion {exclusion.id}")
        return Explanation(refused, ask=ask, missing=(lifted,))
    nearest = _nearest([item for item in held if item.grant.resource == resource])
    if nearest is None:
        return Explanation(refused, ask=ask)
    return Explanation(refused, ask=ask, missing=nearest.outcome.failures, changes_at=_opens_at(nearest.outcome))


def people_to_ask(state: PolicyState) -> tuple[UserId, ...]:
    """Returns those who can sign in and answer requests for access, the least powerful first."""
    able = [user for user in state.users.values() if not user.disabled and user.role in _ANSWERING]
    return tuple(user.id for user in sorted(able, key=lambda user: (_ANSWERING.index(user.role), user.id)))


def _nearest(held: Iterable[Held]) -> Held | None:
    """Of the grants that have not expired, the one that lacks least; None when all have."""
    alive = [item for item in held if item.alive]
    return min(alive, key=lambda item: (len(item.outcome.failures), item.grant.id), default=None)


def _opens_at(outcome: Outcome) -> int | None:
    """When time alone mends it: only hours come back by themselves."""
    return outcome.changes_at if [failure.condition for failure in outcome.failures] == ["hours"] else None


def _merge(state: PolicyState, grants: Iterable[tuple[Grant, int | None]]) -> Acl:
    """One entry for each resource; it ends with the last of its grants, each given with its end."""
    entries: dict[ResourceId, Entry] = {}
    for grant, until in sorted(grants, key=lambda item: item[0].id):
        resource = state.resources.get(grant.resource)
        if resource is None:
            continue
        entry = entries.get(resource.id)
        if entry is None:
            entries[resource.id] = Entry(resource, (grant.id,), until)
            continue
        latest = None if entry.expires is None or until is None else max(entry.expires, until)
        entries[resource.id] = replace(entry, grants=(*entry.grants, grant.id), expires=latest)
    return Acl(tuple(entries[resource] for resource in sorted(entries)))
