"""One request as the routes see it: who calls, from where, and the two ways to change something.

``Call`` is given by dependencies, which also put headers, security schemes and permissions into the API document:
``Anonymous``, and ``permits(...)``, which names the permission that an operation needs::

    Read = Annotated[SignedCall, permits(Permission.GRANTS_READ)]
    Mine = Annotated[SignedCall, permits(Permission.DEVICES_READ, own=Permission.SELF_READ)]

A handler behind the second form is also called for people who hold ``own`` only: it asks ``call.may`` and shows or changes what
is theirs, nothing else.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, Any, Final

import structlog
from fastapi import Depends, Header, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from controller.api.operations import api_tokens, sessions
from controller.api.origins import require_same_origin
from controller.api.paging import check_version, parse_if_match
from controller.api.problems import request_id_of
from controller.api.services import Services
from controller.domain.model import User
from controller.domain.permissions import Permission
from controller.domain.standing import Standing
from controller.domain.state import PolicyState
from controller.identity import access
from controller.identity.api_tokens import is_token
from controller.identity.api_tokens import parse_secret_untrusted as parse_token_untrusted
from controller.identity.rate_limit import address_key
from controller.identity.web_sessions import CONSOLE_COOKIE, Origin, SessionKind, digest, parse_secret_untrusted
from controller.store import Unit
from protocol.errors import RefusedError
from protocol.reasons import Reason

BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="session",
    description="The token that `POST /api/v1/sessions` returned, or an API token.",
    bearerFormat="ost_… or ost_api_…",
)

COOKIE = APIKeyCookie(
    name=CONSOLE_COOKIE,
    auto_error=False,
    scheme_name="console",
    description="The cookie of a sign-in with `kind` console. Writes are taken from the controller's own pages only.",
)
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


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

    def require_session(self) -> sessions.Principal:
        """Returns the session that the request uses. Raises RefusedError(FORBIDDEN) for an API token."""
        if self.session is None:
            raise RefusedError(Reason.FORBIDDEN, "an API token cannot do this; sign in")
        return self.session

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


async def any_call(request: Request) -> Call:
    """A request by anybody, not limited yet."""
    services: Services = request.app.state.services
    return Call(services, request_id_of(request), origin_of(request), services.clock.wall())


async def anonymous(call: Annotated[Call, Depends(any_call)]) -> Call:
    """The call of somebody who need not be signed in. Raises RateLimitedError: strangers are slowed down everywhere."""
    call.services.limits.public.spend(address_key(call.origin.address), call.now)
    return call


def origin_of(request: Request) -> Origin:
    """Where a request comes from; behind a trusted proxy the server has already replaced the address."""
    address = request.client.host if request.client else ""
    return Origin(address, request.headers.get("user-agent", ""))


async def authenticated(
    request: Request,
    call: Annotated[Call, Depends(any_call)],
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    cookie: Annotated[str | None, Depends(COOKIE)],
) -> SignedCall:
    """The call of somebody with a session or an API token.

    Raises:
        RefusedError: SIGN_IN_REQUIRED; FORBIDDEN for a cookie that another site sends along.
        RateLimitedError: too many requests from this address whose credentials were none.
    """
    services, address = call.services, address_key(call.origin.address)
    known = ""
    try:
        secret, kind = _credential(request, call, credentials, cookie)
        known = digest(secret)
        if known not in services.proven:
            # The database is not asked on behalf of somebody who has only guessed so far.
            services.limits.failed_session.peek(address, call.now)
        # He may have written at another replica a moment ago, or have lost a right there.
        await services.store.freshen()
        actor, principal = await _who(call, secret, kind)
        standing = access.require_standing(call.state, actor)
    except RefusedError as exc:
        if exc.reason is Reason.SIGN_IN_REQUIRED:
            services.proven.discard(known)
            services.limits.failed_session.spend(address, call.now)
        raise
    services.proven.add(known)
    structlog.contextvars.bind_contextvars(user=standing.user.id)
    return SignedCall(call.services, call.request_id, call.origin, call.now, standing, principal)


async def admit_large_body(request: Request) -> None:
    """Asks who sends a long policy document, before it is read: the route itself can ask only afterwards.

    Raises:
        RefusedError: SIGN_IN_REQUIRED, FORBIDDEN; RateLimitedError for addresses that guess.
    """
    call = await authenticated(request, await any_call(request), await BEARER(request), await COOKIE(request))
    call.require(Permission.PLANS_WRITE)


def _credential(
    request: Request, call: Call, credentials: HTTPAuthorizationCredentials | None, cookie: str | None
) -> tuple[str, SessionKind | None]:
    """Returns the secret and the kind of session that it claims to be, None for an API token; asks no database."""
    kind: SessionKind | None = "api"
    if credentials is not None:
        text = credentials.credentials
        if is_token(text):
            kind = None
    elif cookie is not None:
        # A browser sends the cookie with whatever any page makes it ask.
        if request.method not in SAFE_METHODS:
            require_same_origin(request.headers, call.services.audiences)
        text, kind = cookie, "console"
    else:
        raise RefusedError(Reason.SIGN_IN_REQUIRED)
    secret = parse_token_untrusted(text) if kind is None else parse_secret_untrusted(text)
    if secret is None:
        raise RefusedError(Reason.SIGN_IN_REQUIRED, "this is no API token" if kind is None else "")
    return secret, kind


async def _who(call: Call, secret: str, kind: SessionKind | None) -> tuple[str, sessions.Principal | None]:
    if kind is None:
        return await api_tokens.authenticate(call.services, secret, call.now), None
    principal = await sessions.authenticate(call.services, secret, kind, call.now)
    return principal.user, principal


def require_second_factor(call: SignedCall) -> None:
    """Raises RefusedError(SECOND_FACTOR_REQUIRED) when the rules want one and this session has passed none."""
    if call.session is None or call.session.session.how.mfa_s is not None:
        return
    if access.needs_second_factor(call.state, call.user):
        raise RefusedError(Reason.SECOND_FACTOR_REQUIRED)


@dataclass(frozen=True, slots=True)
class Permits:
    """A dependency that lets those pass who hold ``permission``, or ``own`` for what is theirs.

    ``early``: also for somebody who must set up or pass a second factor and has not yet. ``besides``: permissions that are
    needed as well, because the answer shows what they are about.
    """

    permission: Permission
    own: Permission | None = None
    early: bool = False
    besides: tuple[Permission, ...] = ()

    async def __call__(self, call: Annotated[SignedCall, Depends(authenticated)]) -> SignedCall:
        """Raises RefusedError: FORBIDDEN, SECOND_FACTOR_REQUIRED."""
        access.require(call.standing, self.permission, own=self.own)
        access.require_all(call.standing, self.besides)
        if not self.early:
            require_second_factor(call)
        return call


def permits(
    permission: Permission,
    *,
    own: Permission | None = None,
    early: bool = False,
    besides: tuple[Permission, ...] = (),
) -> Any:
    """Names the permission that an operation needs; the API document shows it as ``x-permission``."""
    return Depends(Permits(permission, own, early, besides))


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
IfMatch = Annotated[Expected, Depends(expected)]
