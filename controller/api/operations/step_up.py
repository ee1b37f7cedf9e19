"""Step-up: a person passes the second factor again, in a session that goes on (policies ask how long ago it was)."""

import contextlib
from collections.abc import AsyncIterator

from controller.api.operations import second_factors
from controller.api.operations.sign_in_audit import ACTOR, record_failure
from controller.api.services import Services
from controller.domain.commands_sign_in import Reauthenticate
from controller.domain.model import Session
from controller.identity import access
from controller.identity.proofs import verify_agent_proof
from controller.identity.rate_limit import address_key
from protocol.errors import RefusedError
from protocol.ids import DeviceId, UserId
from protocol.reasons import Reason


@contextlib.asynccontextmanager
async def trying_code(services: Services, user: UserId, request_id: str, now: float) -> AsyncIterator[None]:
    """Around whatever spends a code: limits the tries, and leaves an event of a wrong one (T-9).

    Raises:
        RateLimitedError: too many codes for this account.
    """
    services.limits.second_factor.spend(user, now)
    try:
        yield
    except RefusedError as exc:
        if exc.reason is Reason.SECOND_FACTOR_WRONG:
            await record_failure(services, user, "wrong_code", request_id, now)
        raise
    services.limits.second_factor.refund(user, now)


async def of_device(
    services: Services, *, device: str, proof: str, code: str, address: str, request_id: str, now: float
) -> Session:
    """Renews the second factor of the session on ``device``, which proves its own key; returns the session.

    Raises:
        RateLimitedError: too many tries from this address or for this account.
        RemoteError: the proof is wrong.
        RefusedError: PROOF_INVALID, SESSION_ENDED, USER_DISABLED, SECOND_FACTOR_WRONG, SECOND_FACTOR_REQUIRED when there
            is none to pass.
    """
    services.limits.device_start.spend(address_key(address), now)
    known = services.state.devices.get(DeviceId(device))
    if known is None:
        raise RefusedError(Reason.PROOF_INVALID, "no such device")
    verify_agent_proof(proof, known.key, device, audiences=services.audiences, now=now)
    session = _session_on(services, known.id, now)
    user = access.require_user(services.state, session.user)
    if user.second_factor is None:
        raise RefusedError(Reason.SECOND_FACTOR_REQUIRED, "the account has none yet")
    async with (
        trying_code(services, user.id, request_id, now),
        services.store.write(actor=ACTOR, request_id=request_id, now=now) as unit,
    ):
        method = await second_factors.spend(unit, services.seal, user.id, code)
        if method is None:
            raise RefusedError(Reason.SECOND_FACTOR_WRONG)
        first = session.method.partition("+")[0]
        await unit.execute(Reauthenticate(session.id, session.authenticated_s, int(now), f"{first}+{method}"))
        renewed = unit.state.sessions[session.id]
    services.limits.device_start.refund(address_key(address), now)
    return renewed


def _session_on(services: Services, device: DeviceId, now: float) -> Session:
    name = services.state.session_of.get(device)
    session = services.state.sessions.get(name) if name is not None else None
    if session is None or session.expires <= now:
        raise RefusedError(Reason.SESSION_ENDED)
    return session
