"""What a relay keeps on disk (design C3, C4; threats T-42, T-57).

relay.json   id, issuer, FQDN, port; written last, so that it stands for a complete enrolment
tls.key      the relay's P-256 key
tls.crt      its certificate, signed by the controller's CA, and the chain
ca.pem       that CA; absent when the controller's certificate chains to the system's roots
jwks.json    the controller's verification keys: from enrolment, then pushed
keyset.json  when the newest keyset was issued: an older one is not taken again
"""

import datetime
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509

from protocol.errors import LocalError, RemoteProtocolError
from protocol.ids import RelayId, is_id
from protocol.reasons import Reason
from protocol.tokens.keys import VerificationKeys
from runtime.files import StateDir
from runtime.trust import server_context

IDENTITY_FILE: Final = "relay.json"
KEY_FILE: Final = "tls.key"
CERTIFICATE_FILE: Final = "tls.crt"
CA_FILE: Final = "ca.pem"
KEYS_FILE: Final = "jwks.json"
KEYSET_FILE: Final = "keyset.json"
EXPIRY_WARN: Final = datetime.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Identity:
    """An enrolled relay."""

    relay: RelayId
    issuer: str
    fqdn: str
    port: int
    certificate_pem: bytes
    key_pem: bytes = field(repr=False)
    keys: VerificationKeys
    keys_issued_at: int = 0

    @property
    def certificate_expires(self) -> datetime.datetime:
        """When clients stop accepting the certificate; enrolling again makes a new one."""
        return x509.load_pem_x509_certificate(self.certificate_pem).not_valid_after_utc

    def context(self) -> ssl.SSLContext:
        """Returns the TLS context of the listener. Raises LocalError(STATE_CORRUPT)."""
        return server_context(self.certificate_pem, self.key_pem)


def load_identity(state: StateDir) -> Identity:
    """Reads what enrolment wrote.

    Raises:
        LocalError: NOT_ENROLLED, STATE_CORRUPT, PERMISSION_DENIED.
    """
    body = state.read_json(IDENTITY_FILE)
    certificate_pem, key_pem = state.read(CERTIFICATE_FILE), state.read(KEY_FILE)
    if body is None or certificate_pem is None or key_pem is None:
        raise LocalError(Reason.NOT_ENROLLED, str(state.path))
    try:
        relay, issuer, fqdn, port = parse_names_untrusted(body)
        keys = VerificationKeys.from_jwks_untrusted(state.read_json(KEYS_FILE))
        identity = Identity(relay, issuer, fqdn, port, certificate_pem, key_pem, keys, _keyset_time(state))
        _ = identity.certificate_expires
    except (RemoteProtocolError, ValueError) as exc:
        raise LocalError(Reason.STATE_CORRUPT, f"{state.path}: {exc}") from exc
    return identity


def save_identity(state: StateDir, identity: Identity, ca_pem: bytes | None) -> None:
    """Writes a new enrolment; the file that stands for it comes last. Raises LocalError."""
    state.remove(IDENTITY_FILE)
    state.remove(KEYSET_FILE)
    state.write(KEY_FILE, identity.key_pem)
    state.write(CERTIFICATE_FILE, identity.certificate_pem)
    if ca_pem is None:
        state.remove(CA_FILE)
    else:
        state.write(CA_FILE, ca_pem)
    state.write_json(KEYS_FILE, identity.keys.to_jwks())
    state.write_json(
        IDENTITY_FILE,
        {"relay": identity.relay, "issuer": identity.issuer, "fqdn": identity.fqdn, "port": identity.port},
    )


def save_keys(state: StateDir, keys: VerificationKeys, issued_at: int) -> None:
    """Keeps pushed keys. The time comes first: no crash between the two allows an older keyset. Raises LocalError."""
    state.write_json(KEYSET_FILE, {"issued_at": issued_at})
    state.write_json(KEYS_FILE, keys.to_jwks())


def parse_names_untrusted(body: Mapping[str, object]) -> tuple[RelayId, str, str, int]:
    """Reads id, issuer, FQDN and port from the controller's reply or our own file. Raises RemoteProtocolError."""
    match body:
        case {"relay": str(relay), "issuer": str(issuer), "fqdn": str(fqdn), "port": int(port)} if (
            is_id(relay, "relay")
            and 0 < len(issuer) <= 256
            and 0 < len(fqdn) <= 253
            and not isinstance(port, bool)
            and 0 < port < 65536
        ):
            return RelayId(relay), issuer, fqdn, port
    raise RemoteProtocolError("malformed identity of a relay")


def _keyset_time(state: StateDir) -> int:
    match state.read_json(KEYSET_FILE):
        case {"issued_at": int(issued_at)} if issued_at >= 0:
            return issued_at
    return 0
