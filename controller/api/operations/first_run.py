"""The first owner made over the web, by whoever holds the set-up token that a command on the host printed (T-11, S-9).

The token is 256 random bits, stored as its SHA-256, good once and for an hour, and worth nothing as soon as there is an owner.
"""

import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from controller.api.operations import accounts
from controller.api.operations.sign_in_audit import record_failure
from controller.api.services import Services
from controller.domain.commands import CreateNetwork
from controller.domain.model import Role
from controller.domain.state import PolicyState
from controller.identity.rate_limit import address_key
from controller.identity.web_sessions import digest
from controller.store import Connection, Unit, enrolments
from protocol.errors import RefusedError
from protocol.ids import NetworkId, UserId
from protocol.reasons import Reason
from runtime.entropy import new_id

ACTOR: Final = "setup"
KIND: Final = "setup"
LIFE_S: Final = 3600
PREFIX: Final = "ost_setup_"
"""By its form ``runtime.logging`` keeps it out of logs."""


@dataclass(frozen=True, slots=True)
class FirstRun:
    """What the first person gives."""

    token: str
    email: str
    name: str
    password: str
    network: str | None


@dataclass(frozen=True, slots=True)
class Done:
    """What was made."""

    owner: UserId
    network: NetworkId | None


def is_open(state: PolicyState) -> bool:
    """Whether there is no owner yet."""
    return not any(user.role is Role.OWNER for user in state.users.values())


def require_open(state: PolicyState) -> None:
    """Raises RefusedError(CONFLICT) once there is an owner."""
    if not is_open(state):
        raise RefusedError(Reason.CONFLICT, "this controller has an owner: sign in, or ask him for an account")


async def give_out(connection: Connection, *, now: float) -> tuple[str, float]:
    """Returns a new token and when it ends (Unix seconds); an earlier one is worth nothing any more."""
    secret = PREFIX + secrets.token_urlsafe(32)
    await enrolments.revoke_all(connection, KIND)
    await enrolments.create(connection, digest(secret), kind=KIND, target=KIND, expires=now + LIFE_S, now=now)
    return secret, now + LIFE_S


async def finish(services: Services, first: FirstRun, *, address: str, request_id: str, now: float) -> Done:
    """Makes the first owner and, when it has a name, the first remote network; spends the token.

    Raises:
        RateLimitedError: too many attempts from this address.
        RefusedError: CONFLICT when there is an owner; ENROLMENT_INVALID, ENROLMENT_USED, ENROLMENT_EXPIRED; INVALID_INPUT.
    """
    require_open(services.state)
    key = address_key(address)
    services.limits.setup.spend(key, now)
    # A password is hashed, which is slow on purpose, for a holder of the token only.
    async with services.store.read() as connection:
        known = await enrolments.of_target(connection, KIND)
    found = [item for item in known if hmac.compare_digest(item.hash, digest(first.token))]
    if not found:
        await record_failure(services, None, "wrong_setup_token", request_id, now)
        raise RefusedError(Reason.ENROLMENT_INVALID, "this is not the set-up token")
    account = await accounts.prepare(
        services.passwords, email=first.email, name=first.name, role=Role.OWNER, password=first.password
    )
    async with services.store.write(actor=ACTOR, request_id=request_id, now=now) as unit:
        require_open(unit.state)
        await enrolments.take(unit.connection, found[0].hash, now, kind=KIND)
        owner = await accounts.create(unit, account)
        network = await _network(unit, first.network) if first.network is not None else None
    services.limits.setup.refund(key, now)
    return Done(owner, network)


async def _network(unit: Unit, name: str) -> NetworkId:
    network = NetworkId(new_id("network"))
    await unit.execute(CreateNetwork(network, name))
    return network
