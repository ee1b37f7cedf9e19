"""Enrolment: a one-time token becomes a relay's certificate and the keys it trusts (threats T-57, D7, F-31).

This command is the only code of the relay that connects anywhere; ``run`` never does (T-29). The new key is written aside
before it is used: if the controller's answer is lost, the same command with the same token offers the same key again.
"""

import socket
from collections.abc import Mapping
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.x509.oid import NameOID

from protocol.enrolment import EnrolmentToken, parse_untrusted
from protocol.errors import LocalError, RemoteProtocolError
from protocol.reasons import Reason
from protocol.tokens.keys import VerificationKeys, key_to_pem
from relay.identity import IDENTITY_FILE, Identity, parse_names_untrusted, save_identity
from runtime.clock import Clock
from runtime.console import AdviceError
from runtime.enrolment import offer, pending_key
from runtime.files import StateDir
from runtime.http import check_url
from runtime.trust import client_context, fetch_ca, server_context

PENDING_KEY_FILE: Final = "enrolling.key"


async def enrol(text: str, state: StateDir, clock: Clock, *, force: bool = False) -> Identity:
    """Spends the enrolment token ``text`` and writes the new identity; a relay that runs takes it at its next start.

    Raises:
        LocalError: ENROLMENT_INVALID, ALREADY_EXISTS, ALREADY_RUNNING, PERMISSION_DENIED.
        RefusedError: ENROLMENT_USED, ENROLMENT_EXPIRED and what else the controller says.
        RemoteError: PIN_MISMATCH, CERTIFICATE_UNTRUSTED, CONTROLLER_UNREACHABLE, TIMEOUT.
    """
    token = parse_untrusted(text)
    if token.kind != "relay":
        raise LocalError(Reason.ENROLMENT_INVALID, f"it enrols a {token.kind}, not a relay")
    check_url(token.url)
    state.ensure()
    if state.exists(IDENTITY_FILE):
        # No lock: a relay goes on with its old certificate while the new one is fetched, and takes it when restarted.
        if not force:
            raise AdviceError(
                Reason.ALREADY_EXISTS,
                f"{state.path} holds its identity",
                sentence="This relay is enrolled already.",
                next_step="ostiary-relay run, or enrol it anew with --force",
            )
        return await _enrol(token, state, clock)
    state.lock()
    try:
        return await _enrol(token, state, clock)
    finally:
        state.unlock()


async def _enrol(token: EnrolmentToken, state: StateDir, clock: Clock) -> Identity:
    base = token.url.rstrip("/")
    ca_pem = None if token.pin is None else await fetch_ca(base, token.pin)
    key = pending_key(state, PENDING_KEY_FILE)
    more = {"csr": make_request(key), "hostname": socket.gethostname()[:255]}
    reply = await offer(token, key, client_context(ca_pem), clock.wall(), **more)
    identity = _parse_reply_untrusted(reply, key_to_pem(key))
    save_identity(state, identity, ca_pem)
    state.remove(PENDING_KEY_FILE)
    return identity


def make_request(key: EllipticCurvePrivateKey) -> str:
    """Returns a certificate request in PEM. It asks for no name: the controller knows which one the relay has."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ostiary-relay")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def _parse_reply_untrusted(reply: object, key_pem: bytes) -> Identity:
    if not isinstance(reply, Mapping) or not isinstance(reply.get("certificate"), str):
        raise RemoteProtocolError("the controller's answer holds no certificate")
    relay, issuer, fqdn, port = parse_names_untrusted(reply)
    keys = VerificationKeys.from_jwks_untrusted(reply.get("jwks"))
    identity = Identity(relay, issuer, fqdn, port, reply["certificate"].encode(), key_pem, keys)
    try:
        server_context(identity.certificate_pem, key_pem)
    except LocalError as exc:
        raise RemoteProtocolError("the controller's certificate does not fit our key") from exc
    return identity
