"""Passkeys: one's own, other people's, and the sign-in with one."""

from typing import Annotated

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from controller.api.calls import Anonymous, SignedCall, permits
from controller.api.cookies import delete_cookie, set_cookie
from controller.api.operations import passkeys, second_factors
from controller.api.origins import require_same_origin
from controller.api.routes.common import SIGNED, IdInPath, api_router, found, problems
from controller.api.routes.sessions import created
from controller.api.schemas.common import from_s
from controller.api.schemas.passkeys import (
    Passkey,
    PasskeyChange,
    PasskeyCreate,
    PasskeyOptions,
    PasskeyPage,
    PasskeySignIn,
    PasskeysRemoved,
)
from controller.api.schemas.sessions import SessionCreated
from controller.api.writes import model_answer
from controller.domain.permissions import Permission
from controller.identity import access
from controller.identity.passkeys import PASSKEY_COOKIE
from controller.store import passkeys as stored
from controller.store import web_sessions

router = api_router(tags=["second factors"])

Mine = Annotated[SignedCall, permits(Permission.SELF_READ, early=True)]
Change = Annotated[SignedCall, permits(Permission.CREDENTIALS_WRITE, early=True)]
ReadOthers = Annotated[SignedCall, permits(Permission.PEOPLE_READ)]
ResetOthers = Annotated[SignedCall, permits(Permission.PEOPLE_WRITE)]


@router.get("/me/passkeys", responses=problems(*SIGNED), summary="List your passkeys")
async def list_passkeys(call: Mine) -> PasskeyPage:
    """Oldest first; one page, as there are few."""
    async with call.services.store.read() as connection:
        known = await stored.of_user(connection, call.user.id)
    return PasskeyPage(items=[_shown(item) for item in known], next_cursor=None)


@router.post(
    "/me/passkeys/begin", response_model=PasskeyOptions, responses=problems(*SIGNED, 409), summary="Begin a passkey"
)
async def begin_passkey(call: Change) -> Response:
    """What the browser is to be asked. Needs a sign-in of the last 15 minutes, and by a passkey (or with another second factor) if
    you have one already."""
    session = call.require_session().session
    second_factors.require_recent(session.how, call.now)
    options, cookie = await passkeys.begin(call.services, session, call.now)
    return _asked(options, cookie)


@router.post(
    "/me/passkeys",
    status_code=201,
    response_model=Passkey,
    responses=problems(*SIGNED, 409),
    summary="Add a passkey",
)
async def add_passkey(request: Request, call: Change, body: PasskeyCreate) -> Response:
    """With what the browser answered, in the browser that was asked, once. From then on it signs you in."""
    session = call.require_session().session
    second_factors.require_recent(session.how, call.now)
    async with call.write() as unit:
        made = await passkeys.register(
            unit,
            call.services,
            session,
            cookie=request.cookies.get(PASSKEY_COOKIE),
            answer=body.credential.model_dump(),
            name=body.name,
        )
    response = model_answer(_shown(made), status=201)
    delete_cookie(response, PASSKEY_COOKIE)
    return response


@router.patch("/me/passkeys/{passkey}", responses=problems(*SIGNED, 404), summary="Rename a passkey")
async def rename_passkey(call: Change, passkey: IdInPath, body: PasskeyChange) -> Passkey:
    """One of your own."""
    call.require_session()
    async with call.write() as unit:
        await passkeys.rename(unit, await passkeys.find_own(unit, call.user.id, passkey), body.name)
        return _shown(await passkeys.find_own(unit, call.user.id, passkey))


@router.delete("/me/passkeys/{passkey}", status_code=204, responses=problems(*SIGNED, 404), summary="Remove a passkey")
async def remove_passkey(call: Change, passkey: IdInPath) -> None:
    """One of your own; needs a sign-in of the last 15 minutes. Sessions that it began go on: end them at the sessions."""
    session = call.require_session().session
    second_factors.require_recent(session.how, call.now)
    async with call.write() as unit:
        await second_factors.require_passkey(unit.connection, session)
        await passkeys.remove(unit, await passkeys.find_own(unit, call.user.id, passkey))


@router.get("/users/{user}/passkeys", responses=problems(*SIGNED, 404), summary="List a user's passkeys")
async def list_user_passkeys(call: ReadOthers, user: IdInPath) -> PasskeyPage:
    """Oldest first; one page, as there are few."""
    target = found(call.state.users, user)
    async with call.services.store.read() as connection:
        known = await stored.of_user(connection, target.id)
    return PasskeyPage(items=[_shown(item) for item in known], next_cursor=None)


@router.delete("/users/{user}/passkeys", responses=problems(*SIGNED, 404), summary="Remove a user's passkeys")
async def remove_user_passkeys(call: ResetOthers, user: IdInPath) -> PasskeysRemoved:
    """All of somebody's who stands below you, and lost them. All his sign-ins end."""
    async with call.write() as unit:
        target = found(unit.state.users, user)
        access.require_power_over(access.require_standing(unit.state, call.actor), target)
        removed = await passkeys.remove_all(unit, target.id)
        await web_sessions.revoke_all(unit.connection, target.id, unit.now)
    return PasskeysRemoved(removed=removed)


@router.post(
    "/passkeys/begin",
    response_model=PasskeyOptions,
    responses=problems(409, 429),
    summary="Begin a sign-in with a passkey",
    tags=["sessions"],
)
async def begin_passkey_sign_in(call: Anonymous) -> Response:
    """What the browser is to be asked: for any passkey of this controller, with user verification."""
    options, cookie = passkeys.begin_sign_in(call.services, call.now)
    return _asked(options, cookie)


@router.post(
    "/passkeys/sign-in",
    status_code=201,
    response_model=SessionCreated,
    responses=problems(401, 403, 409, 429, 503),
    summary="Sign in with a passkey",
    tags=["sessions"],
)
async def sign_in_with_passkey(request: Request, call: Anonymous, body: PasskeySignIn) -> Response:
    """In the browser that was asked, once. It counts as a second factor, too."""
    if body.kind == "console":
        require_same_origin(request.headers, call.services.audiences)
    signed = await passkeys.sign_in(
        call.services,
        cookie=request.cookies.get(PASSKEY_COOKIE),
        answer=body.credential.model_dump(),
        kind=body.kind,
        origin=call.origin,
        request_id=call.request_id,
        now=call.now,
    )
    response = created(call, signed, body.kind)
    delete_cookie(response, PASSKEY_COOKIE)
    return response


def _asked(options: dict[str, object], cookie: str) -> Response:
    response = JSONResponse(PasskeyOptions(options=options).model_dump(mode="json"))
    set_cookie(response, PASSKEY_COOKIE, cookie, life_s=passkeys.COOKIE_LIFE_S)
    return response


def _shown(item: stored.Passkey) -> Passkey:
    return Passkey(
        id=item.id,
        name=item.name,
        synced=item.synced,
        created_at=from_s(item.created_at),
        last_used_at=None if item.last_used_at is None else from_s(item.last_used_at),
    )
