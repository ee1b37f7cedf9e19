"""Second factors of people, step-up, and the rules about who needs one."""

from contextlib import AbstractAsyncContextManager
from typing import Annotated

from fastapi.responses import Response

from controller.api.calls import Anonymous, IfMatch, SignedCall, permits
from controller.api.operations import second_factors, step_up
from controller.api.routes.common import SIGNED, IdInPath, api_router, found, problems
from controller.api.schemas.common import from_s
from controller.api.schemas.sessions import (
    CodeGiven,
    DeviceStepUp,
    RecoveryCodes,
    SecondFactor,
    SecondFactorBegun,
    SignInRules,
    SignInRulesChange,
    SteppedUp,
)
from controller.api.writes import model_answer
from controller.domain.commands_sign_in import ChangeSignInRules
from controller.domain.model import User
from controller.domain.permissions import Permission
from controller.domain.state import PolicyState
from controller.identity import access
from controller.store import Unit, credentials, web_sessions
from controller.store import second_factors as stored
from protocol.errors import RefusedError
from protocol.reasons import Reason

router = api_router(tags=["second factors"])

Mine = Annotated[SignedCall, permits(Permission.SELF_READ, early=True)]
Change = Annotated[SignedCall, permits(Permission.CREDENTIALS_WRITE, early=True)]
ResetOthers = Annotated[SignedCall, permits(Permission.PEOPLE_WRITE)]
ReadRules = Annotated[SignedCall, permits(Permission.SETTINGS_READ)]
WriteRules = Annotated[SignedCall, permits(Permission.SETTINGS_WRITE)]
STREAM = "sign_in_rules"


@router.get("/me/second-factor", responses=problems(*SIGNED), summary="Read your second factor")
async def get_second_factor(call: Mine) -> SecondFactor:
    """Whether there is one, whether the rules want one, and how many recovery codes are left."""
    async with call.services.store.read() as connection:
        known = await stored.find(connection, call.user.id)
        left = await stored.count_recovery_codes(connection, call.user.id)
    confirmed = known.confirmed_at if known is not None and call.user.second_factor is not None else None
    return SecondFactor(
        method=call.user.second_factor,
        confirmed_at=None if confirmed is None else from_s(confirmed),
        recovery_codes_left=left,
        required=access.needs_second_factor(call.state, call.user),
    )


@router.post(
    "/me/second-factor", status_code=201, responses=problems(*SIGNED, 403, 409), summary="Begin a second factor"
)
async def begin_second_factor(call: Change) -> SecondFactorBegun:
    """A time-based one-time password (RFC 6238). It counts once a code was confirmed. Needs a sign-in of the last 15
    minutes."""
    session = call.require_session().session
    second_factors.require_recent(session.how, call.now)
    async with call.services.store.read() as connection:
        personal = await credentials.get_personal_data(connection, call.user.id)
    name = personal.email or personal.name if personal is not None else call.user.id
    begun = await second_factors.enrol(call.services, session, name, call.now)
    return SecondFactorBegun(secret=begun.secret, uri=begun.uri)


@router.post("/me/second-factor/confirm", responses=problems(*SIGNED, 403, 404, 409), summary="Confirm a second factor")
async def confirm_second_factor(call: Change, body: CodeGiven) -> RecoveryCodes:
    """With a first code. Your other sign-ins end; the answer holds recovery codes, this once."""
    session = call.require_session().session
    async with _trying(call), call.write() as unit:
        codes = await second_factors.confirm(unit, call.services, call.user.id, body.code, session)
    return RecoveryCodes(recovery_codes=list(codes))


@router.post("/me/second-factor/pass", responses=problems(*SIGNED, 403), summary="Pass your second factor again")
async def pass_second_factor(call: Change, body: CodeGiven) -> SteppedUp:
    """Renews when this session has passed it: some changes want it to be recent."""
    session = call.require_session()
    async with _trying(call), call.write() as unit:
        method = await _spend(unit, call, body.code)
        await second_factors.note_passed(unit, session.session, method)
    return SteppedUp(session=session.id, second_factor_at=from_s(int(call.now)))


@router.post(
    "/me/second-factor/recovery-codes", responses=problems(*SIGNED, 403, 404), summary="Make new recovery codes"
)
async def make_recovery_codes(call: Change, body: CodeGiven) -> RecoveryCodes:
    """In place of the earlier ones, which are void; the answer holds them, this once."""
    call.require_session()
    async with _trying(call), call.write() as unit:
        await _spend(unit, call, body.code)
        codes = await second_factors.remake_codes(unit, call.user.id)
    return RecoveryCodes(recovery_codes=list(codes))


@router.post(
    "/me/second-factor/remove", status_code=204, responses=problems(*SIGNED, 403), summary="Remove your second factor"
)
async def remove_second_factor(call: Change, body: CodeGiven) -> None:
    """With its recovery codes; takes a last code. To change the authenticator, remove it and begin again."""
    call.require_session()
    async with _trying(call), call.write() as unit:
        await _spend(unit, call, body.code)
        await second_factors.remove(unit, call.user.id)


@router.delete(
    "/users/{user}/second-factor",
    status_code=204,
    responses=problems(*SIGNED, 403, 404),
    summary="Reset a user's second factor",
)
async def reset_second_factor(call: ResetOthers, user: IdInPath) -> None:
    """For somebody who lost authenticator and recovery codes, and stands below you. All his sign-ins end."""
    async with call.write() as unit:
        target = found(unit.state.users, user)
        _require_power_over(call, unit.state, target)
        await second_factors.remove(unit, target.id)
        await web_sessions.revoke_all(unit.connection, target.id, unit.now)


@router.post(
    "/device-sessions/second-factor",
    responses=problems(401, 403, 429, 503),
    summary="Pass the second factor again, for a device",
    tags=["agents"],
)
async def step_up_device(call: Anonymous, body: DeviceStepUp) -> SteppedUp:
    """The device proves its key; its user gives a code. Policies that ask for a recent second factor are met again, at once."""
    session = await step_up.of_device(
        call.services,
        device=body.device,
        proof=body.proof,
        code=body.code,
        address=call.origin.address,
        request_id=call.request_id,
        now=call.now,
    )
    return SteppedUp(session=session.id, second_factor_at=from_s(session.mfa_s or 0))


@router.get("/sign-in-rules", response_model=SignInRules, responses=problems(*SIGNED, 403), summary="Read the rules")
async def get_sign_in_rules(call: ReadRules) -> Response:
    """Who must have passed a second factor."""
    return model_answer(_rules(call.state))


@router.put(
    "/sign-in-rules", response_model=SignInRules, responses=problems(*SIGNED, 403, 412), summary="Change the rules"
)
async def set_sign_in_rules(call: WriteRules, body: SignInRulesChange, expected: IfMatch) -> Response:
    """Set up your own second factor first: from then on your session, too, needs to have passed one."""
    async with call.write() as unit:
        expected.check(unit.state, STREAM)
        await unit.execute(ChangeSignInRules(body.second_factor_for))
        rules = _rules(unit.state)
    return model_answer(rules)


def _trying(call: SignedCall) -> AbstractAsyncContextManager[None]:
    return step_up.trying_code(call.services, call.user.id, call.request_id, call.now)


async def _spend(unit: Unit, call: SignedCall, code: str) -> str:
    method = await second_factors.spend(unit, call.services.seal, call.user.id, code)
    if method is None:
        raise RefusedError(Reason.SECOND_FACTOR_WRONG)
    return method


def _require_power_over(call: SignedCall, state: PolicyState, target: User) -> None:
    access.require_power_over(access.require_standing(state, call.actor), target)


def _rules(state: PolicyState) -> SignInRules:
    return SignInRules.model_validate(
        {"second_factor_for": state.second_factor_for, "version": state.version_of(STREAM)}
    )
