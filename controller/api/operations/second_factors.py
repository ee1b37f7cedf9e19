"""Second factors of people: enrolment, codes, recovery, step-up (RFC 6238; S-9, T-9, D7)."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from controller.api.services import Services
from controller.domain.authentication import RECOVERY_CODE, TOTP, Authentication
from controller.domain.commands_sign_in import (
    AddSecondFactor,
    MakeRecoveryCodes,
    RemoveSecondFactor,
    UseRecoveryCode,
)
from controller.identity.sealing import Seal
from controller.identity.second_factor import (
    matching_step,
    new_recovery_codes,
    new_secret,
    parse_code_untrusted,
    parse_recovery_code_untrusted,
    provisioning_uri,
    recovery_hash,
)
from controller.identity.web_sessions import RECENT_S
from controller.store import Connection, Unit, passkeys, second_factors, web_sessions
from controller.store.web_sessions import WebSession
from protocol.errors import RefusedError
from protocol.ids import UserId
from protocol.reasons import Reason


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What the person puts into an authenticator app; shown this once."""

    secret: str
    uri: str


async def enrol(services: Services, session: WebSession, account_name: str, now: float) -> Enrolment:
    """Makes a secret that counts once it was confirmed; one that was not confirmed is replaced.

    Raises:
        RefusedError: ALREADY_EXISTS while a second factor is in force; SECOND_FACTOR_REQUIRED.
    """
    user = session.user
    account = services.state.users.get(user)
    if account is not None and account.second_factor is not None:
        raise RefusedError(Reason.ALREADY_EXISTS, "the account has a second factor; remove it first")
    secret = new_secret()
    async with services.store.transact() as connection:
        await require_passkey(connection, session)
        known = await second_factors.find(connection, user)
        if known is not None and known.confirmed_at is not None:
            raise RefusedError(Reason.ALREADY_EXISTS, "the account has a second factor; remove it first")
        await second_factors.begin(connection, user, services.seal.seal(_place(user), secret.encode()), now)
    host = urlsplit(services.public_url).hostname or ""
    return Enrolment(secret, provisioning_uri(secret, account_name, host))


async def confirm(unit: Unit, services: Services, user: UserId, code: str, session: WebSession) -> tuple[str, ...]:
    """Puts the second factor in force and returns the recovery codes, this once; other sign-ins of the user end.

    Raises:
        RefusedError: NOT_FOUND when none was begun, ALREADY_EXISTS, SECOND_FACTOR_REQUIRED, SECOND_FACTOR_WRONG.
    """
    await require_passkey(unit.connection, session)
    known = await second_factors.find(unit.connection, user)
    if known is None:
        raise RefusedError(Reason.NOT_FOUND, "no second factor was begun")
    await unit.execute(AddSecondFactor(user, TOTP))
    if not await _spend_totp(unit, services.seal, user, code, confirmed=False):
        raise RefusedError(Reason.SECOND_FACTOR_WRONG)
    await second_factors.confirm(unit.connection, user, unit.now)
    codes = await _replace_codes(unit, user)
    await web_sessions.revoke_all(unit.connection, user, unit.now, but=session.hash)
    await note_passed(unit, session, TOTP)
    return codes


async def remake_codes(unit: Unit, user: UserId) -> tuple[str, ...]:
    """Makes new recovery codes in place of the old ones. Raises RefusedError(NOT_FOUND) without a second factor."""
    await unit.execute(MakeRecoveryCodes(user))
    return await _replace_codes(unit, user)


async def remove(unit: Unit, user: UserId) -> None:
    """Takes the second factor and the recovery codes away."""
    await unit.execute(RemoveSecondFactor(user))
    await second_factors.remove(unit.connection, user)


async def spend(unit: Unit, seal: Seal, user: UserId, typed: str) -> str | None:
    """Spends a one-time or recovery code; returns which it was, or None when it is wrong or was used."""
    code = parse_code_untrusted(typed)
    if code is not None:
        return TOTP if await _spend_totp(unit, seal, user, code, confirmed=True) else None
    recovery = parse_recovery_code_untrusted(typed)
    if recovery is None or not await second_factors.spend_recovery_code(unit.connection, user, recovery_hash(recovery)):
        return None
    left = await second_factors.count_recovery_codes(unit.connection, user)
    await unit.execute(UseRecoveryCode(user, left))
    return RECOVERY_CODE


async def note_passed(unit: Unit, session: WebSession, method: str) -> Authentication:
    """Notes in a session that goes on that the second factor was passed just now."""
    first = session.how.method.partition("+")[0]
    how = Authentication(session.how.authenticated_s, int(unit.now), f"{first}+{method}")
    await web_sessions.note(unit.connection, session.hash, how)
    return how


def require_recent(how: Authentication, now: float) -> None:
    """Raises RefusedError(SIGN_IN_NOT_RECENT) unless the person proved who he is a short while ago, and somebody says when."""
    latest = max(how.authenticated_s, how.mfa_s or 0)
    if not how.dated or now >= latest + RECENT_S:
        raise RefusedError(Reason.SIGN_IN_NOT_RECENT)


async def require_passkey(connection: Connection, session: WebSession) -> None:
    """Asks whoever has a passkey for it before a factor is made or taken away.

    Sessions that lack a second factor may set one up. Whose password alone began one must not do that beside a passkey, or the passkey
    would protect nothing.

    Raises:
        RefusedError: SECOND_FACTOR_REQUIRED.
    """
    if session.how.mfa_s is None and await passkeys.of_user(connection, session.user):
        raise RefusedError(
            Reason.SECOND_FACTOR_REQUIRED,
            "the account has a passkey: sign in to the console with it, and do this there",
        )


async def _spend_totp(unit: Unit, seal: Seal, user: UserId, typed: str, *, confirmed: bool) -> bool:
    code = parse_code_untrusted(typed)
    known = await second_factors.find(unit.connection, user)
    if code is None or known is None or (known.confirmed_at is not None) is not confirmed:
        return False
    step = matching_step(seal.open(_place(user), known.sealed).decode(), code, unit.now)
    return step is not None and await second_factors.spend_step(unit.connection, user, step)


async def _replace_codes(unit: Unit, user: UserId) -> tuple[str, ...]:
    codes = new_recovery_codes()
    hashes = [recovery_hash(code.replace("-", "")) for code in codes]
    await second_factors.set_recovery_codes(unit.connection, user, hashes, unit.now)
    return codes


def _place(user: UserId) -> str:
    return f"totp:{user}"
