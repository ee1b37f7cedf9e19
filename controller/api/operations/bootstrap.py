"""The first set-up, step by step and safe to repeat: identity of the controller, CA, signing keys, first owner."""

from dataclasses import dataclass

from controller.api.operations import accounts, keys
from controller.api.operations.accounts import NewAccount
from controller.domain.commands import InitialiseController
from controller.domain.model import Role
from controller.identity.ca import CertificateAuthority
from controller.identity.keyring import KeyRing
from controller.identity.sealing import Seal
from controller.store import Store, Unit, credentials
from protocol.errors import LocalError
from protocol.ids import UserId
from protocol.reasons import Reason
from runtime.entropy import token_text


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is there after the set-up, and what of it was made now."""

    issuer: str
    public_url: str
    ca: CertificateAuthority
    owner: UserId | None
    made: tuple[str, ...]


async def set_up(
    store: Store, seal: Seal, *, public_url: str | None, owner: NewAccount | None, actor: str, now: float
) -> Outcome:
    """Makes what is missing, in one transaction.

    Raises:
        LocalError: CONFIG_INVALID when the controller is new and has no ``public_url``.
        RefusedError: the owner's account cannot be made.
    """
    async with store.write(actor=actor, request_id="init", now=now) as unit:
        made: list[str] = []
        if not unit.state.initialised:
            if public_url is None:
                raise LocalError(Reason.CONFIG_INVALID, "public_url: a new controller needs one; give --public-url")
            await unit.execute(InitialiseController(f"ctl_{token_text(16)}", public_url))
            made.append("controller")
        before = unit.position
        await keys.ensure(KeyRing(seal), unit)
        if unit.position != before:
            made.append("signing keys")
        if not await keys.has_ca(unit):
            made.append("CA")
        ca = await keys.ensure_ca(seal, unit, f"Ostiary CA of {unit.state.issuer}")
        user = await _owner(unit, owner, made)
        state = unit.state
    return Outcome(state.issuer, state.public_url, ca, user, tuple(made))


async def _owner(unit: Unit, owner: NewAccount | None, made: list[str]) -> UserId | None:
    if owner is None:
        owners = sorted(item.id for item in unit.state.users.values() if item.role is Role.OWNER)
        return owners[0] if owners else None
    known = await credentials.find_by_email(unit.connection, owner.email)
    if known is not None:
        return known
    made.append("owner")
    return await accounts.create(unit, owner)
