"""The device sign-in over the store: start, show, decide, redeem (RFC 8628; C6, S-9, D7).

What an approval leads to is the code's purpose: a device with its session, or a session of the API for the command line of
somebody whose password, if he has one, is the identity provider's business.
"""

from dataclasses import dataclass
from typing import Any

from controller.api.operations import second_factors, sessions
from controller.api.operations.sessions import SignedIn
from controller.api.services import Services
from controller.domain.authentication import PASSWORD, Authentication
from controller.domain.commands import RegisterDevice, RevokeDevice, StartSession
from controller.domain.model import PublicKey, SubjectKind, SubjectRef, User
from controller.identity import access, device_flow, keyring
from controller.identity.device_flow import AskingDevice, Purpose, asking_device_untrusted
from controller.identity.proofs import verify_key_proof
from controller.identity.rate_limit import RateLimitedError, address_key
from controller.identity.user_codes import new_device_code, new_user_code, parse_user_code_untrusted
from controller.identity.web_sessions import Origin, digest
from controller.store import Unit, credentials, device_codes
from controller.store.device_codes import DeviceCode
from protocol.errors import RefusedError
from protocol.ids import DeviceId, SessionId
from protocol.reasons import Reason
from runtime.entropy import new_id

ACTOR = "device_sign_in"
DAY_S = 86_400


class SlowDownError(RateLimitedError):
    """RFC 8628 section 3.5: polled too early; ``retry_after_s`` is the new interval."""

    def __init__(self, interval_s: float) -> None:
        super().__init__(interval_s)
        self.reason = Reason.SLOW_DOWN


@dataclass(frozen=True, slots=True)
class Started:
    """The codes of a new sign-in."""

    device_code: str
    user_code: str


@dataclass(frozen=True, slots=True)
class Asking:
    """A pending sign-in as the person who decides sees it."""

    user_code: str
    device: AskingDevice


async def start(
    services: Services,
    *,
    jwk: dict[str, str],
    proof: str,
    name: str,
    platform: str,
    address: str,
    now: float,
    purpose: Purpose = "device",
) -> Started:
    """Begins a sign-in for the device that holds the key in ``jwk``.

    Raises:
        RateLimitedError: too many from this address.
        RemoteError: the proof or the input is wrong.
    """
    services.limits.device_start.spend(address_key(address), now)
    verify_key_proof(proof, jwk, audiences=services.audiences, now=now)
    device = asking_device_untrusted(name, platform, address, purpose)
    device_code = new_device_code()
    for _ in range(device_flow.USER_CODE_TRIES):
        user_code = new_user_code()
        try:
            async with services.store.transact() as connection:
                await device_codes.create(
                    connection,
                    digest(device_code),
                    user_code=user_code,
                    jwk=jwk,
                    device_name=device.label(),
                    platform=device.platform,
                    interval_s=device_flow.INTERVAL_S,
                    expires=now + device_flow.LIFE_S,
                    now=now,
                )
        except RefusedError as exc:
            if exc.reason is not Reason.ALREADY_EXISTS:
                raise
            continue
        return Started(device_code, user_code)
    raise RefusedError(Reason.UNAVAILABLE, "no free code")


async def show(services: Services, typed: str, *, user: User, address: str, now: float) -> Asking:
    """Returns the pending sign-in that shows the code ``typed``.

    Wrong codes count against the address, the account and everybody together (S-9); right ones do not.

    Raises:
        RateLimitedError: too many wrong codes.
        RefusedError: NOT_FOUND for any code that is not pending.
    """
    limiter, everybody = services.limits.user_code, services.limits.user_code_everybody
    keys = (address_key(address), user.id)
    for key in keys:
        limiter.spend(key, now)
    everybody.spend("", now)
    code = parse_user_code_untrusted(typed)
    async with services.store.read() as connection:
        found = await device_codes.find_by_user_code(connection, code)
    if found is None or found.status != "pending" or found.expires <= now:
        raise RefusedError(Reason.NOT_FOUND, "there is no such code; it may have expired")
    for key in keys:
        limiter.refund(key, now)
    everybody.refund("", now)
    return Asking(found.user_code, AskingDevice.of_label(found.device_name, found.platform))


async def decide(
    services: Services, asking: Asking, *, user: User, approve: bool, how: Authentication, now: float
) -> None:
    """Notes the person's decision; ``how`` is how he proved who he is, which becomes the session's.

    Raises:
        RefusedError: SIGN_IN_EXPIRED when somebody was quicker; SIGN_IN_NOT_RECENT for ``needs_recent``.
    """
    access.require_user(services.state, user.id)
    if approve and needs_recent(asking.device, how, now):
        raise RefusedError(Reason.SIGN_IN_NOT_RECENT)
    async with services.store.transact() as connection:
        if approve:
            await device_codes.approve(connection, asking.user_code, user.id, now, how)
        else:
            await device_codes.deny(connection, asking.user_code, now)


def needs_recent(device: AskingDevice, how: Authentication, now: float) -> bool:
    """Whether the person must first prove anew who he is: an old page, or an old session at a provider, opens no API."""
    if device.purpose == "device":
        return False
    try:
        second_factors.require_recent(how, now)
    except RefusedError:
        return True
    return False


async def redeem(
    services: Services, *, device_code: str, proof: str, origin: Origin, request_id: str, now: float
) -> dict[str, Any] | SignedIn:
    """Answers one poll: once approved, does what the code is for, and spends it.

    Returns what the device is told, or the session of the API of a code for administration.

    Raises:
        SlowDownError: polled too early; the interval is longer from now on.
        RefusedError: AUTHORIZATION_PENDING, SIGN_IN_DENIED, SIGN_IN_EXPIRED, USER_DISABLED, SECOND_FACTOR_REQUIRED.
        RemoteError: the proof is wrong.
    """
    services.limits.poll.spend(address_key(origin.address), now)
    code_hash = digest(device_code)
    async with services.store.transact() as connection:
        code = await device_codes.poll(connection, code_hash, now)
    if device_codes.too_early(code, now):
        raise SlowDownError(code.interval_s + device_flow.SLOW_DOWN_S)
    _require_approved(code)
    key = verify_key_proof(proof, code.jwk, audiences=services.audiences, now=now)
    assert code.user is not None
    if AskingDevice.of_label(code.device_name, code.platform).purpose == "administration":
        return await _administration(services, code_hash, origin, request_id, now)
    owner = SubjectRef(SubjectKind.USER, code.user)
    # A device that changes hands is taken from its former owner, which is not the new one's to do.
    moves = _owner_of(services, key) not in (None, owner)
    actor = ACTOR if moves else str(code.user)
    async with services.store.write(actor=actor, request_id=request_id, now=now) as unit:
        taken = await device_codes.take(unit.connection, code_hash, now)
        account = access.require_user(unit.state, code.user)
        device = await _device(unit, account, key, taken)
        session = SessionId(new_id("session"))
        expires = int(now + services.settings.sign_in_days * DAY_S)
        how = _how(taken, now)
        await unit.execute(
            StartSession(session, device, account.id, expires, how.authenticated_s, how.mfa_s, how.method)
        )
        state = unit.state
    return {
        "device": device,
        "user": account.id,
        "session": session,
        "session_expires": expires,
        "issuer": state.issuer,
        "controller_url": services.public_url,
        "jwks": keyring.published(state).to_jwks(),
    }


async def _administration(services: Services, code_hash: str, origin: Origin, request_id: str, now: float) -> SignedIn:
    async with services.store.write(actor=ACTOR, request_id=request_id, now=now) as unit:
        taken = await device_codes.take(unit.connection, code_hash, now)
        assert taken.user is not None
        account = access.require_user(unit.state, taken.user)
        signed = await sessions.begin_in(unit, services, account.id, "api", origin, _how(taken, now))
        if signed.pending:
            # It was set up after the approval: half a sign-in opens nothing here.
            raise RefusedError(Reason.SECOND_FACTOR_REQUIRED)
        return signed


def _how(code: DeviceCode, now: float) -> Authentication:
    return code.how or Authentication(int(now), None, PASSWORD)


def _require_approved(code: DeviceCode) -> None:
    match code.status:
        case "approved":
            return
        case "pending":
            raise RefusedError(Reason.AUTHORIZATION_PENDING)
        case "denied":
            raise RefusedError(Reason.SIGN_IN_DENIED)
    raise RefusedError(Reason.SIGN_IN_EXPIRED)


def _owner_of(services: Services, key: PublicKey) -> SubjectRef | None:
    device = services.state.device_by_key.get(key)
    return services.state.devices[device].owner if device is not None else None


async def _device(unit: Unit, account: User, key: PublicKey, code: DeviceCode) -> DeviceId:
    """The device with this key: known already, or registered now."""
    asking = AskingDevice.of_label(code.device_name, code.platform)
    known = unit.state.device_by_key.get(key)
    owner = SubjectRef(SubjectKind.USER, account.id)
    if known is not None and unit.state.devices[known].owner != owner:
        await unit.execute(RevokeDevice(known))
        known = None
    device = known or DeviceId(new_id("device"))
    if known is None:
        await unit.execute(RegisterDevice(device, SubjectKind.USER, account.id, key, asking.platform))
    await credentials.set_personal_data(unit.connection, device, fields={"name": asking.name}, now=unit.now)
    return device
