"""The key ring and the CA over the store: first set-up, rotation, distrust, loading into memory (T-64)."""

import structlog

from controller.domain.state import PolicyState
from controller.identity import keyring
from controller.identity.ca import CertificateAuthority, utc
from controller.identity.keyring import Change, KeyRing
from controller.identity.sealing import Seal
from controller.store import Store, Unit, secrets
from protocol.errors import LocalError
from protocol.reasons import Reason

CA_SECRET = "ca"  # noqa: S105 - a name

_log = structlog.get_logger(__name__)


async def apply(ring: KeyRing, unit: Unit, change: Change) -> None:
    """Stores the private halves of new keys, then says so in the log, in one transaction."""
    for new in change.new_keys:
        await secrets.put(unit.connection, keyring.secret_name(new.kid), ring.sealed(new.signing), unit.now)
    for command in change.commands:
        await unit.execute(command)


async def ensure(ring: KeyRing, unit: Unit) -> None:
    """Makes the first keys unless they are there."""
    await apply(ring, unit, keyring.plan_first_keys(unit.state))


async def rotate(ring: KeyRing, unit: Unit) -> None:
    """Signs with the next key from now on. Raises RefusedError(LIMIT_EXCEEDED) when done too often."""
    await apply(ring, unit, keyring.plan_rotation(unit.state, unit.now))


async def rotate_if_due(ring: KeyRing, unit: Unit, every_s: float) -> bool:
    """Rotates when it is time (T-64); says whether. Decided inside the transaction: of several processes one does it."""
    change = keyring.plan_due_rotation(unit.state, unit.now, every_s)
    await apply(ring, unit, change)
    return bool(change.commands)


async def distrust(ring: KeyRing, unit: Unit, kid: str) -> None:
    """Emergency. Raises RefusedError(NOT_FOUND) for a key that never was."""
    await apply(ring, unit, keyring.plan_distrust(unit.state, kid))


async def retire(ring: KeyRing, unit: Unit) -> None:
    """Takes keys out of publication whose overlap is over."""
    await apply(ring, unit, keyring.plan_retirement(unit.state, unit.now))


async def load_missing(ring: KeyRing, store: Store, state: PolicyState) -> None:
    """Opens the private halves that ``state`` calls for. Raises LocalError(STATE_CORRUPT)."""
    for kid in ring.missing(state):
        async with store.read() as connection:
            ring.load(kid, await secrets.get(connection, keyring.secret_name(kid)))
        _log.info("signing key loaded", kid=kid)
    ring.forget(state)


async def has_ca(unit: Unit) -> bool:
    """Tells whether the internal CA was made."""
    return await secrets.get(unit.connection, CA_SECRET) is not None


async def ensure_ca(seal: Seal, unit: Unit, name: str) -> CertificateAuthority:
    """Returns the internal CA; makes it the first time."""
    sealed = await secrets.get(unit.connection, CA_SECRET)
    if sealed is not None:
        return CertificateAuthority.from_pem(seal.open(CA_SECRET, sealed))
    ca = CertificateAuthority.create(name, now=utc(unit.now))
    await secrets.put(unit.connection, CA_SECRET, seal.seal(CA_SECRET, ca.sealed_form()), unit.now)
    return ca


async def load_ca(seal: Seal, store: Store) -> CertificateAuthority:
    """Returns the internal CA. Raises LocalError(NOT_SET_UP) before `init`."""
    async with store.read() as connection:
        sealed = await secrets.get(connection, CA_SECRET)
    if sealed is None:
        raise LocalError(Reason.NOT_SET_UP, "the database holds no CA")
    return CertificateAuthority.from_pem(seal.open(CA_SECRET, sealed))
