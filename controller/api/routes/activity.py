"""What happened and what is in force: connections, the audit trail, enforcement, signing keys."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response

from controller.api import views
from controller.api.calls import SignedCall, permits
from controller.api.operations import keys
from controller.api.paging import decode_cursor, encode_cursor, page_of
from controller.api.problems import FieldError
from controller.api.routes.common import SIGNED, STAFF, Window, problems
from controller.api.schemas.activity import (
    AgentEnforcement,
    ConnectionPage,
    Enforcement,
    EventPage,
    KeyPage,
)
from controller.api.schemas.common import PAGE_MAX, from_s
from controller.api.writes import WriteOnce
from controller.domain.permissions import Permission
from controller.domain.state import PolicyState
from controller.store import EventFilter, Unit, credentials, records
from controller.store import events as stored_events
from controller.store.records import RecordFilter
from protocol.errors import RefusedError
from protocol.reasons import Reason

router = APIRouter(tags=["activity"])

ReadConnections = Annotated[SignedCall, permits(Permission.CONNECTIONS_READ, own=Permission.SELF_READ)]
ReadEvents = Annotated[SignedCall, permits(Permission.AUDIT_READ)]
ReadEnforcement = Annotated[SignedCall, permits(Permission.ENFORCEMENT_READ)]
ReadKeys = Annotated[SignedCall, permits(Permission.KEYS_READ)]
WriteKeys = Annotated[SignedCall, permits(Permission.KEYS_WRITE)]

_POSITION_MAX = (1 << 63) - 1

Since = Annotated[datetime | None, Query(description="Only from this moment on (RFC 3339).")]
Until = Annotated[datetime | None, Query(description="Only before this moment (RFC 3339).")]
IdFilter = Annotated[str | None, Query(max_length=64)]


@router.get("/connections", responses=problems(*SIGNED), summary="List connections, served and denied")
async def list_connections(
    call: ReadConnections,
    window: Annotated[Window, Depends()],
    user: IdFilter = None,
    device: IdFilter = None,
    resource: IdFilter = None,
    network: IdFilter = None,
    connector: IdFilter = None,
    outcome: Annotated[str | None, Query(max_length=64, description="Reason code, for example `no_grant`.")] = None,
    denied: Annotated[bool | None, Query(description="Only those that were (not) denied.")] = None,
    since: Since = None,
    until: Until = None,
) -> ConnectionPage:
    """Newest first. Members see their own."""
    everybodys = call.may(Permission.CONNECTIONS_READ)
    where = RecordFilter(
        user=user if everybodys else call.user.id,
        device=device,
        resource=resource,
        network=network,
        connector=connector,
        outcome=outcome,
        denied=denied,
        since_ms=_ms(since),
        until_ms=_ms(until),
    )
    if not everybodys and user not in (None, call.user.id):
        return ConnectionPage(items=[], next_cursor=None)
    async with call.services.store.read() as connection:
        found = await records.page(connection, before=_before(window), limit=window.limit + 1, where=where)
    page = found[: window.limit]
    following = encode_cursor((page[-1].id,)) if len(found) > window.limit else None
    return ConnectionPage(items=[views.connection(item) for item in page], next_cursor=following)


@router.get("/events", responses=problems(*STAFF), summary="Read the audit trail")
async def list_events(
    call: ReadEvents,
    window: Annotated[Window, Depends()],
    stream: Annotated[str | None, Query(max_length=64, description="Only those about this thing.")] = None,
    actor: Annotated[str | None, Query(max_length=64, description="Only those that this one caused.")] = None,
    type: Annotated[  # noqa: A002 - the parameter's name
        str | None, Query(max_length=64, description="Only types that begin so: `grant.`, `sign_in.failed`.")
    ] = None,
    since: Since = None,
    until: Until = None,
) -> EventPage:
    """Newest first. Names of people and devices are joined in as far as they are not erased."""
    where = EventFilter(stream=stream, actor=actor, type_prefix=type, since_ms=_ms(since), until_ms=_ms(until))
    async with call.services.store.read() as connection:
        found = await stored_events.page(connection, before=_before(window), limit=window.limit + 1, where=where)
        page = found[: window.limit]
        subjects = [subject for item in page for subject in views.subjects_of(item)]
        personal = await credentials.get_many(connection, subjects)
    following = encode_cursor((page[-1].position,)) if len(found) > window.limit else None
    return EventPage(items=[views.event(item, personal) for item in page], next_cursor=following)


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


def _before(window: Window) -> int | None:
    if window.cursor is None:
        return None
    (position,) = decode_cursor(window.cursor, like=(0,))
    return max(0, min(int(position), _POSITION_MAX))


def _ms(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise FieldError("since", "the time needs an offset, for example 2026-11-22T12:00:00Z")
    return int(moment.timestamp() * 1000)
