"""Enrolment: a one-time token becomes an identity (C1, C2; D7, F-31).

The new key is written aside before it is used: if the controller's answer is lost, the same command with the same token
offers the same key again. An older enrolment stays whole until the new one is.
"""

import socket
from collections.abc import Mapping
from typing import Final

from connector.identity import (
    IDENTITY_FILE,
    Identity,
    make_certificate,
    parse_names_untrusted,
    save_identity,
)
from protocol.enrolment import EnrolmentToken, parse_untrusted
from protocol.errors import LocalError, RemoteProtocolError
from protocol.reasons import Reason
from protocol.tokens.keys import VerificationKeys, key_to_pem, pin_of
from runtime.clock import Clock
from runtime.console import AdviceError
from runtime.enrolment import offer, pending_key
from runtime.files import StateDir
from runtime.http import check_url
from runtime.trust import client_context, fetch_ca, fetch_vouched_ca

PENDING_KEY_FILE: Final = "enrolling-key.pem"


async def enrol(
    text: str, state: StateDir, clock: Clock, *, force: bool = False, hostname: str | None = None
) -> Identity:
    """Spends the enrolment token ``text`` and writes the new identity.

    Args:
        text: what a person pasted.
        state: the connector's state directory.
        clock: for the assertion and the certificate.
        force: replace an existing enrolment.
        hostname: shown to administrators; the host's own by default.

    Raises:
        LocalError: ENROLMENT_INVALID, ALREADY_EXISTS, ALREADY_RUNNING, PERMISSION_DENIED.
        RefusedError: ENROLMENT_USED, ENROLMENT_EXPIRED and what else the controller says.
        RemoteError: PIN_MISMATCH, CERTIFICATE_UNTRUSTED, CONTROLLER_UNREACHABLE, TIMEOUT.
    """
    token = parse_untrusted(text)
    if token.kind != "connector":
        raise LocalError(Reason.ENROLMENT_INVALID, f"it enrols a {token.kind}, not a connector")
    check_url(token.url)
    state.ensure()
    state.lock()
    try:
        if state.exists(IDENTITY_FILE) and not force:
            raise AdviceError(
                Reason.ALREADY_EXISTS,
                f"{state.path} holds its identity",
                sentence="This connector is enrolled already.",
                next_step="ostiary-connector run, or enrol it anew with --force",
            )
        return await _enrol(token, state, clock, hostname or socket.gethostname())
    finally:
        state.unlock()


async def _enrol(token: EnrolmentToken, state: StateDir, clock: Clock, hostname: str) -> Identity:
    base = token.url.rstrip("/")
    ca_pem = None if token.pin is None else await fetch_ca(base, token.pin)
    # A public CA vouches for the controller then; its relays' certificates may still be from its own.
    relay_ca_pem = await fetch_vouched_ca(base) if token.pin is None else None
    key = pending_key(state, PENDING_KEY_FILE)
    more = {"pin": pin_of(key.public_key()), "hostname": hostname[:255]}
    reply = await offer(token, key, client_context(ca_pem), clock.wall(), **more)
    if not isinstance(reply, Mapping):
        raise RemoteProtocolError("the controller's answer is no object")
    connector, network, issuer, url = parse_names_untrusted(reply)
    check_url(url)
    keys = VerificationKeys.from_jwks_untrusted(reply.get("jwks"))
    certificate_pem = make_certificate(key, clock.wall())
    identity = Identity(
        connector, network, issuer, url, key, key_to_pem(key), certificate_pem, ca_pem, keys, relay_ca_pem
    )
    save_identity(state, identity)
    state.remove(PENDING_KEY_FILE)
    return identity
