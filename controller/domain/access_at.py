"""Who reaches what, in one state and over a stretch of the log: the same evaluator, asked about the past.

Nothing here decides. Every answer is the evaluator's for one device, one resource and one moment; this module chooses whom
to ask about, and finds the moments at which the answer can have changed: events that mention something that the answer
rests on, and the flips that time brings between them (``next_change_at``).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from itertools import islice
from math import inf, nextafter
from typing import Final

from controller.domain.conditions import Assumed
from controller.domain.evaluate import may_reach, next_change_at
from controller.domain.events import EVENT_TYPES, Event
from controller.domain.held import exclusions_of, grants_of
from controller.domain.log import Change
from controller.domain.model import Grant, SubjectKind, SubjectRef
from controller.domain.state import PolicyState
from protocol.acl.model import Deny, Ports
from protocol.ids import DeviceId, GrantId, GroupId, ResourceId, UserId
from protocol.reasons import Reason

FLIPS_MAX: Final = 2_000
"""Flips by time alone that are looked at per device and question: hours that open twice a day, for years."""
BACK_S: Final = 8 * 24 * 3600
"""A stretch without events is searched backwards in pieces of this length: a week, and one more day."""


Pair = tuple[SubjectRef, ResourceId]
_NONE: Final[frozenset[Pair]] = frozenset()


class Verdict(Enum):
    """What the evaluator said."""

    PERMITTED = "permitted"
    CONDITIONAL = "conditional"
    """Permitted if a fact that the log does not hold (the address that the device came from) was as the policy wants."""
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Answer:
    """The evaluator's answer for one device and one resource. ``reason``: why denied, or on what it depends."""

    verdict: Verdict
    grants: tuple[GrantId, ...] = ()
    ports: Ports | None = None
    reason: Reason | None = None

    @property
    def reaches(self) -> bool:
        """Whether it is not denied."""
        return self.verdict is not Verdict.DENIED


@dataclass(frozen=True, slots=True)
class Line:
    """``owner`` with ``device`` and ``resource``: one line of an answer."""

    owner: SubjectRef
    device: DeviceId
    resource: ResourceId
    answer: Answer


@dataclass(frozen=True, slots=True)
class Moment:
    """A point of the log: the states that the events of one millisecond made. The last one held from then on.

    What one transaction did carries one time, and nobody was ever shown the states in between.
    """

    at_ms: int
    made: tuple[PolicyState, ...]

    @property
    def at(self) -> float:
        """Unix seconds."""
        return self.at_ms / 1000

    @property
    def state(self) -> PolicyState:
        """The state that held."""
        return self.made[-1]


@dataclass(frozen=True, slots=True)
class Edge:
    """When something began or ended, in Unix seconds. ``position`` is the event that did it; None: time did."""

    at: float
    position: int | None


@dataclass(frozen=True, slots=True)
class Span:
    """``answer`` held from ``start`` to ``end``.

    ``start`` None: it held already where the stretch begins. ``end`` None: it still held where the stretch ends.
    """

    answer: Answer
    start: Edge | None
    end: Edge | None


def ask(state: PolicyState, device: DeviceId, resource: ResourceId, now: float) -> Answer:
    """Returns the evaluator's answer. ``now`` in Unix seconds."""
    found = may_reach(state, device, resource, now)
    if not isinstance(found, Deny):
        return Answer(Verdict.PERMITTED, found.grants, found.resource.ports)
    from_there = may_reach(state, device, resource, now, source=Assumed.MET)
    if isinstance(from_there, Deny):
        return Answer(Verdict.DENIED, reason=from_there.reason)
    return Answer(Verdict.CONDITIONAL, from_there.grants, from_there.resource.ports, found.reason)


def who_reaches(state: PolicyState, resource: ResourceId, now: float) -> Iterator[Line]:
    """Yields a line for each device of each user and service account to whom a grant on ``resource`` leads."""
    owners: set[SubjectRef] = set()
    for grant in _grants_on(state, resource):
        owners.update(_owners(state, grant.subject))
    for owner in sorted(owners, key=lambda owner: (owner.kind.value, owner.id)):
        for device in sorted(state.devices_of.get(owner, ())):
            yield Line(owner, device, resource, ask(state, device, resource, now))


def what_reaches(state: PolicyState, owner: SubjectRef, now: float) -> Iterator[Line]:
    """Yields a line for each device of ``owner`` and each resource that a grant leads to."""
    resources = {grant.resource for grant in grants_of(state, owner)}
    for device in sorted(state.devices_of.get(owner, ())):
        for resource in sorted(resources):
            yield Line(owner, device, resource, ask(state, device, resource, now))


def footing(state: PolicyState, owner: SubjectRef, resource: ResourceId) -> frozenset[str]:
    """Returns the ids of everything in ``state`` that an answer about ``owner`` and ``resource`` can rest on."""
    ids: set[str] = {owner.id, resource}
    if owner.kind is SubjectKind.USER:
        ids.update(state.groups_of.get(UserId(owner.id), ()))
    for device in state.devices_of.get(owner, ()):
        ids.add(device)
        if (session := state.session_of.get(device)) is not None:
            ids.add(session)
    for grant in _grants_on(state, resource):
        ids.add(grant.id)
        if grant.policy is not None:
            ids.add(grant.policy)
    # Whichever of them overlap the resource: that changes with the addresses of the excluded ones.
    for exclusion in exclusions_of(state, owner):
        ids |= {exclusion.id, exclusion.resource}
    return frozenset(ids)


class Stretch:
    """Collects, from changes in order, for each of some pairs the moments at which an answer about it can have changed."""

    def __init__(self, first: PolicyState, pairs: Iterable[Pair]) -> None:
        self._moments = {pair: [Moment(first.at_ms, (first,))] for pair in pairs}
        self._footing = {pair: footing(first, *pair) for pair in self._moments}
        self._resting: dict[str, set[Pair]] = {}
        for pair, ids in self._footing.items():
            for thing in ids:
                self._resting.setdefault(thing, set()).add(pair)

    @property
    def ids(self) -> frozenset[str]:
        """Everything that answers rest on at the present end of the stretch."""
        return frozenset(self._resting)

    def of(self, pair: Pair) -> list[Moment]:
        """The moments of one pair; the first is where the stretch begins."""
        return self._moments[pair]

    def visit(self, change: Change) -> None:
        """Takes the next change."""
        touched: set[Pair] = set()
        for thing in mentioned(change.event):
            touched |= self._resting.get(thing, _NONE)
        after = change.after.state
        for pair in touched:
            moments = self._moments[pair]
            if len(moments) > 1 and moments[-1].at_ms == after.at_ms:
                moments[-1] = Moment(after.at_ms, (*moments[-1].made, after))
            else:
                moments.append(Moment(after.at_ms, (after,)))
            self._rest(pair, footing(after, *pair))

    def _rest(self, pair: Pair, ids: frozenset[str]) -> None:
        before, self._footing[pair] = self._footing[pair], ids
        for thing in before - ids:
            self._resting[thing].discard(pair)
            if not self._resting[thing]:
                del self._resting[thing]
        for thing in ids - before:
            self._resting.setdefault(thing, set()).add(pair)


def mentioned(event: Event) -> set[str]:
    """Returns the texts in an event: among them the ids of everything that it is about."""
    found: set[str] = set()
    for name in _FIELDS[type(event)]:
        value = getattr(event, name)
        if isinstance(value, str):
            found.add(value)
        elif isinstance(value, tuple):
            found.update(item for item in value if isinstance(item, str))
    return found


def spans(moments: Sequence[Moment], device: DeviceId, resource: ResourceId, until: float) -> list[Span]:
    """Returns, oldest first, every span in which the answer stayed the same, denials included; at most FLIPS_MAX.

    ``moments`` are of one stretch, ``until`` (Unix seconds) is its end.
    """
    found: list[Span] = []
    for now, moment, answer in _answers(moments, device, resource, until):
        if found and found[-1].answer == answer:
            continue
        edge = Edge(now, _maker(moment, device, resource, answer.__eq__))
        if found:
            found[-1] = Span(found[-1].answer, found[-1].start, edge)
        found.append(Span(answer, edge if found else None, None))
        if len(found) >= FLIPS_MAX:
            break
    return found


def began(moments: Sequence[Moment], device: DeviceId, resource: ResourceId, at: float) -> tuple[Edge, bool]:
    """Returns since when the device has reached the resource without a break, and whether that is exact.

    Not exact: the stretch begins with it, so that it is true for at least so long. The device reaches it at ``at``.
    """
    end, start = nextafter(at, inf), Edge(at, None)
    for moment in reversed([moment for moment in moments if moment.at < end]):
        if moment.at >= end:
            continue
        while True:
            piece = max(moment.at, end - BACK_S)
            since = _unbroken(moment.state, device, resource, piece, end)
            if since is None:
                return start, True
            if since > moment.at:
                start, end = Edge(since, None), piece
                if since > piece:
                    return start, True
                continue
            start, end = Edge(since, _maker(moment, device, resource, _reaches)), moment.at
            break
    return start, False


def ends(moments: Sequence[Moment], device: DeviceId, resource: ResourceId, at: float) -> Edge | None:
    """Returns when the access ended, or by time alone will end; None: as far as the log goes, it stays open-ended.

    ``moments`` begin at or before ``at``, at which the device reaches the resource.
    """
    begin = max(index for index, moment in enumerate(moments) if moment.at <= at)
    answers = _answers(moments[begin:], device, resource, None, begin=at)
    for now, moment, answer in islice(answers, FLIPS_MAX):
        if not answer.reaches:
            return Edge(now, _maker(moment, device, resource, _denied))
    return None


def _answers(
    moments: Sequence[Moment], device: DeviceId, resource: ResourceId, until: float | None, *, begin: float = 0.0
) -> Iterator[tuple[float, Moment | None, Answer]]:
    """Yields time and answer at each moment and, with None for the moment, at each flip between them.

    Behind the last moment it goes on to ``until``; without one, until time brings no flip any more.
    """
    for index, moment in enumerate(moments):
        end = moments[index + 1].at if index + 1 < len(moments) else until
        made: Moment | None = moment
        now: float | None = max(begin, moment.at)
        while now is not None and (made is not None or end is None or now < end):
            yield now, made, ask(moment.state, device, resource, now)
            now, made = _next_flip(moment.state, device, now), None


def _maker(
    moment: Moment | None, device: DeviceId, resource: ResourceId, wanted: Callable[[Answer], bool]
) -> int | None:
    """Returns the position of the event of ``moment`` from which on the answer was as wanted; None without a moment."""
    if moment is None:
        return None
    position = moment.state.position
    for state in reversed(moment.made):
        if not wanted(ask(state, device, resource, moment.at)):
            break
        position = state.position
    return position


def _reaches(answer: Answer) -> bool:
    return answer.reaches


def _denied(answer: Answer) -> bool:
    return not answer.reaches


def _unbroken(state: PolicyState, device: DeviceId, resource: ResourceId, low: float, high: float) -> float | None:
    """Returns since when the answer in one state is yes all the way from there to just before ``high``, if it is.

    It looks no further back than ``low``.
    """
    since: float | None = None
    now: float | None = low
    while now is not None and now < high:
        if not ask(state, device, resource, now).reaches:
            since = None
        elif since is None:
            since = now
        now = _next_flip(state, device, now)
    return since


def _next_flip(state: PolicyState, device: DeviceId, now: float) -> int | None:
    return next_change_at(state, device, now, source=Assumed.MET)


def _grants_on(state: PolicyState, resource: ResourceId) -> Iterator[Grant]:
    return (state.grants[grant] for grant in state.grants_on.get(resource, ()))


def _owners(state: PolicyState, subject: SubjectRef) -> Iterator[SubjectRef]:
    if subject.kind is not SubjectKind.GROUP:
        yield subject
        return
    for user in state.members.get(GroupId(subject.id), ()):
        yield SubjectRef(SubjectKind.USER, user)


_FIELDS: Final = {event: tuple(field.name for field in fields(event)) for event in EVENT_TYPES}
