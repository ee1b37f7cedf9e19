"""Access at any time: who could reach what, by which grants, made by whom, and from when to when."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import Depends, Query

from controller.api.calls import SignedCall, permits
from controller.api.operations import access
from controller.api.operations.access import Around, Then
from controller.api.paging import page_of
from controller.api.problems import FieldError
from controller.api.routes.common import POSITION_MAX, STAFF, Window, api_router, problems
from controller.api.schemas.access import Access, AccessHistory, AccessLine, AccessSpan, Cited
from controller.api.schemas.common import Ports, from_ms, from_s
from controller.domain.access_at import Line, Span, began, ends, what_reaches, who_reaches
from controller.domain.model import SubjectKind, SubjectRef
from controller.domain.permissions import Permission
from controller.store import credentials
from controller.store.citations import Citation, at_positions
from controller.store.credentials import PersonalData
from protocol.errors import RefusedError
from protocol.ids import ResourceId, ServiceAccountId, is_id
from protocol.reasons import Reason

router = api_router("/access", tags=["access"])

Read = Annotated[SignedCall, permits(Permission.ACCESS_READ)]
People = Mapping[str, PersonalData]

HISTORY_S: Final = 30 * 24 * 3600

Subject = Annotated[str, Query(max_length=64, description="A user or service account, by id.")]


@router.get("", responses=problems(*STAFF, 404), summary="Who could reach what, at any time?")
async def get_access(
    call: Read,
    window: Annotated[Window, Depends()],
    resource: Annotated[str | None, Query(max_length=64, description="Who could reach this resource?")] = None,
    user: Annotated[
        str | None, Query(max_length=64, description="What could this user or service account reach?")
    ] = None,
    at: Annotated[datetime | None, Query(description="When (RFC 3339); default: now.")] = None,
    revision: Annotated[
        int | None, Query(ge=0, le=POSITION_MAX, description="Under this policy revision, instead of the one then.")
    ] = None,
    denied: Annotated[bool, Query(description="Also those whom a grant leads there, but who were denied.")] = False,
) -> Access:
    """Name `resource`, or `user`, or both. The same evaluator that decides now, over the policy as it was; devices that
    held that revision were told the same. Each answer cites the events that it rests on."""
    moment = await access.then(call.services, at=_seconds("at", at), revision=revision, now=call.now)
    if user is not None:
        owner = _owner(call, user)
        lines = what_reaches(moment.state, owner, moment.at)
        if resource is not None:
            _known(call, resource)
            lines = (line for line in lines if line.resource == resource)
    elif resource is not None:
        lines = who_reaches(moment.state, ResourceId(_known(call, resource)), moment.at)
    else:
        raise FieldError("resource", "name a resource, or a user")
    found = await access.judged(lines, denied=denied)
    page, following = page_of(found, _key, cursor=window.cursor, limit=window.limit)
    items = await _shown(call, moment, page)
    return Access(at=from_s(moment.at), revision=moment.head.position, items=items, next_cursor=following)


@router.get("/history", responses=problems(*STAFF, 404), summary="When could somebody reach a resource?")
async def get_access_history(
    call: Read,
    user: Subject,
    resource: Annotated[str, Query(max_length=64, description="The resource, by id.")],
    since: Annotated[datetime | None, Query(description="From (RFC 3339); default: 30 days before `until`.")] = None,
    until: Annotated[datetime | None, Query(description="Until (RFC 3339); default: now.")] = None,
) -> AccessHistory:
    """Every stretch of time in which the answer stayed the same, denials with their reasons, and the events at its ends."""
    end = min(call.now, _seconds("until", until) or call.now)
    start = _seconds("since", since)
    start = end - HISTORY_S if start is None else start
    if start >= end:
        raise FieldError("since", "it must be before `until`, and not in the future")
    pair = _owner(call, user), ResourceId(_known(call, resource))
    found = await access.past(call.services, pair, since=start, until=end)
    positions = {
        edge.position
        for items in found.spans.values()
        for span in items
        for edge in (span.start, span.end)
        if edge is not None and edge.position is not None
    }
    async with call.services.store.read() as connection:
        cited = await at_positions(connection, positions)
        people = await credentials.get_many(connection, [*found.spans, *(item.actor for item in cited.values())])
    items = [_span(device, span, cited, people) for device, spans in found.spans.items() for span in spans]
    return AccessHistory(
        subject=user,
        resource=resource,
        since=from_s(found.since),
        until=from_s(end),
        complete=found.complete,
        items=items,
    )


async def _shown(call: SignedCall, moment: Then, page: Sequence[Line]) -> list[AccessLine]:
    if not page:
        return []
    stretch = await access.around(call.services, moment, {(line.owner, line.resource) for line in page})
    async with call.services.store.read() as connection:
        known = await access.sources(connection, moment, page)
        cited = {line: access.because(moment.state, line, known) for line in page}
        actors = {citation.actor for items in cited.values() for citation in items}
        ids = {part for line in page for part in (line.owner.id, line.device)}
        people = await credentials.get_many(connection, [*ids, *actors])
    return await asyncio.to_thread(lambda: [_line(moment, line, stretch, cited[line], people) for line in page])


def _line(moment: Then, line: Line, stretch: Around, cited: Iterable[Citation], people: People) -> AccessLine:
    state, answer = moment.state, line.answer
    resource = state.resources.get(line.resource)
    return AccessLine(
        subject_kind=line.owner.kind.value,
        subject=line.owner.id,
        subject_name=_subject_name(moment, line.owner, people),
        device=line.device,
        device_name=_name(people, line.device),
        resource=line.resource,
        resource_name=resource.name if resource is not None else None,
        verdict=answer.verdict.value,
        reason=answer.reason.code if answer.reason is not None else None,
        ports=Ports.of(answer.ports) if answer.ports is not None else None,
        grants=list(answer.grants),
        because=[_cited(item, people) for item in cited],
        **(_duration(moment, line, stretch) if answer.reaches else {}),
    )


def _duration(moment: Then, line: Line, stretch: Around) -> dict[str, Any]:
    start, exact = began(stretch.of(line), line.device, line.resource, moment.at)
    end = ends(stretch.of(line), line.device, line.resource, moment.at)
    until: float | None = None if end is None else end.at
    searched = stretch.last
    until_exact = searched is None or (until is not None and until <= searched)
    if not until_exact:
        until, end = searched, None
    return {
        "since": from_s(start.at),
        "since_event": start.position,
        "since_exact": exact,
        "until": None if until is None else from_s(until),
        "until_event": None if end is None else end.position,
        "until_exact": until_exact,
    }


def _span(device: str, span: Span, cited: Mapping[int, Citation], people: People) -> AccessSpan:
    answer = span.answer
    opened, closed = (
        None if edge is None or edge.position is None else cited.get(edge.position) for edge in (span.start, span.end)
    )
    return AccessSpan(
        device=device,
        device_name=_name(people, device),
        verdict=answer.verdict.value,
        reason=answer.reason.code if answer.reason is not None else None,
        ports=Ports.of(answer.ports) if answer.ports is not None else None,
        grants=list(answer.grants),
        since=None if span.start is None else from_s(span.start.at),
        since_event=None if span.start is None else span.start.position,
        until=None if span.end is None else from_s(span.end.at),
        until_event=None if span.end is None else span.end.position,
        opened_by=None if opened is None else _cited(opened, people),
        closed_by=None if closed is None else _cited(closed, people),
    )


def _cited(item: Citation, people: People) -> Cited:
    return Cited(
        event=item.position,
        type=item.type,
        about=item.stream,
        actor=item.actor,
        actor_name=_name(people, item.actor),
        at=from_ms(item.at_ms),
    )


def _name(people: People, thing: str) -> str | None:
    return people[thing].name if thing in people else None


def _subject_name(moment: Then, owner: SubjectRef, people: People) -> str | None:
    if owner.kind is SubjectKind.USER:
        return _name(people, owner.id)
    account = moment.state.service_accounts.get(ServiceAccountId(owner.id))
    return None if account is None else account.name


def _key(line: Line) -> tuple[str, str, str, str]:
    return line.owner.kind.value, line.owner.id, line.device, line.resource


def _owner(call: SignedCall, subject: str) -> SubjectRef:
    """Whom an id names, now or ever. Raises FieldError, RefusedError(NOT_FOUND)."""
    kinds = {"user": SubjectKind.USER, "service_account": SubjectKind.SERVICE_ACCOUNT}
    for name, kind in kinds.items():
        if is_id(subject, name):
            return SubjectRef(kind, _known(call, subject))
    raise FieldError("user", "it is not the id of a user or service account")


def _known(call: SignedCall, thing: str) -> str:
    """Returns an id that is, or was, one. Raises RefusedError(NOT_FOUND)."""
    if call.state.version_of(thing) == 0:
        raise RefusedError(Reason.NOT_FOUND)
    return thing


def _seconds(field: str, moment: datetime | None) -> float | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise FieldError(field, "the time needs an offset, for example 2026-11-22T12:00:00Z")
    if not 1970 <= moment.year <= 2200:
        raise FieldError(field, "the time is out of range")
    return moment.timestamp()
