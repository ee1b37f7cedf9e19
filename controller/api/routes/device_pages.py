"""The pages on which a person approves a device (RFC 8628 section 3.3): sign in, look, approve or deny (S-9, T-72)."""

from fastapi import APIRouter
from fastapi.responses import Response

from controller.api import pages, sign_in_pages
from controller.api.calls import Anonymous, Call
from controller.api.cookies import delete_cookie, set_cookie
from controller.api.operations import device_sign_in, sessions
from controller.api.pages import page, render
from controller.api.routes.page_visitors import CODE_MAX, OwnForm, Pending, SomeVisitor, Visitor, typed_code
from controller.api.sign_in_pages import to_code
from controller.domain.model import IdentityProvider
from controller.domain.rules import EMAIL_MAX
from controller.identity.web_sessions import COOKIE, PAGE_LIFE_S, PENDING_COOKIE, PENDING_LIFE_S
from protocol.errors import OstiaryError, RefusedError
from protocol.reasons import Reason

router = APIRouter(prefix="/device", include_in_schema=False)


@router.get("")
async def device_page(call: Anonymous, visitor: SomeVisitor, pending: Pending, user_code: str = "") -> Response:
    """Sign-in form, second step, code form or the decision, whatever is next. Says nothing about codes to strangers."""
    typed = user_code[:CODE_MAX]
    if visitor is None:
        if pending is not None:
            return sign_in_pages.second_factor_page(typed)
        return sign_in_pages.sign_in_page(typed, _providers(call))
    if visitor.lacks_second_factor:
        return sign_in_pages.set_up_needed_page(visitor.name, typed)
    if not typed:
        return sign_in_pages.code_page(visitor.name)
    try:
        asking = await _asking(call, visitor, typed)
    except OstiaryError as exc:
        return sign_in_pages.code_page(visitor.name, typed, error=exc)
    if device_sign_in.needs_recent(asking.device, visitor.principal.session.how, call.now):
        return sign_in_pages.anew_page(typed, _providers(call))
    return sign_in_pages.decision_page(visitor.name, asking)


@router.get("/style.css")
async def style(_: Anonymous) -> Response:
    """The one style sheet."""
    return pages.stylesheet()


@router.post("/sign-in")
async def sign_in(call: Anonymous, form: OwnForm) -> Response:
    """Sets the cookie, of the whole sign-in or of its first step, and goes on with the code."""
    typed, email = typed_code(form), form.get("email", "")[:EMAIL_MAX]
    try:
        signed = await sessions.sign_in(
            call.services,
            email=email,
            password=form.get("password", ""),
            kind="page",
            origin=call.origin,
            request_id=call.request_id,
            now=call.now,
        )
    except RefusedError as exc:
        return sign_in_pages.sign_in_page(typed, _providers(call), email=email, error=exc)
    response = to_code(typed)
    if signed.pending:
        set_cookie(response, PENDING_COOKIE, signed.secret, life_s=PENDING_LIFE_S)
    else:
        set_cookie(response, COOKIE, signed.secret, life_s=PAGE_LIFE_S)
    return response


@router.post("/sign-out")
async def sign_out(call: Anonymous, visitor: SomeVisitor, form: OwnForm) -> Response:
    """Ends the page's session, also in the store."""
    if visitor is not None:
        await sessions.end(call.services, visitor.principal.session.hash, visitor.user.id, call.now)
    response = to_code(typed_code(form))
    delete_cookie(response, COOKIE)
    delete_cookie(response, PENDING_COOKIE)
    return response


@router.post("/decision")
async def decide(call: Anonymous, visitor: SomeVisitor, form: OwnForm) -> Response:
    """Notes the decision; only these two words count."""
    typed, decision = typed_code(form), form.get("decision", "")
    if visitor is None:
        return sign_in_pages.sign_in_page(typed, _providers(call))
    if visitor.lacks_second_factor:
        return sign_in_pages.set_up_needed_page(visitor.name, typed)
    if decision not in ("approve", "deny"):
        return sign_in_pages.code_page(visitor.name, typed, error=RefusedError(Reason.INVALID_INPUT))
    try:
        asking = await _asking(call, visitor, typed)
        await device_sign_in.decide(
            call.services,
            asking,
            user=visitor.user,
            approve=decision == "approve",
            how=visitor.principal.session.how,
            now=call.now,
        )
    except OstiaryError as exc:
        if exc.reason is Reason.SIGN_IN_NOT_RECENT:
            return sign_in_pages.anew_page(typed, _providers(call))
        return sign_in_pages.code_page(visitor.name, typed, error=exc)
    if decision == "deny":
        text = f"{asking.device.name} was not signed in. If you did not start this, tell your administrator."
        return page("Denied", render("result", kind="bad", heading="Denied", text=text))
    text = f"{asking.device.name} is signed in as {visitor.name}. You can close this page."
    heading = "Device approved" if asking.device.purpose == "device" else "Command line approved"
    return page("Approved", render("result", kind="good", heading=heading, text=text))


async def _asking(call: Call, visitor: Visitor, typed: str) -> device_sign_in.Asking:
    return await device_sign_in.show(call.services, typed, user=visitor.user, address=call.origin.address, now=call.now)


def _providers(call: Call) -> list[IdentityProvider]:
    return list(call.state.identity_providers.values())
