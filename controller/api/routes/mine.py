"""The portal: what is the signed-in person's own, whatever his role would show him elsewhere."""

from typing import Annotated

from fastapi import Depends
from fastapi.responses import Response

from controller.api import views
from controller.api.calls import SignedCall, permits
from controller.api.operations import mine, sessions, summary
from controller.api.paging import encode_cursor, page_of
from controller.api.routes.common import SIGNED, IdInPath, Window, api_router, position_before, problems
from controller.api.routes.sessions import end_one, page_of_sessions
from controller.api.schemas.mine import MyDenialPage, MyResourcePage
from controller.api.schemas.people import DevicePage
from controller.api.schemas.sessions import SessionPage
from controller.domain.model import SubjectKind, SubjectRef
from controller.domain.permissions import Permission
from controller.store import credentials, records
from controller.store.records import RecordFilter
from protocol.errors import RefusedError
from protocol.reasons import Reason

router = api_router("/me", tags=["users"])

Read = Annotated[SignedCall, permits(Permission.SELF_READ)]
End = Annotated[SignedCall, permits(Permission.SELF_WRITE)]


@router.get("/resources", responses=problems(*SIGNED), summary="What may you reach?")
async def list_my_resources(call: Read, window: Annotated[Window, Depends()]) -> MyResourcePage:
    """By name: why, until when, and from which of your devices at this moment."""
    state = call.state
    grants = mine.granted(state, call.user.id)
    page, following = page_of(
        grants, lambda item: (state.resources[item].name, item), cursor=window.cursor, limit=window.limit
    )
    items = [mine.resource(state, item, grants[item], call.user.id, call.now) for item in page]
    return MyResourcePage(items=items, next_cursor=following)


@router.get("/devices", responses=problems(*SIGNED), summary="List your devices")
async def list_my_devices(call: Read, window: Annotated[Window, Depends()]) -> DevicePage:
    """Oldest first. Sign one out, or revoke it, at the devices."""
    state, presence = call.state, call.services.presence
    known = [state.devices[item] for item in state.devices_of.get(SubjectRef(SubjectKind.USER, call.user.id), ())]
    items, following = page_of(
        known, lambda item: (item.registered_ms, item.id), cursor=window.cursor, limit=window.limit
    )
    async with call.services.store.read() as connection:
        personal = await credentials.get_many(connection, [item.id for item in items])
    shown = [views.device(state, item, personal.get(item.id), presence.agent(item.id), call.now) for item in items]
    return DevicePage(items=shown, next_cursor=following)


@router.get("/sessions", responses=problems(*SIGNED), summary="List your sessions")
async def list_my_sessions(call: Read, window: Annotated[Window, Depends()]) -> SessionPage:
    """Of API, console and sign-in page, oldest first."""
    return page_of_sessions(call, await sessions.list_of(call.services, call.user.id, call.now), window)


@router.delete("/sessions/{session}", status_code=204, responses=problems(*SIGNED, 404), summary="End your session")
async def end_my_session(call: End, session: IdInPath) -> Response:
    """One of your own; it ends at once."""
    known = await sessions.list_of(call.services, call.user.id, call.now)
    found = next((item for item in known if item.id == session), None)
    if found is None:
        raise RefusedError(Reason.NOT_FOUND)
    await end_one(call, found, "revoked")
    return Response(status_code=204)


@router.get("/denials", responses=problems(*SIGNED), summary="What was denied to you, and why?")
async def list_my_denials(call: Read, window: Annotated[Window, Depends()]) -> MyDenialPage:
    """Newest first, each with what to do about it."""
    where = RecordFilter(user=call.user.id, denied=True, outcomes=tuple(summary.denied_outcomes()), one_side=True)
    async with call.services.store.read() as connection:
        found = await records.page(connection, before=position_before(window), limit=window.limit + 1, where=where)
    page = found[: window.limit]
    named = mine.granted(call.state, call.user.id)
    following = encode_cursor((page[-1].id,)) if len(found) > window.limit else None
    return MyDenialPage(items=[mine.denial(call.state, item, named) for item in page], next_cursor=following)
