"""The grants that lead from a device to resources, each with the judgement of its policy, and the exclusions that beat them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from controller.domain.conditions import MET, Facts, Failure, Outcome, Source, evaluate
from controller.domain.model import Exclusion, Grant, SubjectKind, SubjectRef
from controller.domain.overlap import resources_overlap
from controller.domain.state import PolicyState
from protocol.ids import DeviceId, GroupId, PolicyId, ResourceId, UserId
from protocol.reasons import Reason

_LOST: Outcome = Outcome((Failure("policy", Reason.NO_GRANT, "a policy that exists"),))
"""Policies outlive their grants; should one be missing nevertheless, nothing holds."""


@dataclass(frozen=True, slots=True)
class Held:
    """A grant and whether it holds at the moment. ``alive``: it has not expired."""

    grant: Grant
    outcome: Outcome
    alive: bool

    @property
    def holds(self) -> bool:
        """Whether it gives access now."""
        return self.alive and self.outcome.met

    @property
    def until(self) -> int | None:
        """The first moment (Unix seconds) at which time alone may end it; None: never. Only of use while it holds."""
        ends = self.grant.expires, self.outcome.changes_at
        return min((end for end in ends if end is not None), default=None)


def facts_of(state: PolicyState, device_id: DeviceId, source: Source) -> Facts:
    """What is known of a living device, of its session if it has one, and of where it is."""
    device = state.devices[device_id]
    session_id = state.session_of.get(device_id)
    session = state.sessions.get(session_id) if session_id is not None else None
    return Facts(
        authenticated_s=session.authenticated_s if session is not None else None,
        mfa_s=session.mfa_s if session is not None else None,
        trusted=device.trusted,
        report=device.facts,
        reported_s=device.facts_s,
        source=source,
    )


class Judge:
    """Judges policies for one living device at one moment (Unix seconds); each policy once."""

    def __init__(self, state: PolicyState, device: DeviceId, now: float, source: Source) -> None:
        self._state = state
        self._device = device
        self._now = now
        self._source = source
        self._facts: Facts | None = None
        self._outcomes: dict[PolicyId, Outcome] = {}

    def outcome(self, policy_id: PolicyId) -> Outcome:
        """The judgement of a policy."""
        known = self._outcomes.get(policy_id)
        if known is None:
            if self._facts is None:
                self._facts = facts_of(self._state, self._device, self._source)
            policy = self._state.policies.get(policy_id)
            known = evaluate(policy.conditions, self._facts, self._now) if policy is not None else _LOST
            self._outcomes[policy_id] = known
        return known


def held_grants(
    state: PolicyState, device: DeviceId, grants: Iterable[Grant], now: float, source: Source
) -> list[Held]:
    """Judges ``grants`` for a living device at ``now`` (Unix seconds)."""
    judge = Judge(state, device, now, source)
    return [
        Held(
            grant,
            MET if grant.policy is None else judge.outcome(grant.policy),
            alive=grant.expires is None or grant.expires > now,
        )
        for grant in grants
    ]


def holding_grants(
    state: PolicyState, device: DeviceId, grants: Iterable[Grant], now: float, source: Source
) -> Iterator[tuple[Grant, int | None]]:
    """Yields the grants that give access now, each with ``Held.until``; much quicker than ``held_grants``: lists are long."""
    judge: Judge | None = None
    for grant in grants:
        expires = grant.expires
        if expires is not None and expires <= now:
            continue
        if grant.policy is None:
            yield grant, expires
            continue
        judge = judge or Judge(state, device, now, source)
        outcome = judge.outcome(grant.policy)
        if outcome.met:
            ends = outcome.changes_at
            yield grant, ends if expires is None or (ends is not None and ends < expires) else expires


def flips_of(
    state: PolicyState, device: DeviceId, grants: Iterable[Grant], now: float, source: Source
) -> Iterator[int]:
    """Yields the moments at which time alone can change what living grants give: their ends and their conditions' flips."""
    judge = Judge(state, device, now, source)
    seen: set[PolicyId] = set()
    for grant in grants:
        if grant.expires is not None:
            if grant.expires <= now:
                continue
            yield grant.expires
        if grant.policy is not None and grant.policy not in seen:
            seen.add(grant.policy)
            changes_at = judge.outcome(grant.policy).changes_at
            if changes_at is not None:
                yield changes_at


def asks_for_source(state: PolicyState, owner: SubjectRef) -> bool:
    """Whether any grant of a user or service account depends on where he is."""
    policies = (state.policies.get(grant.policy) for grant in grants_of(state, owner) if grant.policy is not None)
    return any(policy is not None and policy.conditions.sources for policy in policies)


def subjects_of(state: PolicyState, owner: SubjectRef) -> list[SubjectRef]:
    """A user or service account, and the groups that the user is in."""
    subjects = [owner]
    if owner.kind is SubjectKind.USER:
        groups = state.groups_of.get(UserId(owner.id), ())
        subjects += [SubjectRef(SubjectKind.GROUP, group) for group in groups if GroupId(group) in state.groups]
    return subjects


def grants_of(state: PolicyState, owner: SubjectRef) -> Iterator[Grant]:
    """All grants of a user or service account, those of his groups included."""
    for subject in subjects_of(state, owner):
        for grant in state.grants_to.get(subject, ()):
            yield state.grants[grant]


def grants_between(state: PolicyState, owner: SubjectRef, resource: ResourceId) -> list[Grant]:
    """The same grants as ``grants_of``, found from the other end: few grants lead to one resource."""
    groups = state.groups_of.get(UserId(owner.id), ()) if owner.kind is SubjectKind.USER else ()
    grants = (state.grants[grant] for grant in state.grants_on.get(resource, ()))
    return [
        grant
        for grant in grants
        if grant.subject == owner or (grant.subject.kind is SubjectKind.GROUP and grant.subject.id in groups)
    ]


def exclusions_of(state: PolicyState, owner: SubjectRef) -> Iterator[Exclusion]:
    """All exclusions of a user or service account, those of his groups included, expired ones too."""
    if not state.exclusions:
        return
    for subject in subjects_of(state, owner):
        for exclusion in state.exclusions_of.get(subject, ()):
            yield state.exclusions[exclusion]


class Exclusions:
    """What a user or service account may not reach at a moment (Unix seconds), whatever grants say.

    An exclusion takes away every resource that overlaps the excluded one: a list only permits, so nothing else would hold.
    """

    def __init__(self, state: PolicyState, owner: SubjectRef, now: float) -> None:
        self._state = state
        self._living = [
            exclusion
            for exclusion in exclusions_of(state, owner)
            if exclusion.expires is None or exclusion.expires > now
        ]
        self._known: dict[ResourceId, Exclusion | None] = {}

    def __bool__(self) -> bool:
        return bool(self._living)

    def __contains__(self, resource: ResourceId) -> bool:
        return self.on(resource) is not None

    def on(self, resource: ResourceId) -> Exclusion | None:
        """Returns an exclusion that takes the resource away, one from the resource itself before others."""
        if self._living and resource not in self._known:
            taking = [item for item in self._living if excludes(self._state, item, resource)]
            self._known[resource] = min(taking, key=lambda item: (item.resource != resource, item.id), default=None)
        return self._known.get(resource)


def excludes(state: PolicyState, exclusion: Exclusion, resource: ResourceId) -> bool:
    """Whether an exclusion takes this resource away from its subject while it lasts."""
    if exclusion.resource == resource:
        return True
    excluded, other = state.resources.get(exclusion.resource), state.resources.get(resource)
    return excluded is not None and other is not None and resources_overlap(excluded, other)
