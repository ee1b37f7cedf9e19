"""What happened and what is in force: the audit trail, enforcement, signing keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Query
from fastapi.responses import Response, StreamingResponse

from controller.api import exports, views
from controller.api.calls import SignedCall, permits
from controller.api.operations import keys
from controller.api.paging import encode_cursor, page_of
from controller.api.routes.common import (
    POSITION_MAX,
    STAFF,
    Since,
    Until,
    Window,
    api_router,
    position_before,
    problems,
    to_ms,
)
from controller.api.schemas.activity import (
    AgentEnforcement,
    Enforcement,
    Event,
    EventPage,
    KeyPage,
)
from controller.api.schemas.common import PAGE_MAX, from_s
from controller.api.writes import WriteOnce
from controller.domain.permissions import Permission
from controller.domain.state import PolicyState
from controller.store import EventFilter, Unit, credentials
from controller.store import events as stored_events
from protocol.errors import RefusedError
from protocol.reasons import Reason

router = api_router(tags=["activity"])

ReadEvents = Annotated[SignedCall, permits(Permission.AUDIT_READ)]
ReadEnforcement = Annotated[SignedCall, permits(Permission.ENFORCEMENT_READ)]
ReadKeys = Annotated[SignedCall, permits(Permission.KEYS_READ)]
WriteKeys = Annotated[SignedCall, permits(Permission.KEYS_WRITE)]


@dataclass(frozen=True, slots=True)
class EventFilters:
    """Which events are asked for."""

    stream: Annotated[str | None, Query(max_length=64, description="Only those about this thing.")] = None
    actor: Annotated[str | None, Query(max_length=64, description="Only those that this one caused.")] = None
    type: Annotated[
        str | None, Query(max_length=64, description="Only types that begin so: `grant.`, `sign_in.failed`.")
    ] = None
    since: Since = None
    until: Until = None

    @property
    def where(self) -> EventFilter:
        """As the store takes it."""
        return EventFilter(self.stream, self.actor, self.type, to_ms(self.since), to_ms(self.until))


@router.get("/events", responses=problems(*STAFF), summary="Read the audit trail")
async def list_events(
    call: ReadEvents, window: Annotated[Window, Depends()], filters: Annotated[EventFilters, Depends()]
) -> EventPage:
    """Newest first. Names of people and devices are joined in as far as they are not erased."""
    found = await _events(call, filters, before=position_before(window), limit=window.limit + 1)
    following = encode_cursor((found[window.limit - 1].position,)) if len(found) > window.limit else None
    return EventPage(items=found[: window.limit], next_cursor=following)


@router.get(
    "/events/export",
    responses={**problems(*STAFF), **exports.DESCRIPTION},
    response_class=StreamingResponse,
    summary="Export the audit trail",
)
async def export_events(
    call: ReadEvents,
    filters: Annotated[EventFilters, Depends()],
    format: exports.Format = "jsonl",  # noqa: A002 - the parameter's name
) -> StreamingResponse:
    """All events that pass the filters, newest first, as JSON lines or CSV."""

    async def next_page(before: int | None) -> tuple[Sequence[dict[str, Any]], int | None]:
        found = await _events(call, filters, before=before, limit=stored_events.PAGE_MAX)
        rows = [item.model_dump(mode="json") for item in found]
        return rows, found[-1].position if len(found) == stored_events.PAGE_MAX else None

    return exports.stream(next_page, format=format, columns=tuple(Event.model_fields), name="events")


@router.get("/events/{position}", responses=problems(*STAFF, 404), summary="Read one event of the audit trail")
async def get_event(
    call: ReadEvents, position: Annotated[int, Path(ge=1, le=POSITION_MAX, description="The event's position.")]
) -> Event:
    """As the list shows it."""
    found = await _events(call, EventFilters(), before=min(position + 1, POSITION_MAX), limit=1)
    if not found or found[0].position != position:
        raise RefusedError(Reason.NOT_FOUND)
    return found[0]


async def _events(call: SignedCall, filters: EventFilters, *, before: int | None, limit: int) -> list[Event]:
    async with call.services.store.read() as connection:
        page = await stored_events.page(connection, before=before, limit=limit, where=filters.where)
        subjects = [subject for item in page for subject in views.subjects_of(item)]
        personal = await credentials.get_many(connection, subjects)
    return [views.event(item, personal) for item in page]


@router.get("/enforcement", responses=problems(*STAFF), summary="Which agent enforces which revision?")
async def get_enforcement(call: ReadEnforcement, window: Annotated[Window, Depends()]) -> Enforcement:
    """A change is in force everywhere when no agent has a `pending_revision` up to its position."""
    state, presence = call.state, call.services.presence
    agents = [*((device, "client") for device in state.devices), *((item, "connector") for item in state.connectors)]
    shown = []
    for agent, kind in agents:
        seen = presence.agent(agent)
        current = seen.pending_revision is None
        shown.append(
            AgentEnforcement(
                agent=agent,
                kind="client" if kind == "client" else "connector",
                online=seen.online,
                enforced_revision=seen.enforced_revision,
                enforced_at=None if seen.enforced_at is None else from_s(seen.enforced_at),
                pending_revision=seen.pending_revision,
                current=current,
            )
        )
    items, following = page_of(shown, lambda item: (item.agent,), cursor=window.cursor, limit=window.limit)
    behind = sum(not item.current for item in shown)
    return Enforcement(revision=state.position, behind=behind, items=items, next_cursor=following)


@router.get("/keys", responses=problems(*STAFF), summary="List the signing keys", tags=["keys"])
async def list_keys(call: ReadKeys, window: Annotated[Window, Depends()]) -> KeyPage:
    """Current, next, and those whose tokens may still live; then the distrusted ones."""
    return _key_page(call.state, cursor=window.cursor, limit=window.limit)


@router.post("/keys/rotate", responses=problems(*STAFF), response_model=KeyPage, summary="Rotate", tags=["keys"])
async def rotate_keys(call: WriteKeys, once: WriteOnce) -> Response:
    """Signs with the next key from now on and publishes a new next one. Nobody notices."""

    async def build(unit: Unit) -> KeyPage:
        await keys.rotate(call.services.keyring, unit)
        return _key_page(unit.state)

    return await once.create(build, status=200)


@router.post(
    "/keys/{kid}/distrust",
    responses=problems(*STAFF, 404),
    response_model=KeyPage,
    summary="Distrust a key at once",
    tags=["keys"],
)
async def distrust_key(call: WriteKeys, once: WriteOnce, kid: str) -> Response:
    """Emergency: nothing that this key signed counts any more; agents fetch new tokens at once."""
    if len(kid) > 64:
        raise RefusedError(Reason.NOT_FOUND)

    async def build(unit: Unit) -> KeyPage:
        await keys.distrust(call.services.keyring, unit, kid)
        return _key_page(unit.state)

    return await once.create(build, status=200)


def _key_page(state: PolicyState, *, cursor: str | None = None, limit: int = PAGE_MAX) -> KeyPage:
    items, following = page_of(views.keys(state), views.key_order, cursor=cursor, limit=limit)
    return KeyPage(items=items, next_cursor=following)
