"""Sign-in with a password, and the sessions that result (T-9, T-11, S-9)."""

import hashlib
from dataclasses import dataclass

from controller.api.services import Services
from controller.domain.commands import RecordSignInFailure
from controller.domain.model import User
from controller.identity.rate_limit import address_key
from controller.identity.web_sessions import (
    LIFETIMES,
    Origin,
    SessionKind,
    digest,
    kind_of,
    new_secret,
    parse_secret_untrusted,
    public_id,
    scopes_of,
)
from controller.store import credentials, web_sessions
from controller.store.web_sessions import WebSession
from protocol.errors import RefusedError
from protocol.ids import UserId
from protocol.reasons import Reason

ACTOR = "sign_in"


@dataclass(frozen=True, slots=True)
class Principal:
    """Whose session a request carries."""

    user: UserId
    session: WebSession
    kind: SessionKind

    @property
    def id(self) -> str:
        """The session's public name."""
        return public_id(self.session.hash)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A fresh session; ``secret`` is handed out once."""

    secret: str
    account: User
    principal: Principal


async def sign_in(
    services: Services, *, email: str, password: str, kind: SessionKind, origin: Origin, request_id: str, now: float
) -> SignedIn:
    """Checks an e-mail address and a password and starts a session.

    Every refusal but the rate limit leaves an event, and says the same whatever was wrong.

    Raises:
        RateLimitedError: too many attempts from this address or at this account.
        RefusedError: SIGN_IN_FAILED; USER_DISABLED only with the right password.
    """
    by_address, by_account = address_key(origin.address), account_key(email)
    services.limits.sign_in_address.spend(by_address, now)
    services.limits.sign_in_account.spend(by_account, now)
    async with services.store.read() as connection:
        user = await credentials.find_by_email(connection, email)
        stored = await credentials.get_password_hash(connection, user) if user is not None else None
    right = await services.passwords.verify(stored, password)
    account = services.state.users.get(user) if user is not None else None
    if not right or account is None or account.disabled:
        known = account.id if account is not None else None
        cause = "unknown_account" if known is None else "account_disabled" if right else "wrong_password"
        await _record_failure(services, known, cause, request_id, now)
        raise RefusedError(Reason.USER_DISABLED if right and account is not None else Reason.SIGN_IN_FAILED)
    services.limits.sign_in_address.refund(by_address, now)
    services.limits.sign_in_account.refund(by_account, now)
    if stored is not None and services.passwords.needs_rehash(stored):
        fresh = await services.passwords.hash(password)
        async with services.store.transact() as connection:
            await credentials.set_password_hash(connection, account.id, fresh, now)
    secret, principal = await start(services, account.id, kind, origin, now)
    return SignedIn(secret, account, principal)


async def start(
    services: Services, user: UserId, kind: SessionKind, origin: Origin, now: float
) -> tuple[str, Principal]:
    """Starts a session of somebody who was authenticated; returns its secret and what it stands for."""
    secret = new_secret()
    secret_hash = digest(secret)
    expires = now + LIFETIMES[kind].life_s
    async with services.store.transact() as connection:
        await web_sessions.create(
            connection,
            secret_hash,
            user=user,
            expires=expires,
            label=origin.label(),
            now=now,
            scopes=scopes_of(kind),
        )
    session = WebSession(secret_hash, user, origin.label(), scopes_of(kind), now, expires, None)
    services.activity.use(secret_hash, kind, now)
    return secret, Principal(user, session, kind)


async def authenticate(services: Services, secret: str, kind: SessionKind, now: float) -> Principal:
    """Returns whose session ``secret`` is. Raises RefusedError(SIGN_IN_REQUIRED).

    A session of the sign-in page opens no API and the other way round.
    """
    if parse_secret_untrusted(secret) is None:
        raise RefusedError(Reason.SIGN_IN_REQUIRED)
    async with services.store.read() as connection:
        session = await web_sessions.find(connection, digest(secret), now)
    if session is None or kind_of(session.scopes) != kind:
        raise RefusedError(Reason.SIGN_IN_REQUIRED, "the session has ended")
    if not services.activity.use(session.hash, kind, now):
        await end(services, session.hash, session.user, now)
        raise RefusedError(Reason.SIGN_IN_REQUIRED, "the session was not used for too long")
    return Principal(session.user, session, kind)


async def end(services: Services, secret_hash: str, user: UserId, now: float) -> bool:
    """Ends one session of ``user``; tells whether there was one."""
    async with services.store.transact() as connection:
        return await web_sessions.revoke(connection, secret_hash, now, user=user)


async def list_of(services: Services, user: UserId, now: float) -> list[Principal]:
    """Returns the living sessions of ``user``."""
    async with services.store.read() as connection:
        found = await web_sessions.list_of(connection, user, now)
    sessions = [(item, kind_of(item.scopes)) for item in found]
    return [Principal(user, item, kind) for item, kind in sessions if kind is not None]


def account_key(email: str) -> str:
    """Under what attempts at an account are counted; also for accounts that do not exist."""
    return hashlib.sha256(credentials.normal_email(email).encode()).hexdigest()


async def _record_failure(services: Services, user: UserId | None, cause: str, request_id: str, now: float) -> None:
    async with services.store.write(actor=ACTOR, request_id=request_id, now=now) as unit:
        await unit.execute(RecordSignInFailure(user if user in unit.state.users else None, cause))
