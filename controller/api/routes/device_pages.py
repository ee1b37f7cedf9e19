"""The pages on which a person approves a device (RFC 8628 section 3.3): sign in, look, approve or deny (S-9, T-72)."""

from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from controller.api import pages
from controller.api.calls import Anonymous, Call
from controller.api.cookies import delete_cookie, set_cookie
from controller.api.forms import read_form
from controller.api.operations import device_sign_in, sessions
from controller.api.operations.sessions import Principal
from controller.api.origins import require_same_origin
from controller.api.pages import Markup, notice, page, render
from controller.domain.model import User
from controller.identity import access
from controller.identity.rate_limit import RateLimitedError
from controller.identity.user_codes import shown
from controller.identity.web_sessions import COOKIE, PAGE_LIFE_S
from controller.store import credentials
from protocol.errors import OstiaryError, RefusedError
from protocol.reasons import Reason

router = APIRouter(prefix="/device", include_in_schema=False)

CODE_MAX: Final = 32
EMAIL_MAX: Final = 254
_LEAD_PLAIN: Final = "To connect a device to Ostiary."
_LEAD_CODE: Final = "To approve the device that shows the code {code}."


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is signed in to the page."""

    user: User
    name: str
    principal: Principal


async def visitor_of(request: Request, call: Anonymous) -> Visitor | None:
    """Returns who the cookie stands for; None for nobody."""
    secret = request.cookies.get(COOKIE)
    if secret is None:
        return None
    try:
        principal = await sessions.authenticate(call.services, secret, "page", call.now)
        user = access.require_user(call.state, principal.user)
    except RefusedError:
        return None
    async with call.services.store.read() as connection:
        personal = await credentials.get_personal_data(connection, user.id)
    return Visitor(user, personal.name if personal else user.id, principal)


async def from_own_page(request: Request, call: Anonymous) -> dict[str, str]:
    """Returns the form of a request that one of our pages made. Raises RefusedError(FORBIDDEN)."""
    require_same_origin(request.headers, call.services.audiences)
    return await read_form(request)


SomeVisitor = Annotated[Visitor | None, Depends(visitor_of)]
OwnForm = Annotated[dict[str, str], Depends(from_own_page)]


@router.get("")
async def device_page(call: Anonymous, visitor: SomeVisitor, user_code: str = "") -> Response:
    """Sign-in form, code form or the decision, whatever is next. Says nothing about codes to strangers."""
    typed = user_code[:CODE_MAX]
    if visitor is None:
        return _sign_in_page(typed)
    if not typed:
        return _code_page(visitor)
    try:
        asking = await _asking(call, visitor, typed)
    except OstiaryError as exc:
        return _code_page(visitor, typed, error=exc)
    return _decision_page(visitor, asking)


@router.get("/style.css")
async def style() -> Response:
    """The one style sheet."""
    return pages.stylesheet()


@router.post("/sign-in")
async def sign_in(call: Anonymous, form: OwnForm) -> Response:
    """Sets the cookie and goes on with the code."""
    typed, email = form.get("user_code", "")[:CODE_MAX], form.get("email", "")[:EMAIL_MAX]
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
        return _sign_in_page(typed, email=email, error=exc)
    response = _to_code(typed)
    set_cookie(response, COOKIE, signed.secret, life_s=PAGE_LIFE_S)
    return response


@router.post("/sign-out")
async def sign_out(call: Anonymous, visitor: SomeVisitor, form: OwnForm) -> Response:
    """Ends the page's session, also in the store."""
    if visitor is not None:
        await sessions.end(call.services, visitor.principal.session.hash, visitor.user.id, call.now)
    response = _to_code(form.get("user_code", "")[:CODE_MAX])
    delete_cookie(response, COOKIE)
    return response


@router.post("/decision")
async def decide(call: Anonymous, visitor: SomeVisitor, form: OwnForm) -> Response:
    """Notes the decision; only these two words count."""
    typed, decision = form.get("user_code", "")[:CODE_MAX], form.get("decision", "")
    if visitor is None:
        return _sign_in_page(typed)
    if decision not in ("approve", "deny"):
        return _code_page(visitor, typed, error=RefusedError(Reason.INVALID_INPUT))
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
        return _code_page(visitor, typed, error=exc)
    if decision == "deny":
        text = f"{asking.device.name} was not signed in. If you did not start this, tell your administrator."
        return page("Denied", render("result", kind="bad", heading="Denied", text=text))
    text = f"{asking.device.name} is signed in as {visitor.name}. You can close this page."
    return page("Approved", render("result", kind="good", heading="Device approved", text=text))


async def _asking(call: Call, visitor: Visitor, typed: str) -> device_sign_in.Asking:
    return await device_sign_in.show(call.services, typed, user=visitor.user, address=call.origin.address, now=call.now)


def _sign_in_page(typed: str, *, email: str = "", error: RefusedError | None = None) -> Response:
    content = render(
        "sign_in",
        lead=_LEAD_CODE.format(code=typed) if typed else _LEAD_PLAIN,
        notice=_notice(error),
        user_code=typed,
        email=email,
    )
    return _with_retry(page("Sign in", content, status=_status(error)), error)


def _code_page(visitor: Visitor, typed: str = "", *, error: OstiaryError | None = None) -> Response:
    content = render("code", notice=_notice(error), user_code=typed, account=_account(visitor, typed))
    return _with_retry(page("Connect a device", content, status=_status(error)), error)


def _decision_page(visitor: Visitor, asking: device_sign_in.Asking) -> Response:
    code = shown(asking.user_code)
    content = render(
        "approve",
        user=visitor.name,
        notice=notice("error", ""),
        user_code=code,
        device=asking.device.name,
        platform=asking.device.platform,
        address=asking.device.address,
        account=_account(visitor, code),
    )
    return page("Sign in this device?", content)


def _account(visitor: Visitor, typed: str) -> Markup:
    return render("account", user=visitor.name, user_code=typed)


def _notice(error: OstiaryError | None) -> Markup:
    if error is None:
        return notice("error", "")
    if isinstance(error, RateLimitedError):
        return notice("error", f"{error.reason.sentence} Try again in {int(error.retry_after_s) + 1} seconds.")
    if error.reason in (Reason.NOT_FOUND, Reason.SIGN_IN_EXPIRED):
        return notice("error", "There is no such code. It may have expired: start again on the device.")
    return notice("error", error.reason.sentence)


def _status(error: OstiaryError | None) -> int:
    if error is None:
        return 200
    if isinstance(error, RateLimitedError):
        return 429
    statuses = {Reason.NOT_FOUND: 404, Reason.SIGN_IN_EXPIRED: 404, Reason.UNAVAILABLE: 503, Reason.INVALID_INPUT: 422}
    return statuses.get(error.reason, 403)


def _with_retry(response: Response, error: OstiaryError | None) -> Response:
    if isinstance(error, RateLimitedError):
        response.headers["Retry-After"] = str(int(error.retry_after_s) + 1)
    return response


def _to_code(typed: str) -> RedirectResponse:
    target = f"/device?user_code={quote(typed, safe='')}" if typed else "/device"
    return RedirectResponse(target, 303, {"Cache-Control": "no-store"})
