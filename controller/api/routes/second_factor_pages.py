"""The second step of the page's sign-in, and the setting up of a second factor there (RFC 6238; S-9, T-72)."""

from fastapi import APIRouter
from fastapi.responses import Response

from controller.api import sign_in_pages
from controller.api.calls import Anonymous
from controller.api.cookies import delete_cookie, set_cookie
from controller.api.operations import second_factors, sessions, step_up
from controller.api.routes.page_visitors import OwnForm, Pending, SomeVisitor, typed_code
from controller.api.schemas.sessions import CODE_MAX
from controller.api.sign_in_pages import to_code
from controller.identity.web_sessions import COOKIE, PAGE_LIFE_S, PENDING_COOKIE
from protocol.errors import RefusedError
from protocol.reasons import Reason

router = APIRouter(prefix="/device/second-factor", include_in_schema=False)


@router.post("")
async def second_step(call: Anonymous, pending: Pending, form: OwnForm) -> Response:
    """Takes the code of somebody whose password was right."""
    typed = typed_code(form)
    if pending is None:
        return to_code(typed)
    try:
        signed = await sessions.complete(
            call.services,
            secret=pending,
            code=form.get("code", "")[:CODE_MAX],
            kind="page",
            origin=call.origin,
            request_id=call.request_id,
            now=call.now,
        )
    except RefusedError as exc:
        return sign_in_pages.second_factor_page(typed, error=exc)
    response = to_code(typed)
    set_cookie(response, COOKIE, signed.secret, life_s=PAGE_LIFE_S)
    delete_cookie(response, PENDING_COOKIE)
    return response


@router.post("/begin")
async def begin(call: Anonymous, visitor: SomeVisitor, form: OwnForm) -> Response:
    """Shows a fresh secret to somebody who has just signed in and has none."""
    typed = typed_code(form)
    if visitor is None:
        return to_code(typed)
    try:
        session = visitor.principal.session
        second_factors.require_recent(session.how, call.now)
        begun = await second_factors.enrol(call.services, session, visitor.name, call.now)
    except RefusedError as exc:
        if exc.reason is Reason.SIGN_IN_NOT_RECENT:
            return sign_in_pages.anew_page(typed, call.state.identity_providers.values())
        return sign_in_pages.set_up_needed_page(visitor.name, typed, error=exc)
    return sign_in_pages.set_up_page(visitor.name, typed, uri=begun.uri, secret=begun.secret)


@router.post("/confirm")
async def confirm(call: Anonymous, visitor: SomeVisitor, form: OwnForm) -> Response:
    """Puts it in force with a first code and shows the recovery codes, this once."""
    typed = typed_code(form)
    if visitor is None:
        return to_code(typed)
    code, user = form.get("code", "")[:CODE_MAX], visitor.user.id
    try:
        async with (
            step_up.trying_code(call.services, user, call.request_id, call.now),
            call.services.store.write(actor=user, request_id=call.request_id, now=call.now) as unit,
        ):
            codes = await second_factors.confirm(unit, call.services, user, code, visitor.principal.session)
    except RefusedError as exc:
        return sign_in_pages.set_up_needed_page(visitor.name, typed, error=exc)
    return sign_in_pages.recovery_page(typed, codes)
