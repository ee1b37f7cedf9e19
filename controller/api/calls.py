"""One request as the routes see it: who calls, from where, and the two ways to change something.

``Call`` is given by dependencies, which also put headers, security schemes and permissions into the API document:
``Anonymous``, ``Signed`` (anybody with a session, no API token), and ``permits(...)``, which names the permission::

    Read = Annotated[SignedCall, permits(Permission.GRANTS_READ)]
    Mine = Annotated[SignedCall, permits(Permission.DEVICES_READ, own=Permission.SELF_READ)]

A handler behind the second form is also called for people who hold ``own`` only: it asks ``call.may`` and shows or changes what
is theirs, nothing else.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, Any

import structlog
from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from controller.api.operations import api_tokens, sessions
from controller.api.paging import check_version, parse_if_match
from controller.api.problems import request_id_of
from controller.api.services import Services
from controller.domain.model import Role, User
from controller.domain.permissions import Permission
from controller.domain.standing import Standing
from controller.domain.state import PolicyState
from controller.identity import access
from controller.identity.api_tokens import is_token
from controller.identity.web_sessions import Origin
from controller.store import Unit
from protocol.errors import RefusedError
from protocol.reasons import Reason

BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="session",
    description="The token that `POST /api/v1/sessions` returned, or an API token.",
    bearerFormat="ost_… or ost_api_…",
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
    """A request by somebody with a session or an API token. ``standing`` is as of the beginning of the request.

    ``session`` is None for an API token.
    """

    standing: Standing
    session: sessions.Principal | None

    @property
    def user(self) -> User:
        """The person, or the owner of the token."""
        return self.standing.user

    @property
    def actor(self) -> str:
        """Under what name the log knows the caller: the person's id, or the token's."""
        return self.standing.actor

    @property
    def staff(self) -> bool:
        """Whether the caller is an admin or an owner in person. Ask ``may`` instead."""
        return self.session is not None and self.user.role in (Role.ADMIN, Role.OWNER)

    def may(self, permission: Permission) -> bool:
        """Whether the caller holds the permission: by his role and, with a token, by its scopes too."""
        return self.standing.may(permission)

    def require(self, permission: Permission) -> None:
        """Raises RefusedError(FORBIDDEN) unless the caller holds the permission."""
        access.require(self.standing, permission)

    def sees(self, permission: Permission, owner: str) -> bool:
        """Whether the caller sees what belongs to ``owner``: his own, or with ``permission`` everybody's."""
        return owner == self.user.id or self.may(permission)

    def require_sight(self, permission: Permission, owner: str) -> None:
        """Raises RefusedError(NOT_FOUND) for what is not the caller's to see (T-10)."""
        if not self.sees(permission, owner):
            raise RefusedError(Reason.NOT_FOUND)

    def require_power(self, permission: Permission, owner: str, *, sight: Permission) -> None:
        """Lets the caller change what is his own, or with ``permission`` anybody's.

        Raises:
            RefusedError: NOT_FOUND for what he may not even see (``sight``), otherwise FORBIDDEN.
        """
        if owner != self.user.id and not self.may(permission):
            self.require_sight(sight, owner)
            self.require(permission)

    def write(self) -> AbstractAsyncContextManager[Unit]:
        """Opens a unit in the caller's name."""
        return self.services.store.write(actor=self.actor, request_id=self.request_id, now=self.now)

    def require_self_or_staff(self, owner: str) -> None:
        """Raises RefusedError(NOT_FOUND) for what is not the caller's to see. Ask ``require_sight`` instead."""
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


async def authenticated(
    call: Annotated[Call, Depends(anonymous)],
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
) -> SignedCall:
    """The call of somebody with a session or an API token. Raises RefusedError(SIGN_IN_REQUIRED)."""
    if credentials is None:
        raise RefusedError(Reason.SIGN_IN_REQUIRED)
    principal = None
    if is_token(credentials.credentials):
        actor = await api_tokens.authenticate(call.services, credentials.credentials, call.now)
    else:
        principal = await sessions.authenticate(call.services, credentials.credentials, "api", call.now)
        actor = principal.user
    standing = access.require_standing(call.state, actor)
    structlog.contextvars.bind_contextvars(user=standing.user.id)
    return SignedCall(call.services, call.request_id, call.origin, call.now, standing, principal)


async def signed_in(call: Annotated[SignedCall, Depends(authenticated)]) -> SignedCall:
    """The call of somebody with a session. Raises RefusedError(FORBIDDEN) for an API token."""
    if call.session is None:
        raise RefusedError(Reason.FORBIDDEN, "an API token cannot do this; sign in")
    return call


@dataclass(frozen=True, slots=True)
class Permits:
    """A dependency that lets those pass who hold ``permission``, or ``own`` for what is theirs."""

    permission: Permission
    own: Permission | None = None

    async def __call__(self, call: Annotated[SignedCall, Depends(authenticated)]) -> SignedCall:
        """Raises RefusedError(FORBIDDEN)."""
        access.require(call.standing, self.permission, own=self.own)
        return call


def permits(permission: Permission, *, own: Permission | None = None) -> Any:
    """Names the permission that an operation needs; the API document shows it as ``x-permission``."""
    return Depends(Permits(permission, own))


async def staff(call: Annotated[SignedCall, Depends(signed_in)]) -> SignedCall:
    """The call of an admin or owner. Raises RefusedError(FORBIDDEN)."""
    if not call.staff:
        raise RefusedError(Reason.FORBIDDEN)
    return call


async def owners(call: Annotated[SignedCall, Depends(signed_in)]) -> SignedCall:
    """The call of an owner. Raises RefusedError(FORBIDDEN)."""
    if call.user.role is not Role.OWNER:
        raise RefusedError(Reason.FORBIDDEN)
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
