"""Grants and exclusions of a policy document: for each subject and resource that it names, exactly those that it names."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from controller.domain import commands as c
from controller.domain.commands_policies import CreateExclusion, RemoveExclusion
from controller.domain.desired import Desired
from controller.domain.desired_fields import moment_text, named_text
from controller.domain.model import Grant, SubjectKind, SubjectRef
from controller.domain.reconcile import Ids, People, Problem, Scope, Step, reconcile_things, remove_last
from controller.domain.state import PolicyState
from protocol.ids import ExclusionId, GrantId, GroupId, PolicyId, ResourceId, ServiceAccountId

Place = tuple[SubjectRef, ResourceId]
Terms = tuple[int | None, PolicyId | None]
"""Until when, and under which policy."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The steps in order, or what keeps them from being made."""

    steps: tuple[Step, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One grant or exclusion of the document with its names resolved."""

    place: Place
    terms: Terms
    name: str
    detail: str
    line: int


def reconcile(state: PolicyState, desired: Desired, people: People, ids: Ids, *, prune: bool) -> Reconciled:
    """Returns what must be done so that ``state`` becomes as ``desired``; nothing, when it is."""
    scope = Scope(state, people, ids, prune=prune)
    reconcile_things(scope, desired)
    things, scope.steps = scope.steps, []
    _grants(scope, desired)
    _exclusions(scope, desired)
    # What is taken away first: a policy may change, or a resource go, only when no grant of the past stands in the way.
    taken = [step for step in scope.steps if step.action == "remove"]
    given = [step for step in scope.steps if step.action != "remove"]
    scope.steps = [*taken, *things, *given]
    remove_last(scope)
    return Reconciled(tuple(scope.steps), tuple(scope.problems))


def _grants(scope: Scope, desired: Desired) -> None:
    if desired.grants is None:
        return
    wanted: list[_Wanted] = []
    for item in desired.grants:
        subject = scope.subject(item.to, item.line)
        resource = scope.find("resource", item.resource, item.line)
        policy = None if item.policy is None else scope.find("policy", item.policy, item.line)
        if subject is None or resource is None or (item.policy is not None and policy is None):
            continue
        terms = item.expires, None if policy is None else PolicyId(policy)
        name = f"{named_text(item.to)} → {item.resource}"
        place = subject, ResourceId(resource)
        wanted.append(_Wanted(place, terms, name, _terms_text(item.expires, item.policy), item.line))
    living = [(grant.id, (grant.subject, grant.resource), (grant.expires, grant.policy)) for grant in _by_age(scope)]
    missing, surplus = _compare(wanted, living, prune=scope.prune)
    for grant in surplus:
        gone = scope.state.grants[GrantId(grant)]
        name = _place_text(scope, gone.subject, gone.resource)
        detail = _terms_of(scope, gone.expires, gone.policy)
        scope.steps.append(Step(c.RevokeGrant(gone.id), "remove", "grant", name, detail))
    for item_ in missing:
        subject, resource_id = item_.place
        expires, policy_id = item_.terms
        command = c.CreateGrant(
            GrantId(scope.ids.new("grant")), subject.kind, subject.id, resource_id, expires, policy_id
        )
        scope.steps.append(Step(command, "create", "grant", item_.name, item_.detail, item_.line))


def _exclusions(scope: Scope, desired: Desired) -> None:
    if desired.exclusions is None:
        return
    wanted: list[_Wanted] = []
    for item in desired.exclusions:
        subject = scope.subject(item.who, item.line)
        resource = scope.find("resource", item.resource, item.line)
        if subject is None or resource is None:
            continue
        name, place = f"{named_text(item.who)} → {item.resource}", (subject, ResourceId(resource))
        wanted.append(_Wanted(place, (item.expires, None), name, _terms_text(item.expires, None), item.line))
    exclusions = sorted(scope.state.exclusions.values(), key=lambda one: (one.created_ms, one.id))
    living = [(one.id, (one.subject, one.resource), (one.expires, None)) for one in exclusions]
    missing, surplus = _compare(wanted, living, prune=scope.prune)
    for found in surplus:
        old = scope.state.exclusions[ExclusionId(found)]
        name = _place_text(scope, old.subject, old.resource)
        command: c.Command = RemoveExclusion(old.id)
        scope.steps.append(Step(command, "remove", "exclusion", name, _terms_text(old.expires, None)))
    for item_ in missing:
        subject, resource_id = item_.place
        command = CreateExclusion(
            ExclusionId(scope.ids.new("exclusion")), subject.kind, subject.id, resource_id, item_.terms[0]
        )
        scope.steps.append(Step(command, "create", "exclusion", item_.name, item_.detail, item_.line))


def _compare(
    wanted: list[_Wanted], living: Iterable[tuple[str, Place, Terms]], *, prune: bool
) -> tuple[list[_Wanted], list[str]]:
    """Returns what of ``wanted`` does not live, and which of the living are too many. Equal ones are counted."""
    counts = Counter((item.place, item.terms) for item in wanted)
    places = {item.place for item in wanted}
    surplus: list[str] = []
    for thing, place, terms in living:
        if counts[place, terms] > 0:
            counts[place, terms] -= 1
        elif prune or place in places:
            surplus.append(thing)
    missing: list[_Wanted] = []
    for item in wanted:
        if counts[item.place, item.terms] > 0:
            counts[item.place, item.terms] -= 1
            missing.append(item)
    return missing, surplus


def _by_age(scope: Scope) -> list[Grant]:
    return sorted(scope.state.grants.values(), key=lambda grant: (grant.created_ms, grant.id))


def _place_text(scope: Scope, subject: SubjectRef, resource: ResourceId) -> str:
    state = scope.state
    name = subject.id
    if subject.kind is SubjectKind.GROUP:
        name = state.groups[GroupId(subject.id)].name
    elif subject.kind is SubjectKind.SERVICE_ACCOUNT:
        name = state.service_accounts[ServiceAccountId(subject.id)].name
    return f"{subject.kind.value.replace('_', '-')}:{name} → {state.resources[resource].name}"


def _terms_of(scope: Scope, expires: int | None, policy: PolicyId | None) -> str:
    known = scope.state.policies.get(policy) if policy is not None else None
    return _terms_text(expires, known.name if known is not None else policy)


def _terms_text(expires: int | None, policy: str | None) -> str:
    parts = ["" if expires is None else f"until {moment_text(expires)}", "" if policy is None else f"under {policy}"]
    return ", ".join(part for part in parts if part)
