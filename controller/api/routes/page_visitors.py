"""Who looks at a page: the dependencies that the pages of the sign-in share (S-9, T-72)."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request

from controller.api.calls import Anonymous
from controller.api.forms import read_form
from controller.api.operations import sessions
from controller.api.operations.sessions import Principal
from controller.api.origins import require_same_origin
from controller.domain.model import User
from controller.identity import access
from controller.identity.web_sessions import COOKIE, PENDING_COOKIE
from controller.store import credentials
from protocol.errors import RefusedError

CODE_MAX: Final = 32
"""Of what is typed as a device's code."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is signed in to the page. ``lacks_second_factor``: the rules want one that he has not passed."""

    user: User
    name: str
    principal: Principal
    lacks_second_factor: bool


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
    lacks = principal.session.how.mfa_s is None and access.needs_second_factor(call.state, user)
    return Visitor(user, personal.name if personal else user.id, principal, lacks)


async def pending_of(request: Request, call: Anonymous) -> str | None:
    """Returns the secret of a first step that waits for its second; None when there is none."""
    secret = request.cookies.get(PENDING_COOKIE)
    if secret is None:
        return None
    try:
        await sessions.authenticate(call.services, secret, "pending-page", call.now)
    except RefusedError:
        return None
    return secret


async def from_own_page(request: Request, call: Anonymous) -> dict[str, str]:
    """Returns the form of a request that one of our pages made. Raises RefusedError(FORBIDDEN)."""
    require_same_origin(request.headers, call.services.audiences)
    return await read_form(request)


def typed_code(form: dict[str, str]) -> str:
    """The device's code that a form carries along."""
    return form.get("user_code", "")[:CODE_MAX]


SomeVisitor = Annotated[Visitor | None, Depends(visitor_of)]
Pending = Annotated[str | None, Depends(pending_of)]
OwnForm = Annotated[dict[str, str], Depends(from_own_page)]
