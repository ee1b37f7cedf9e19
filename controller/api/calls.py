"""One request as the routes see it: who calls, from where, and the two ways to change something.

``Call`` is given by dependencies, which also put the headers and the security scheme into the API document:
``Anonymous``, ``Signed`` (anybody with a session), ``Staff`` (admins and owners), ``Owners``.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated

import structlog
from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from controller.api.operations import sessions
from controller.api.paging import check_version, parse_if_match
from controller.api.problems import request_id_of
from controller.api.services import Services
from controller.domain.model import Role, User
from controller.domain.state import PolicyState
from controller.identity import access
from controller.identity.web_sessions import Origin
from controller.store import Unit
from protocol.errors import RefusedError
from protocol.reasons import Reason

BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="session",
    description="The token that `POST /api/v1/sessions` returned.",
    bearerFormat="ost_…",
)


@dataclass(frozen=True, slots=True)
class Call:
    """A request by anybody."""

    services: Services
    request_id: str
    origin: Origin
    now: float

    @property
    def state(self) -> PolicyState:
        """The latest policy."""
        return self.services.state


@dataclass(frozen=True, slots=True)
class SignedCall(Call):
    """A request by somebody with a session. ``user`` is as of the beginning of the request."""

    user: User
    session: sessions.Principal

    @property
    def staff(self) -> bool:
        """Whether the caller sees more than himself."""
        return access.is_staff(self.user)

    def write(self) -> AbstractAsyncContextManager[Unit]:
        """Opens a unit in the caller's name."""
        return self.services.store.write(actor=self.user.id, request_id=self.request_id, now=self.now)

    def require_self_or_staff(self, owner: str) -> None:
        """Raises RefusedError(NOT_FOUND) for what is not the caller's to see (T-10)."""
        if not self.staff and owner != self.user.id:
            raise RefusedError(Reason.NOT_FOUND)


async def anonymous(request: Request) -> Call:
    """The call of somebody who need not be signed in."""
    services: Services = request.app.state.services
    return Call(services, request_id_of(request), origin_of(request), services.clock.wall())


def origin_of(request: Request) -> Origin:
    """Where a request comes from; behind a trusted proxy the server has already replaced the address."""
    address = request.client.host if request.client else ""
    return Origin(address, request.headers.get("user-agent", ""))


async def signed_in(
    call: Annotated[Call, Depends(anonymous)],
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
) -> SignedCall:
    """The call of somebody with a session. Raises RefusedError(SIGN_IN_REQUIRED)."""
    if credentials is None:
        raise RefusedError(Reason.SIGN_IN_REQUIRED)
    principal = await sessions.authenticate(call.services, credentials.credentials, "api", call.now)
    user = access.require_user(call.state, principal.user)
    structlog.contextvars.bind_contextvars(user=user.id)
    return SignedCall(call.services, call.request_id, call.origin, call.now, user, principal)


async def staff(call: Annotated[SignedCall, Depends(signed_in)]) -> SignedCall:
    """The call of an admin or owner. Raises RefusedError(FORBIDDEN)."""
    access.require_role(call.state, call.user.id, Role.ADMIN)
    return call


async def owners(call: Annotated[SignedCall, Depends(signed_in)]) -> SignedCall:
    """The call of an owner. Raises RefusedError(FORBIDDEN)."""
    access.require_role(call.state, call.user.id, Role.OWNER)
    return call


@dataclass(frozen=True, slots=True)
class Expected:
    """The version that the caller has seen, if he said so."""

    version: int | None

    def check(self, state: PolicyState, stream: str) -> None:
        """Raises PreconditionFailedError when ``stream`` moved on (T-16). Call it inside the unit."""
        check_version(self.version, state.version_of(stream))


async def expected(
    if_match: Annotated[
        str | None,
        Header(
            description="The entity tag that you have read. When the thing has changed since, the answer is 412 and "
            "nothing is written.",
            examples=['"3"'],
            max_length=64,
        ),
    ] = None,
) -> Expected:
    """Reads ``If-Match``."""
    return Expected(parse_if_match(if_match))


Anonymous = Annotated[Call, Depends(anonymous)]
Signed = Annotated[SignedCall, Depends(signed_in)]
Staff = Annotated[SignedCall, Depends(staff)]
Owners = Annotated[SignedCall, Depends(owners)]
IfMatch = Annotated[Expected, Depends(expected)]
