"""Giving out and redeeming one-time enrolment tokens, each in one transaction (C1, C2; D7)."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from controller.api.problems import FieldError
from controller.api.services import Services
from controller.domain.commands import EnrolConnector, EnrolRelay, IssueEnrolment, RegisterDevice
from controller.domain.model import PublicKey, SubjectKind
from controller.domain.rules import RuleBrokenError, clean_name
from controller.domain.state import PolicyState
from controller.identity import keyring
from controller.identity.ca import utc
from controller.identity.enrolment import NewEnrolment, connector_pin_untrusted, new_enrolment
from controller.identity.proofs import key_id, verify_key_proof
from controller.identity.rate_limit import address_key
from controller.identity.web_sessions import digest
from controller.store import Unit, credentials, enrolments, idempotency
from protocol.enrolment import EnrolmentKind
from protocol.errors import RefusedError
from protocol.ids import ConnectorId, DeviceId, RelayId, ServiceAccountId, SpkiPin
from protocol.reasons import Reason
from protocol.tokens.keys import public_jwk
from runtime.entropy import new_id

ACTOR = "enrolment"
SERVICE_PLATFORM = "service"


@dataclass(frozen=True, slots=True)
class Request:
    """What an agent sends."""

    secret: str
    kind: EnrolmentKind
    jwk: dict[str, str]
    proof: str
    hostname: str = ""
    pin: str | None = None
    csr: str | None = None


async def give_out(services: Services, unit: Unit, kind: EnrolmentKind, target: str) -> NewEnrolment:
    """Makes a token for ``target``; an earlier one that was not used is worth nothing any more. The log says who did it."""
    return await issue(unit, kind, target, url=services.public_url, pin=services.enrolment_pin)


async def issue(unit: Unit, kind: EnrolmentKind, target: str, *, url: str, pin: SpkiPin | None) -> NewEnrolment:
    """Makes a token that leads to ``url``; ``pin`` is None where a CA that everybody knows vouches for it."""
    await unit.execute(IssueEnrolment(kind, target))
    enrolment = new_enrolment(kind, url=url, pin=pin, now=unit.now)
    await enrolments.revoke_all(unit.connection, target)
    await enrolments.create(
        unit.connection, enrolment.secret_hash, kind=kind, target=target, expires=enrolment.expires, now=unit.now
    )
    return enrolment


async def redeem(services: Services, request: Request, *, address: str, request_id: str, now: float) -> dict[str, Any]:
    """Spends a token and gives its identity to the key in the request; returns the reply.

    Raises:
        RateLimitedError: too many attempts from this address.
        RefusedError: ENROLMENT_INVALID, ENROLMENT_USED, ENROLMENT_EXPIRED, INVALID_INPUT, ALREADY_EXISTS.
        RemoteError: TOKEN_* or PROOF_INVALID for the proof.
    """
    by_address = address_key(address)
    services.limits.enrol.spend(by_address, now)
    key = verify_key_proof(request.proof, request.jwk, audiences=services.audiences, now=now)
    secret_hash = digest(request.secret)
    async with services.store.write(actor=ACTOR, request_id=request_id, now=now) as unit:
        # The agent whose answer was lost asks again with the same key, and is the one that spent the secret.
        reply = await _repeated(services, unit, secret_hash, key)
        if reply is None:
            taken = await enrolments.take(unit.connection, secret_hash, now, kind=request.kind)
            match request.kind:
                case "connector":
                    own = await _connector(unit, ConnectorId(taken.target), key, request)
                case "relay":
                    own = await _relay(services, unit, RelayId(taken.target), key, request)
                case "service":
                    own = await _service(unit, ServiceAccountId(taken.target), key, request)
            reply = {**_common(services, unit.state), **own}
            await _remember(services, unit, secret_hash, key, reply)
    services.limits.enrol.refund(by_address, now)
    return reply


async def _repeated(services: Services, unit: Unit, secret_hash: str, key: PublicKey) -> dict[str, Any] | None:
    """The answer that this key was given for this secret before (F-31)."""
    stored = await idempotency.get(unit.connection, ACTOR, secret_hash)
    if stored is None or stored.request_hash != key_id(key):
        return None
    opened = services.seal.open(_place(secret_hash), base64.b64decode(stored.body))
    reply: dict[str, Any] = json.loads(opened)
    return reply


async def _remember(services: Services, unit: Unit, secret_hash: str, key: PublicKey, reply: dict[str, Any]) -> None:
    sealed = services.seal.seal(_place(secret_hash), json.dumps(reply).encode())
    body = base64.b64encode(sealed).decode()
    await idempotency.put(
        unit.connection, ACTOR, secret_hash, request_hash=key_id(key), status=200, body=body, now=unit.now
    )


def _place(secret_hash: str) -> str:
    return f"enrolment:{secret_hash}"


async def _connector(unit: Unit, connector: ConnectorId, key: PublicKey, request: Request) -> dict[str, Any]:
    pin = connector_pin_untrusted(request.pin)
    known = unit.state.connectors.get(connector)
    if known is None:
        raise RefusedError(Reason.ENROLMENT_INVALID, "the connector was removed")
    await unit.execute(EnrolConnector(connector, key, pin))
    return {"connector": connector, "network": known.network}


async def _relay(services: Services, unit: Unit, relay: RelayId, key: PublicKey, request: Request) -> dict[str, Any]:
    known = unit.state.relays.get(relay)
    if known is None:
        raise RefusedError(Reason.ENROLMENT_INVALID, "the relay was removed")
    if request.csr is None:
        raise FieldError("csr", "a relay sends a certificate request")
    chain = services.ca.sign_request_untrusted(request.csr, [known.fqdn], now=utc(unit.now))
    if _key_of(chain) != key:
        raise FieldError("csr", "it is for another key than jwk")
    await unit.execute(EnrolRelay(relay, key))
    return {"relay": relay, "fqdn": known.fqdn, "port": known.port, "certificate": chain.decode()}


async def _service(unit: Unit, account: ServiceAccountId, key: PublicKey, request: Request) -> dict[str, Any]:
    if account not in unit.state.service_accounts:
        raise RefusedError(Reason.ENROLMENT_INVALID, "the service account was removed")
    device = DeviceId(new_id("device"))
    try:
        name = clean_name(request.hostname or account)
    except RuleBrokenError as exc:
        raise FieldError("hostname", exc.refusal.detail) from exc
    await unit.execute(RegisterDevice(device, SubjectKind.SERVICE_ACCOUNT, account, key, SERVICE_PLATFORM))
    await credentials.set_personal_data(unit.connection, device, fields={"name": name}, now=unit.now)
    return {"device": device, "service_account": account}


def _common(services: Services, state: PolicyState) -> dict[str, Any]:
    return {
        "issuer": state.issuer,
        "controller_url": services.public_url,
        "jwks": keyring.published(state).to_jwks(),
    }


def _key_of(chain: bytes) -> PublicKey:
    key = x509.load_pem_x509_certificate(chain).public_key()
    return PublicKey.from_jwk(public_jwk(key))  # type: ignore[arg-type]  # sign_request_untrusted takes P-256 only
