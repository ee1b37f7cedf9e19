"""Sign-in to the API and the console, the sessions that result, and the caller himself."""

from typing import Annotated, Any, Final

from fastapi import Depends, Query, Request
from fastapi.responses import JSONResponse, Response

from controller.api import views
from controller.api.calls import Anonymous, Call, SignedCall, permits, require_second_factor
from controller.api.cookies import delete_cookie, set_cookie
from controller.api.operations import sessions
from controller.api.operations.sessions import Principal, SignedIn
from controller.api.origins import require_same_origin
from controller.api.paging import page_of
from controller.api.routes.common import SIGNED, IdInPath, Window, api_router, problems
from controller.api.schemas.common import from_s
from controller.api.schemas.people import Me
from controller.api.schemas.sessions import (
    SecondFactorGiven,
    SessionCreate,
    SessionCreated,
    SessionPage,
    SessionPending,
    SessionsEnded,
)
from controller.api.writes import model_answer
from controller.domain.commands_sign_in import RecordSignInEnd
from controller.domain.permissions import Permission
from controller.identity.web_sessions import CONSOLE_COOKIE, LIFETIMES, PENDING_COOKIE, PENDING_LIFE_S
from controller.store import credentials, web_sessions
from protocol.errors import RefusedError
from protocol.ids import UserId
from protocol.reasons import Reason

router = api_router(tags=["sessions"])

Myself = Annotated[SignedCall, permits(Permission.SELF_READ, early=True)]
Read = Annotated[SignedCall, permits(Permission.SESSIONS_READ, own=Permission.SELF_READ)]
End = Annotated[SignedCall, permits(Permission.SESSIONS_WRITE, own=Permission.SELF_WRITE, early=True)]
EndAll = Annotated[SignedCall, permits(Permission.SESSIONS_WRITE, own=Permission.SELF_WRITE)]

_STEPS: Final[dict[int | str, dict[str, Any]]] = {
    201: {"model": SessionCreated, "description": "Signed in."},
    202: {"model": SessionPending, "description": "The password was right; a second factor is asked for."},
}


@router.post(
    "/sessions",
    status_code=201,
    response_model=SessionCreated,
    responses={**_STEPS, **problems(401, 403, 429, 503)},
    summary="Sign in",
)
async def create_session(request: Request, call: Anonymous, body: SessionCreate) -> Response:
    """Returns a bearer token, this once: it ends after 4 hours without use, at the latest after 12 hours. For the console it
    comes as a cookie instead, and only to the controller's own pages.

    An account with a second factor is answered 202 unless `code` was given: go on at `/sessions/second-factor`.
    """
    if body.kind == "console":
        require_same_origin(request.headers, call.services.audiences)
    signed = await sessions.sign_in(
        call.services,
        email=body.email,
        password=body.password,
        code=body.code,
        kind=body.kind,
        origin=call.origin,
        request_id=call.request_id,
        now=call.now,
    )
    return _pending(signed, body.kind) if signed.pending else created(call, signed, body.kind)


@router.post(
    "/sessions/second-factor",
    status_code=201,
    responses=problems(401, 403, 429, 503),
    response_model=SessionCreated,
    summary="Sign in, second step",
)
async def complete_session(request: Request, call: Anonymous, body: SecondFactorGiven) -> Response:
    """Within five minutes of the first step. A code is good once."""
    secret = body.pending
    if body.kind == "console":
        require_same_origin(request.headers, call.services.audiences)
        secret = request.cookies.get(PENDING_COOKIE)
    if secret is None:
        raise RefusedError(Reason.SIGN_IN_REQUIRED, "the first step of the sign-in is missing")
    signed = await sessions.complete(
        call.services,
        secret=secret,
        code=body.code,
        kind=body.kind,
        origin=call.origin,
        request_id=call.request_id,
        now=call.now,
    )
    response = created(call, signed, body.kind)
    if body.kind == "console":
        delete_cookie(response, PENDING_COOKIE)
    return response


@router.get("/sessions", responses=problems(*SIGNED), summary="List sessions")
async def list_sessions(
    call: Read,
    window: Annotated[Window, Depends()],
    user: Annotated[str | None, Query(max_length=64, description="Only those of this user.")] = None,
) -> SessionPage:
    """Of API, console and sign-in page: whose, how, from where, since when. Members see their own. Sessions of devices are
    at the devices."""
    whose = UserId(user) if call.may(Permission.SESSIONS_READ) and user is not None else None
    if not call.may(Permission.SESSIONS_READ):
        whose = call.user.id
    known = await sessions.list_of(call.services, whose, call.now)
    chosen = [item for item in known if user in (None, item.user)]
    return page_of_sessions(call, chosen, window)


@router.delete("/sessions/{session}", status_code=204, responses=problems(*SIGNED, 403, 404), summary="End a session")
async def end_session(call: End, session: IdInPath) -> Response:
    """One of your own, or of somebody below you; `current` is the one that this request uses. It ends at once."""
    response = Response(status_code=204)
    if session == "current":
        current = call.require_session()
        await end_one(call, current, "signed_out")
        if current.kind == "console":
            delete_cookie(response, CONSOLE_COOKIE)
        return response
    require_second_factor(call)
    whose = None if call.may(Permission.SESSIONS_WRITE) else call.user.id
    known = await sessions.list_of(call.services, whose, call.now)
    found = next((item for item in known if item.id == session), None)
    if found is None:
        raise RefusedError(Reason.NOT_FOUND)
    await end_one(call, found, "revoked")
    return response


@router.delete("/sessions", responses=problems(*SIGNED, 403, 404), summary="End all sessions of a user")
async def end_sessions(
    call: EndAll,
    user: Annotated[str, Query(min_length=1, max_length=64, description="Whose: an id, or `me`.")],
) -> SessionsEnded:
    """All but the one that this request uses. Devices stay signed in: revoke them at the devices."""
    target = UserId(user) if user != "me" else call.user.id
    call.require_power(Permission.SESSIONS_WRITE, target, sight=Permission.SESSIONS_READ)
    if target not in call.state.users:
        raise RefusedError(Reason.NOT_FOUND)
    current = call.session.session.hash if call.session is not None else None
    async with call.write() as unit:
        await unit.execute(RecordSignInEnd(target, None, "revoked"))
        ended = await web_sessions.revoke_all(unit.connection, target, unit.now, but=current)
    return SessionsEnded(ended=ended)


@router.get("/me", response_model=Me, responses=problems(*SIGNED), summary="Who am I?", tags=["users"])
async def get_me(call: Myself) -> Response:
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


def page_of_sessions(call: SignedCall, known: list[Principal], window: Window) -> SessionPage:
    """One page of these, oldest first."""
    items, following = page_of(
        known, lambda item: (int(item.session.created_at), item.id), cursor=window.cursor, limit=window.limit
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


async def end_one(call: SignedCall, session: Principal, cause: str) -> None:
    """Ends a session that the caller may end; the log says so."""
    async with call.write() as unit:
        await unit.execute(RecordSignInEnd(session.user, session.id, cause))
        await web_sessions.revoke(unit.connection, session.session.hash, unit.now)


def created(call: Call, signed: SignedIn, kind: str) -> Response:
    """The answer that hands a new session out: its token, or for the console its cookie."""
    shown = views.session(signed.principal, seen=call.now, current=True)
    console = kind == "console"
    body = SessionCreated(
        **shown.model_dump(), token=None if console else signed.secret, role=signed.account.role.value
    )
    response = Response(body.model_dump_json(), 201, media_type="application/json")
    if console:
        set_cookie(response, CONSOLE_COOKIE, signed.secret, life_s=LIFETIMES["console"].life_s)
    return response


def _pending(signed: SignedIn, kind: str) -> Response:
    console = kind == "console"
    body = SessionPending(
        pending=None if console else signed.secret,
        second_factor=signed.account.second_factor or "",
        expires_at=from_s(signed.principal.session.expires),
    )
    response = JSONResponse(body.model_dump(mode="json"), 202)
    if console:
        set_cookie(response, PENDING_COOKIE, signed.secret, life_s=PENDING_LIFE_S)
    return response
