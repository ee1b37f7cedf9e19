"""Sign-in to the API, and the caller himself."""

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from controller.api import views
from controller.api.calls import Anonymous, SignedCall, permits
from controller.api.operations import sessions
from controller.api.paging import page_of
from controller.api.routes.common import SIGNED, IdInPath, Window, problems
from controller.api.schemas.people import Me, SessionCreate, SessionCreated, SessionPage
from controller.api.writes import model_answer
from controller.domain.permissions import Permission
from controller.store import credentials
from protocol.errors import RefusedError
from protocol.reasons import Reason

router = APIRouter(tags=["sessions"])

Mine = Annotated[SignedCall, permits(Permission.SELF_READ)]
ChangeMine = Annotated[SignedCall, permits(Permission.SELF_WRITE)]


@router.post("/sessions", status_code=201, responses=problems(401, 403, 429, 503), summary="Sign in")
async def create_session(call: Anonymous, body: SessionCreate) -> SessionCreated:
    """Returns a bearer token, this once. It ends after 4 hours without use, at the latest after 12 hours."""
    signed = await sessions.sign_in(
        call.services,
        email=body.email,
        password=body.password,
        kind="api",
        origin=call.origin,
        request_id=call.request_id,
        now=call.now,
    )
    shown = views.session(signed.principal, seen=call.now, current=True)
    return SessionCreated(
        **shown.model_dump(), token=signed.secret, user=signed.account.id, role=signed.account.role.value
    )


@router.get("/sessions", responses=problems(*SIGNED), summary="List your own sessions")
async def list_sessions(call: Mine, window: Annotated[Window, Depends()]) -> SessionPage:
    """Of the API and of the sign-in page. Sessions of devices are at the devices."""
    mine = await sessions.list_of(call.services, call.user.id, call.now)
    items, following = page_of(
        mine, lambda item: (int(item.session.created_at), item.id), cursor=window.cursor, limit=window.limit
    )
    activity = call.services.activity
    shown = [
        views.session(
            item,
            seen=activity.seen(item.session.hash, item.session.created_at),
            current=call.session is not None and item.id == call.session.id,
        )
        for item in items
    ]
    return SessionPage(items=shown, next_cursor=following)


@router.delete("/sessions/{session}", status_code=204, responses=problems(*SIGNED, 404), summary="End a session")
async def end_session(call: ChangeMine, session: IdInPath) -> None:
    """One of your own; `current` is the one that this request uses."""
    mine = await sessions.list_of(call.services, call.user.id, call.now)
    wanted = call.session.id if session == "current" and call.session is not None else session
    for item in mine:
        if item.id == wanted:
            await sessions.end(call.services, item.session.hash, call.user.id, call.now)
            return
    raise RefusedError(Reason.NOT_FOUND)


@router.get("/me", response_model=Me, responses=problems(*SIGNED), summary="Who am I?", tags=["users"])
async def get_me(call: Mine) -> Response:
    """The caller, what he may do, and the session or the API token that this request uses."""
    async with call.services.store.read() as connection:
        personal = await credentials.get_personal_data(connection, call.user.id)
    session = None
    if call.session is not None:
        seen = call.services.activity.seen(call.session.session.hash, call.now)
        session = views.session(call.session, seen=seen, current=True)
    shown = views.user(call.state, call.user, personal)
    me = Me(
        **shown.model_dump(),
        permissions=sorted(item.value for item in call.standing.permissions),
        session=session,
        api_token=call.actor if call.session is None else None,
    )
    return model_answer(me)
