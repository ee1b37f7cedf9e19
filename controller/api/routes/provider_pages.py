"""The browser's way to an identity provider and back (OpenID Connect Core section 3.1; T-1, T-72)."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from controller.api.calls import Anonymous
from controller.api.cookies import delete_cookie, set_cookie
from controller.api.operations import provider_sign_in
from controller.api.operations.provider_sign_in import COOKIE_LIFE_S, Arrival
from controller.api.pages import page, render
from controller.api.routes.page_visitors import CODE_MAX
from controller.api.sign_in_pages import finished, sign_in_page, status_of, to_code
from controller.identity.identity_rules import IdentityRule, refused
from controller.identity.web_sessions import (
    CONSOLE_COOKIE,
    COOKIE,
    FLOW_COOKIE,
    LIFETIMES,
    PAGE_LIFE_S,
    PENDING_COOKIE,
    PENDING_LIFE_S,
    SessionKind,
)
from protocol.errors import OstiaryError, RefusedError
from protocol.reasons import Reason

router = APIRouter(prefix="/sign-in", include_in_schema=False)

PATH_MAX: Final = 300
QUERY_MAX: Final = 16
SECOND_FACTOR_QUERY: Final = "sign_in=second-factor"
"""Tells the console that the second step is to come: its cookie is set."""


@router.get("/{provider}")
async def leave(
    request: Request,
    call: Anonymous,
    provider: str,
    user_code: Annotated[str, Query(max_length=CODE_MAX)] = "",
    console: Annotated[str | None, Query(max_length=PATH_MAX)] = None,
    fresh: bool = False,
) -> Response:
    """Sends the browser to the provider. With ``console``, a path, the sign-in is one to the console and goes on there;
    otherwise it is one to the sign-in page."""
    surface: SessionKind = "page" if console is None else "console"
    try:
        # Only from a page of our own, or typed: another site must not sign people in as it likes.
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise RefusedError(Reason.FORBIDDEN, "the sign-in was begun by another site")
        departure = await provider_sign_in.begin(
            call.services,
            provider=provider,
            surface=surface,
            target=user_code if console is None else local_path(console),
            fresh=fresh,
            address=call.origin.address,
            now=call.now,
        )
    except OstiaryError as exc:
        return _refused(call, surface, user_code, exc)
    response = RedirectResponse(departure.url, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
    set_cookie(response, FLOW_COOKIE, departure.cookie, life_s=COOKIE_LIFE_S)
    return response


@router.get("/{provider}/callback")
async def come_back(request: Request, call: Anonymous, provider: str) -> Response:
    """Takes the browser back, once: whatever happens, its flow is over."""
    surface: SessionKind = "page"
    target = ""
    try:
        flow = provider_sign_in.open_flow_untrusted(call.services, request.cookies.get(FLOW_COOKIE, ""), provider)
        surface, target = "console" if flow.surface == "console" else "page", flow.target
        arrival = await provider_sign_in.finish(
            call.services,
            flow,
            query=_query_untrusted(request),
            origin=call.origin,
            request_id=call.request_id,
            now=call.now,
        )
    except OstiaryError as exc:
        response = _refused(call, surface, target if surface == "page" else "", exc)
    else:
        response = _arrived(arrival)
    delete_cookie(response, FLOW_COOKIE)
    return response


def local_path(path: str) -> str:
    """Returns a path of our own; anything that a browser could read as another place becomes ``/``."""
    fits = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isascii() and path.isprintable()
    return path if fits and not any(char in path for char in "\\ #?") else "/"


def _arrived(arrival: Arrival) -> Response:
    signed, flow = arrival.signed, arrival.flow
    console = flow.surface == "console"
    if console:
        query = f"?{SECOND_FACTOR_QUERY}" if signed.pending else ""
        response = RedirectResponse(flow.target + query, 303, {"Cache-Control": "no-store"})
    else:
        response = to_code(flow.target)
    if signed.pending:
        set_cookie(response, PENDING_COOKIE, signed.secret, life_s=PENDING_LIFE_S)
    elif console:
        set_cookie(response, CONSOLE_COOKIE, signed.secret, life_s=LIFETIMES["console"].life_s)
    else:
        set_cookie(response, COOKIE, signed.secret, life_s=PAGE_LIFE_S)
    return response


def _refused(call: Anonymous, surface: SessionKind, typed: str, error: OstiaryError) -> Response:
    if surface == "page":
        return sign_in_page(typed, call.state.identity_providers.values(), error=error)
    text = f"{error.reason.sentence} {error.reason.next_step}"
    return finished(
        page(
            "Not signed in", render("result", kind="bad", heading="Not signed in", text=text), status=status_of(error)
        ),
        error,
    )


def _query_untrusted(request: Request) -> dict[str, str]:
    pairs = request.query_params.multi_items()
    query = dict(pairs)
    if len(query) != len(pairs) or len(pairs) > QUERY_MAX:
        raise refused(IdentityRule.PROVIDER_ANSWER, "the answer says something twice")
    return query
