"""What a connector keeps on disk: who it is, its key, whom it trusts, and its last good config (C2, C3; T-42, T-57).

connector.json   ids, issuer, controller's URL; written last, so that it stands for a complete enrolment
key.pem          the connector's P-256 key: its identity, its assertions, its inner TLS
next-key.pem     the key that comes next, while it is announced (connector.rotation)
cert.pem         self-signed, shown in the inner TLS; peers look at its key only
ca.pem           the controller's CA, by the pin; absent when the controller's certificate chains to the system's roots
relay-ca.pem     in that case the CA that the relays' certificates are from
jwks.json        the controller's verification keys
config.jws       the last config that was accepted; verified again when it is loaded
floor.json       the newest epoch and revision ever accepted
"""

import datetime
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from protocol.errors import LocalError, OstiaryError, RemoteProtocolError
from protocol.ids import ConnectorId, NetworkId, SpkiPin, is_id
from protocol.limits import ASSERTION_LIFE_S, SNAPSHOT_MAX_BYTES
from protocol.reasons import Reason
from protocol.tokens.claims import Rotation
from protocol.tokens.issue import issue_rotation
from protocol.tokens.keys import (
    VerificationKeys,
    key_from_pem,
    key_to_pem,
    pin_of,
    public_jwk,
    self_signed_certificate,
)
from runtime.clock import SystemClock
from runtime.enrolment import make_assertion
from runtime.entropy import token_bytes, token_text
from runtime.files import StateDir
from runtime.trust import client_context

IDENTITY_FILE: Final = "connector.json"
KEY_FILE: Final = "key.pem"
NEXT_KEY_FILE: Final = "next-key.pem"
CERTIFICATE_FILE: Final = "cert.pem"
CA_FILE: Final = "ca.pem"
RELAY_CA_FILE: Final = "relay-ca.pem"
KEYS_FILE: Final = "jwks.json"
CONFIG_FILE: Final = "config.jws"
FLOOR_FILE: Final = "floor.json"

CERTIFICATE_LIFE: Final = datetime.timedelta(days=3653)
"""Ten years; its dates mean nothing to our clients, only its key does."""
BACKDATED: Final = datetime.timedelta(days=1)
COMMON_NAME: Final = "ostiary-connector"


@dataclass(frozen=True, slots=True)
class Identity:
    """An enrolled connector."""

    connector: ConnectorId
    network: NetworkId
    issuer: str
    controller_url: str
    key: EllipticCurvePrivateKey = field(repr=False)
    key_pem: bytes = field(repr=False)
    certificate_pem: bytes
    ca_pem: bytes | None
    keys: VerificationKeys
    relay_ca_pem: bytes | None = None

    @property
    def pin(self) -> SpkiPin:
        """The pin of the certificate that clients are told to expect."""
        return pin_of(self.key.public_key())

    def context(self) -> ssl.SSLContext:
        """Returns the TLS context for controller and relays. Raises LocalError(STATE_CORRUPT)."""
        context = client_context(self.ca_pem or self.relay_ca_pem)
        if self.ca_pem is None and self.relay_ca_pem is not None:
            context.load_default_certs()
        return context

    def assertion(self, wall: float) -> str:
        """Returns a fresh assertion for the controller."""
        return make_assertion(self.connector, self.controller_url, self.key, wall)


def load_identity(state: StateDir) -> Identity:
    """Reads what enrolment wrote.

    Raises:
        LocalError: NOT_ENROLLED, STATE_CORRUPT, PERMISSION_DENIED.
    """
    finish_promotion(state)
    body = state.read_json(IDENTITY_FILE)
    key_pem, certificate_pem = state.read(KEY_FILE), state.read(CERTIFICATE_FILE)
    if body is None or key_pem is None or certificate_pem is None:
        raise LocalError(Reason.NOT_ENROLLED, str(state.path))
    try:
        connector, network, issuer, url = parse_names_untrusted(body)
        keys = VerificationKeys.from_jwks_untrusted(state.read_json(KEYS_FILE))
    except RemoteProtocolError as exc:
        raise LocalError(Reason.STATE_CORRUPT, f"{state.path}: {exc.detail}") from exc
    key, ca_pem, relay_ca_pem = key_from_pem(key_pem), state.read(CA_FILE), state.read(RELAY_CA_FILE)
    return Identity(connector, network, issuer, url, key, key_pem, certificate_pem, ca_pem, keys, relay_ca_pem)


def save_identity(state: StateDir, identity: Identity) -> None:
    """Writes a new enrolment; the file that stands for it comes last. Raises LocalError."""
    for name in (IDENTITY_FILE, CONFIG_FILE, FLOOR_FILE, NEXT_KEY_FILE):
        state.remove(name)
    state.write(KEY_FILE, identity.key_pem)
    state.write(CERTIFICATE_FILE, identity.certificate_pem)
    for name, pem in ((CA_FILE, identity.ca_pem), (RELAY_CA_FILE, identity.relay_ca_pem)):
        if pem is None:
            state.remove(name)
        else:
            state.write(name, pem)
    save_keys(state, identity.keys)
    names = {
        "connector": identity.connector,
        "network": identity.network,
        "issuer": identity.issuer,
        "controller_url": identity.controller_url,
    }
    state.write_json(IDENTITY_FILE, names)


def parse_names_untrusted(body: Mapping[str, object]) -> tuple[ConnectorId, NetworkId, str, str]:
    """Reads ids, issuer and URL from the controller's reply or our own file. Raises RemoteProtocolError."""
    match body:
        case {
            "connector": str(connector),
            "network": str(network),
            "issuer": str(issuer),
            "controller_url": str(url),
        } if is_id(connector, "connector") and is_id(network, "network") and 0 < len(issuer) <= 256:
            return ConnectorId(connector), NetworkId(network), issuer, url
    raise RemoteProtocolError("malformed identity of a connector")


def save_keys(state: StateDir, keys: VerificationKeys) -> None:
    """Writes the controller's verification keys."""
    state.write_json(KEYS_FILE, keys.to_jwks())


def save_config(state: StateDir, token: str, epoch: int, revision: int) -> None:
    """Keeps an accepted config: the floor first, so that no crash between the two allows a step back."""
    state.write_json(FLOOR_FILE, {"epoch": epoch, "revision": revision})
    state.write(CONFIG_FILE, token)


def forget_config(state: StateDir) -> None:
    """Removes the stored config; the floor stays."""
    state.remove(CONFIG_FILE)


def load_config(state: StateDir) -> str | None:
    """Returns the stored config, unverified."""
    raw = state.read(CONFIG_FILE, limit=2 * SNAPSHOT_MAX_BYTES)
    return None if raw is None else raw.decode("ascii", errors="replace")


def load_floor(state: StateDir) -> tuple[int, int]:
    """Returns the newest epoch and revision ever accepted; (0, 0) when there is none or it cannot be read."""
    try:
        body = state.read_json(FLOOR_FILE)
    except OstiaryError:
        return 0, 0
    match body:
        case {"epoch": int(epoch), "revision": int(revision)}:
            return epoch, revision
    return 0, 0


def make_rotation(identity: Identity, key: EllipticCurvePrivateKey, wall: float) -> tuple[str, str]:
    """Returns the statement that ``key`` comes next, by the key in use, and the proof that we hold it, by ``key`` itself."""
    now, audience = int(wall), identity.controller_url.rstrip("/")
    claims = Rotation(identity.connector, audience, token_text(16), public_jwk(key), now, now + ASSERTION_LIFE_S)
    return issue_rotation(claims, identity.key), make_assertion(identity.connector, audience, key, wall)


def load_next_key(state: StateDir) -> EllipticCurvePrivateKey | None:
    """Returns the key that was made to come next. Raises LocalError(STATE_CORRUPT)."""
    pem = state.read(NEXT_KEY_FILE)
    return None if pem is None else key_from_pem(pem)


def save_next_key(state: StateDir, key: EllipticCurvePrivateKey) -> None:
    """Keeps the key that comes next. Raises LocalError."""
    state.write(NEXT_KEY_FILE, key_to_pem(key))


def promote_key(state: StateDir, identity: Identity, key: EllipticCurvePrivateKey, wall: float) -> Identity:
    """Makes the next key the connector's and returns who it is from now on. Raises LocalError: then nothing has changed."""
    key_pem, certificate_pem = key_to_pem(key), make_certificate(key, wall)
    state.write(KEY_FILE, key_pem)
    state.write(CERTIFICATE_FILE, certificate_pem)
    state.remove(NEXT_KEY_FILE)
    return replace(identity, key=key, key_pem=key_pem, certificate_pem=certificate_pem)


def finish_promotion(state: StateDir) -> None:
    """Ends what a crash inside ``promote_key`` left: a key that is already ours, and perhaps the former certificate."""
    pem = state.read(NEXT_KEY_FILE)
    if pem is not None and pem == state.read(KEY_FILE):
        state.write(CERTIFICATE_FILE, make_certificate(key_from_pem(pem), SystemClock().wall()))
        state.remove(NEXT_KEY_FILE)


def certificate_made_at(certificate_pem: bytes) -> float:
    """Returns when ``make_certificate`` made it, in Unix seconds. Raises LocalError(STATE_CORRUPT)."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
    except ValueError as exc:
        raise LocalError(Reason.STATE_CORRUPT, "the certificate cannot be read") from exc
    return (certificate.not_valid_before_utc + BACKDATED).timestamp()


def make_certificate(key: EllipticCurvePrivateKey, wall: float) -> bytes:
    """Returns the certificate that a connector makes for its own key (C2)."""
    # A day back, because clocks differ; the serial is positive and below 2**159 (RFC 5280 section 4.1.2.2).
    start = datetime.datetime.fromtimestamp(wall, datetime.UTC) - BACKDATED
    return self_signed_certificate(
        key,
        common_name=COMMON_NAME,
        serial=int.from_bytes(token_bytes(16), "big") | 1,
        not_before=start,
        not_after=start + CERTIFICATE_LIFE,
    )
