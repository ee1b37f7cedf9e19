"""Sign-in with a password and a second factor, and the sessions that result (T-9, T-11, S-9).

sign_in    password right, no second factor      -> a session
           password right, second factor         -> a pending session, good for ``complete`` only
complete   pending session and a right code      -> a session; the pending one is spent
"""

import hashlib
from dataclasses import dataclass

from controller.api.operations import second_factors
from controller.api.operations.sign_in_audit import ACTOR, record_failure
from controller.api.services import Services
from controller.domain.authentication import PASSWORD, Authentication
from controller.domain.commands_sign_in import RecordSignIn
from controller.domain.model import User
from controller.identity.rate_limit import address_key
from controller.identity.web_sessions import (
    LIFETIMES,
    PENDING,
    AnyKind,
    Origin,
    SessionKind,
    digest,
    is_complete,
    kind_of,
    new_secret,
    parse_secret_untrusted,
    public_id,
    scopes_of,
)
from controller.store import Unit, credentials, web_sessions
from controller.store.web_sessions import WebSession
from protocol.errors import RefusedError
from protocol.ids import UserId
from protocol.reasons import Reason


@dataclass(frozen=True, slots=True)
class Principal:
    """Whose session a request carries."""

    user: UserId
    session: WebSession
    kind: AnyKind

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

    @property
    def pending(self) -> bool:
        """Whether the second factor is still to come."""
        return not is_complete(self.principal.kind)


async def sign_in(
    services: Services,
    *,
    email: str,
    password: str,
    kind: SessionKind,
    origin: Origin,
    request_id: str,
    now: float,
    code: str | None = None,
) -> SignedIn:
    """Checks an e-mail address and a password and starts a session, or a pending one when a code is to be given.

    Every refusal but the rate limit leaves an event, and says the same whatever was wrong.

    Raises:
        RateLimitedError: too many attempts from this address or at this account.
        RefusedError: SIGN_IN_FAILED; with the right password also USER_DISABLED, SECOND_FACTOR_WRONG.
    """
    by_address, by_account = address_key(origin.address), account_key(email)
    services.limits.sign_in_address.spend(by_address, now)
    services.limits.sign_in_account.spend(by_account, now)
    account = await _check_password(services, email, password, request_id, now)
    services.limits.sign_in_address.refund(by_address, now)
    services.limits.sign_in_account.refund(by_account, now)
    how = Authentication(int(now), None, PASSWORD)
    signed = await begin(services, account, kind, origin, how, request_id=request_id, now=now)
    if signed.pending and code is not None:
        return await complete(
            services, secret=signed.secret, code=code, kind=kind, origin=origin, request_id=request_id, now=now
        )
    return signed


async def _check_password(services: Services, email: str, password: str, request_id: str, now: float) -> User:
    async with services.store.read() as connection:
        user = await credentials.find_by_email(connection, email)
        stored = await credentials.get_password_hash(connection, user) if user is not None else None
    right = await services.passwords.verify(stored, password)
    account = services.state.users.get(user) if user is not None else None
    if not right or account is None or account.disabled:
        known = account.id if account is not None else None
        cause = "unknown_account" if known is None else "account_disabled" if right else "wrong_password"
        await record_failure(services, known, cause, request_id, now)
        raise RefusedError(Reason.USER_DISABLED if right and account is not None else Reason.SIGN_IN_FAILED)
    if stored is not None and services.passwords.needs_rehash(stored):
        fresh = await services.passwords.hash(password)
        async with services.store.transact() as connection:
            await credentials.set_password_hash(connection, account.id, fresh, now)
    return account


async def begin(
    services: Services,
    account: User,
    kind: SessionKind,
    origin: Origin,
    how: Authentication,
    *,
    request_id: str,
    now: float,
) -> SignedIn:
    """Starts a session of somebody who has passed the first step, or a pending one when he has a second factor.

    Raises:
        RefusedError: USER_DISABLED, SIGN_IN_REQUIRED when the account is gone.
    """
    async with services.store.write(actor=ACTOR, request_id=request_id, now=now) as unit:
        return await begin_in(unit, services, account.id, kind, origin, how)


async def begin_in(
    unit: Unit, services: Services, user: UserId, kind: SessionKind, origin: Origin, how: Authentication
) -> SignedIn:
    """``begin`` inside a unit that does more."""
    account = unit.state.users.get(user)
    if account is None:
        raise RefusedError(Reason.SIGN_IN_REQUIRED, "the account is gone")
    if account.disabled:
        raise RefusedError(Reason.USER_DISABLED)
    if account.second_factor is not None and how.mfa_s is None:
        return await _store(unit, services, account, PENDING[kind], origin, how)
    return await _start(unit, services, account, kind, origin, how)


async def complete(
    services: Services, *, secret: str, code: str, kind: SessionKind, origin: Origin, request_id: str, now: float
) -> SignedIn:
    """Ends a sign-in with the second factor: spends the code and the pending session, starts the session.

    Raises:
        RateLimitedError: too many codes for this account.
        RefusedError: SIGN_IN_REQUIRED without a pending session, SECOND_FACTOR_WRONG, USER_DISABLED.
    """
    pending = await authenticate(services, secret, PENDING[kind], now)
    services.limits.second_factor.spend(pending.user, now)
    signed = None
    async with services.store.write(actor=ACTOR, request_id=request_id, now=now) as unit:
        account = unit.state.users.get(pending.user)
        if account is not None and not account.disabled:
            method = await second_factors.spend(unit, services.seal, account.id, code)
            if method is not None and await web_sessions.revoke(unit.connection, pending.session.hash, now):
                first = pending.session.how
                how = Authentication(first.authenticated_s, int(now), f"{first.method}+{method}")
                signed = await _start(unit, services, account, kind, origin, how)
    if signed is None:
        await record_failure(services, pending.user, "wrong_code", request_id, now)
        raise RefusedError(Reason.SECOND_FACTOR_WRONG)
    services.limits.second_factor.refund(pending.user, now)
    return signed


async def _start(
    unit: Unit, services: Services, account: User, kind: SessionKind, origin: Origin, how: Authentication
) -> SignedIn:
    signed = await _store(unit, services, account, kind, origin, how)
    await unit.execute(RecordSignIn(account.id, kind, how.method, signed.principal.id))
    return signed


async def _store(
    unit: Unit, services: Services, account: User, kind: AnyKind, origin: Origin, how: Authentication
) -> SignedIn:
    secret = new_secret()
    secret_hash = digest(secret)
    expires = unit.now + LIFETIMES[kind].life_s
    await web_sessions.create(
        unit.connection,
        secret_hash,
        user=account.id,
        expires=expires,
        label=origin.label(),
        now=unit.now,
        scopes=scopes_of(kind),
        how=how,
    )
    session = WebSession(secret_hash, account.id, origin.label(), scopes_of(kind), unit.now, expires, None, how)
    services.activity.use(secret_hash, kind, unit.now)
    services.proven.add(secret_hash)
    return SignedIn(secret, account, Principal(account.id, session, kind))


async def authenticate(services: Services, secret: str, kind: AnyKind, now: float) -> Principal:
    """Returns whose session ``secret`` is. Raises RefusedError(SIGN_IN_REQUIRED).

    A session is good for its own kind only: one of the sign-in page opens no API, and half a sign-in opens nothing.
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


async def require_live(services: Services, principal: Principal, now: float) -> None:
    """Looks whether a session still lives, which is no use of it. Raises RefusedError(SIGN_IN_REQUIRED), LocalError(UNAVAILABLE)."""
    async with services.store.read() as connection:
        session = await web_sessions.find(connection, principal.session.hash, now)
    seen = services.activity.seen(principal.session.hash, now)
    if session is None or now >= seen + LIFETIMES[principal.kind].idle_s:
        raise RefusedError(Reason.SIGN_IN_REQUIRED, "the session has ended")


async def end(services: Services, secret_hash: str, user: UserId, now: float) -> bool:
    """Ends one session of ``user``; tells whether there was one."""
    async with services.store.transact() as connection:
        return await web_sessions.revoke(connection, secret_hash, now, user=user)


async def list_of(services: Services, user: UserId | None, now: float) -> list[Principal]:
    """Returns the living sessions of ``user``, or everybody's; half sign-ins are none."""
    async with services.store.read() as connection:
        found = await web_sessions.list_of(connection, user, now)
    sessions = [(item, kind_of(item.scopes)) for item in found]
    return [Principal(item.user, item, kind) for item, kind in sessions if is_complete(kind)]


def account_key(email: str) -> str:
    """Under what attempts at an account are counted; also for accounts that do not exist."""
    return hashlib.sha256(credentials.normal_email(email).encode()).hexdigest()
