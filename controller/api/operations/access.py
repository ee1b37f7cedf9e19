"""Questions about the past, put to the log: which moment, which stretch around it, which events an answer cites.

Folding and judging run in threads: an answer about a large company takes seconds of one core, and agents wait for nobody.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from controller.api.services import Services
from controller.domain.access_at import Line, Moment, Pair, Span, Stretch, spans
from controller.domain.log import Head
from controller.domain.model import SubjectKind
from controller.domain.state import PolicyState
from controller.store import Connection, citations
from controller.store.citations import Citation
from controller.store.history import WALK_MAX
from protocol.ids import DeviceId, GroupId, ResourceId, UserId

HISTORY_MAX: Final = 100_000
"""Events that one question about a stretch of time walks through."""
SPANS_MAX: Final = 1_000
_MAKES: Final = (
    "grant.created",
    "session.started",
    "device.registered",
    "policy.created",
    "policy.changed",
)
"""What makes access so, by the beginning of the event's type."""


@dataclass(frozen=True, slots=True)
class Then:
    """A moment that is asked about: what the log said, and the time at which it is judged (Unix seconds)."""

    head: Head
    at: float

    @property
    def state(self) -> PolicyState:
        """The policy then."""
        return self.head.state


@dataclass(frozen=True, slots=True)
class Around:
    """The part of the log around a moment that was searched. ``last``: the time at which it ends, None: at the log's end."""

    stretch: Stretch
    last: float | None

    def of(self, line: Line) -> list[Moment]:
        """The moments that concern one line."""
        return self.stretch.of((line.owner, line.resource))


@dataclass(frozen=True, slots=True)
class Past:
    """Spans by device. ``since``: where the stretch really begins (Unix seconds)."""

    spans: dict[DeviceId, list[Span]]
    since: float
    complete: bool


@dataclass(slots=True)
class Sources:
    """The events behind some lines, as far as the log has them."""

    makers: dict[str, Citation] = field(default_factory=dict)
    memberships: dict[tuple[str, str], Citation] = field(default_factory=dict)


async def then(services: Services, *, at: float | None, revision: int | None, now: float) -> Then:
    """Returns the moment. A revision without a time is judged when it was made. Raises LocalError as ``History``."""
    if revision is not None:
        head = await services.history.head_at(revision)
        return Then(head, head.state.at_ms / 1000 if at is None else at)
    if at is None or at >= now:
        return Then(services.store.feed.head, now if at is None else at)
    position = await services.history.position_at(int(at * 1000))
    return Then(await services.history.head_at(position), at)


async def judged(lines: Iterator[Line], *, denied: bool) -> list[Line]:
    """Judges every line; without ``denied`` only those are kept that reach something."""
    found = await asyncio.to_thread(list, lines)
    return [line for line in found if denied or line.answer.reaches]


async def around(services: Services, moment: Then, pairs: Iterable[Pair]) -> Around:
    """Returns what happened around the moment that concerns these pairs, WALK_MAX events to either side at most."""
    position, end = int(moment.head.position), int(services.store.feed.head.position)
    first = await services.history.head_at(max(0, position - WALK_MAX))
    stretch = await asyncio.to_thread(Stretch, first.state, pairs)
    stop = min(end, position + WALK_MAX)
    await services.history.sift(first, stop, stretch.ids, stretch.visit)
    last = None if stop == end else (await services.history.head_at(stop)).state.at_ms / 1000
    return Around(stretch, last)


async def past(services: Services, pair: Pair, *, since: float, until: float) -> Past:
    """Returns every span of one pair between two times (Unix seconds); less, and not complete, when that is too much."""
    history = services.history
    first, last = await history.position_at(int(since * 1000)), await history.position_at(int(until * 1000))
    complete = last - first <= HISTORY_MAX
    start = await history.head_at(first if complete else last - HISTORY_MAX)
    stretch = Stretch(start.state, (pair,))
    await history.sift(start, last, stretch.ids, stretch.visit)
    moments = stretch.of(pair)
    if complete:
        # What held then had held before: the stretch begins where it was asked to begin.
        moments[0] = Moment(int(since * 1000), moments[0].made)
    devices = sorted({device for moment in moments for device in moment.state.devices_of.get(pair[0], ())})
    found = await asyncio.to_thread(lambda: {device: _of_device(moments, device, pair[1], until) for device in devices})
    total = sum(map(len, found.values()))
    if total > SPANS_MAX:
        found = {device: items[-SPANS_MAX // len(found) :] for device, items in found.items()}
    return Past(found, since if complete else moments[0].at, complete and total <= SPANS_MAX)


def _of_device(moments: Sequence[Moment], device: DeviceId, resource: ResourceId, until: float) -> list[Span]:
    """Leaves out the time before the device was registered: it was not denied, it did not exist."""
    born = next(moment for moment in moments if device in moment.state.devices)
    found = spans(moments, device, resource, until)
    if born is moments[0]:
        return found
    return [span for span in found if span.start is not None and span.start.at >= born.at]


async def sources(connection: Connection, moment: Then, lines: Sequence[Line]) -> Sources:
    """Finds the events that the lines rest on."""
    state, upto = moment.state, int(moment.head.position)
    streams: set[str] = set()
    members: dict[GroupId, set[str]] = {}
    for line in lines:
        streams.update(_streams(state, line))
        for group in _groups(state, line):
            members.setdefault(group, set()).add(line.owner.id)
    found = Sources(await citations.latest(connection, streams, _MAKES, upto=upto))
    for group, users in members.items():
        for user, citation in (await citations.memberships(connection, group, users, upto=upto)).items():
            found.memberships[group, user] = citation
    return found


def because(state: PolicyState, line: Line, known: Sources) -> list[Citation]:
    """Returns the events that one line rests on, oldest first."""
    found = [known.makers[stream] for stream in _streams(state, line) if stream in known.makers]
    keys = [(group, line.owner.id) for group in _groups(state, line)]
    found += [known.memberships[key] for key in keys if key in known.memberships]
    return sorted({item.position: item for item in found}.values(), key=lambda item: item.position)


def _streams(state: PolicyState, line: Line) -> Iterator[str]:
    yield line.device
    session = state.session_of.get(line.device)
    if session is not None:
        yield session
    for grant_id in line.answer.grants:
        grant = state.grants[grant_id]
        yield grant_id
        if grant.policy is not None:
            yield grant.policy


def _groups(state: PolicyState, line: Line) -> Iterator[GroupId]:
    """The groups through which the line's grants lead to its owner."""
    if line.owner.kind is not SubjectKind.USER:
        return
    mine = state.groups_of.get(UserId(line.owner.id), ())
    for grant_id in line.answer.grants:
        subject = state.grants[grant_id].subject
        if subject.kind is SubjectKind.GROUP and subject.id in mine:
            yield GroupId(subject.id)
