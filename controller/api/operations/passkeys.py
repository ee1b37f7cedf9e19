"""Passkeys over the store: make, name, remove, and sign in with one (T-9, S-9, D7)."""

from collections.abc import Mapping
from typing import Any, Final

from controller.api.operations import second_factors, sessions
from controller.api.operations.accounts import check_name
from controller.api.operations.sessions import SignedIn
from controller.api.operations.sign_in_audit import ACTOR, record_failure
from controller.api.services import Services
from controller.domain.authentication import PASSKEY, Authentication
from controller.domain.commands_passkeys import AddPasskey, RemovePasskey, RenamePasskey
from controller.identity import passkeys
from controller.identity.passkeys import PASSKEYS_MAX, Challenge, RelyingParty
from controller.identity.rate_limit import address_key
from controller.identity.web_sessions import Origin, SessionKind
from controller.store import Unit, credentials
from controller.store import passkeys as stored
from controller.store.passkeys import Passkey
from controller.store.web_sessions import WebSession
from protocol.errors import RefusedError
from protocol.ids import UserId
from protocol.reasons import Reason
from protocol.tokens.strict import b64url_encode
from runtime.entropy import new_id

COOKIE_LIFE_S: Final = passkeys.CHALLENGE_LIFE_S


async def begin(services: Services, session: WebSession, now: float) -> tuple[dict[str, Any], str]:
    """Returns what the browser is asked for a new passkey, and the cookie.

    Raises:
        RefusedError: CONFLICT, LIMIT_EXCEEDED, SECOND_FACTOR_REQUIRED.
    """
    party, user = RelyingParty.of(services.public_url), session.user
    async with services.store.read() as connection:
        await second_factors.require_passkey(connection, session)
        known = await stored.of_user(connection, user)
        personal = await credentials.get_personal_data(connection, user)
    _require_room(known)
    name = personal.email or personal.name if personal is not None else user
    challenge = passkeys.new_challenge("register", user=user, now=now)
    options = passkeys.registration_options(party, challenge, name=name, known=[item.credential for item in known])
    return options, passkeys.seal_challenge(services.seal, challenge)


async def register(
    unit: Unit, services: Services, session: WebSession, *, cookie: str | None, answer: Mapping[str, Any], name: str
) -> Passkey:
    """Makes a passkey of what the browser answered. The session has passed a second factor by that: it verified the person.

    Raises:
        RefusedError: SIGN_IN_EXPIRED, INVALID_INPUT, ALREADY_EXISTS, LIMIT_EXCEEDED, CONFLICT, SECOND_FACTOR_REQUIRED.
        FieldError: the name.
    """
    display, user = check_name(name), session.user
    await second_factors.require_passkey(unit.connection, session)
    challenge = passkeys.open_challenge_untrusted(services.seal, cookie, "register", user=user, now=unit.now)
    found = passkeys.verify_registration_untrusted(RelyingParty.of(services.public_url), challenge, answer)
    await _spend(unit, challenge)
    _require_room(await stored.of_user(unit.connection, user))
    if await stored.find(unit.connection, found.credential) is not None:
        raise RefusedError(Reason.ALREADY_EXISTS, "this passkey is registered already")
    made = Passkey(
        id=new_id("passkey"),
        user=user,
        credential=found.credential,
        public_key=found.public_key,
        sign_count=found.sign_count,
        name=display,
        synced=found.synced,
        created_at=unit.now,
    )
    await unit.execute(AddPasskey(user, made.id))
    await stored.add(unit.connection, made)
    if session.how.mfa_s is None:
        await second_factors.note_passed(unit, session, PASSKEY)
    return made


async def find_own(unit: Unit, user: UserId, passkey: str) -> Passkey:
    """Returns one of somebody's passkeys. Raises RefusedError(NOT_FOUND)."""
    for item in await stored.of_user(unit.connection, user):
        if item.id == passkey:
            return item
    raise RefusedError(Reason.NOT_FOUND)


async def rename(unit: Unit, passkey: Passkey, name: str) -> None:
    """Gives it another name. Raises FieldError."""
    display = check_name(name)
    if display != passkey.name:
        await unit.execute(RenamePasskey(passkey.user, passkey.id))
        await stored.rename(unit.connection, passkey.id, display)


async def remove(unit: Unit, passkey: Passkey) -> None:
    """Takes it away. Raises RefusedError(FORBIDDEN) for somebody else's, unless he is below."""
    await unit.execute(RemovePasskey(passkey.user, passkey.id))
    await stored.remove(unit.connection, passkey.id)


async def remove_all(unit: Unit, user: UserId) -> int:
    """Takes all of somebody's away; returns how many there were."""
    known = await stored.of_user(unit.connection, user)
    for item in known:
        await remove(unit, item)
    return len(known)


def begin_sign_in(services: Services, now: float) -> tuple[dict[str, Any], str]:
    """Returns what the browser is asked, and the cookie; stores nothing. Raises RefusedError(CONFLICT)."""
    challenge = passkeys.new_challenge("sign-in", now=now)
    options = passkeys.sign_in_options(RelyingParty.of(services.public_url), challenge)
    return options, passkeys.seal_challenge(services.seal, challenge)


async def sign_in(
    services: Services,
    *,
    cookie: str | None,
    answer: Mapping[str, Any],
    kind: SessionKind,
    origin: Origin,
    request_id: str,
    now: float,
) -> SignedIn:
    """Starts a session of whose passkey answered. Every refusal but the rate limit and a late answer leaves an event.

    Raises:
        RateLimitedError: too many from this address.
        RefusedError: SIGN_IN_EXPIRED, SIGN_IN_FAILED, USER_DISABLED, CONFLICT.
    """
    address = address_key(origin.address)
    services.limits.sign_in_address.spend(address, now)
    challenge = passkeys.open_challenge_untrusted(services.seal, cookie, "sign-in", now=now)
    async with services.store.read() as connection:
        known = await stored.find(connection, str(answer.get("id")))
    if known is None:
        await record_failure(services, None, "unknown_passkey", request_id, now)
        raise RefusedError(Reason.SIGN_IN_FAILED)
    try:
        _require_names(answer, known.user)
        count = passkeys.verify_sign_in_untrusted(
            RelyingParty.of(services.public_url), challenge, answer, public_key=known.public_key
        )
    except RefusedError:
        await record_failure(services, known.user, "wrong_passkey", request_id, now)
        raise
    signed, cause = None, ""
    async with services.store.write(actor=ACTOR, request_id=request_id, now=now) as unit:
        account = unit.state.users.get(known.user)
        if await stored.find(unit.connection, known.credential) is None or account is None:
            cause = "unknown_passkey"
        elif account.disabled:
            cause = "account_disabled"
        elif not await stored.spend_challenge(unit.connection, challenge.hash, expires=challenge.expires):
            cause = "passkey_repeated"
        elif not await stored.used(unit.connection, known.id, sign_count=count, now=now):
            cause = "passkey_counter"
        else:
            how = Authentication(int(now), int(now), PASSKEY)
            signed = await sessions.begin_in(unit, services, known.user, kind, origin, how)
    if signed is None:
        await record_failure(services, known.user, cause, request_id, now)
        raise RefusedError(Reason.USER_DISABLED if cause == "account_disabled" else Reason.SIGN_IN_FAILED)
    services.limits.sign_in_address.refund(address, now)
    return signed


async def _spend(unit: Unit, challenge: Challenge) -> None:
    if not await stored.spend_challenge(unit.connection, challenge.hash, expires=challenge.expires):
        raise RefusedError(Reason.SIGN_IN_EXPIRED, "this was answered before; try again")


def _require_names(answer: Mapping[str, Any], user: UserId) -> None:
    """A discoverable credential says whose it is: it must be whose key this is."""
    if answer["response"]["userHandle"] != b64url_encode(user.encode()):
        raise RefusedError(Reason.SIGN_IN_FAILED)


def _require_room(known: list[Passkey]) -> None:
    if len(known) >= PASSKEYS_MAX:
        raise RefusedError(Reason.LIMIT_EXCEEDED, f"at most {PASSKEYS_MAX} passkeys; remove one first")
