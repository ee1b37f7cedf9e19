"""Proof of possession: what is signed, how, and who checks it (design C16, C17, decision D2; threats T-38, T-61).

The transcript binds the access token to this TLS session (exporter), to this connector (id and pin) and to this proof's
place on the tunnel (number), so that a proof is worth nothing on another tunnel, for another token or a second time.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from protocol.acl.model import Acl
from protocol.errors import LocalProtocolError, RemoteError
from protocol.ids import ConnectorId, DeviceId, GrantId, Revision, SessionId, SpkiPin
from protocol.reasons import Reason
from protocol.streams import Proof
from protocol.tokens.claims import Access
from protocol.tokens.keys import key_from_jwk_untrusted
from protocol.version import PROTOCOL

_DOMAIN: Final = b"ostiary proof of possession\x00"
_EXPORTER_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_NUMBER_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ProvenPeer:
    """A client that has proven possession of its token's key on this tunnel; made only by ``verify_proof``.

    ``number`` is the proof's; the next proof on the tunnel must have the following one. Times are Unix seconds.
    """

    device: DeviceId
    user: str
    session: SessionId
    acl: Acl
    revision: Revision
    grants: tuple[GrantId, ...]
    issued_at: int
    expires: int
    number: int


def transcript(*, exporter: bytes, token: str, connector: ConnectorId, pin: SpkiPin, number: int) -> bytes:
    """Returns the bytes that a proof signs; variable fields carry their length. Layout in SPEC.md, "Proof".

    Args:
        exporter: 32 bytes of ``TunnelTls.exporter``.
        token: the access token exactly as it is sent.
        connector: whom the token is for.
        pin: SPKI pin of the certificate that the connector shows on this tunnel.
        number: 1 for the first proof on the tunnel, then one more each time.
    """
    if len(exporter) != _EXPORTER_BYTES or not 1 <= number <= _NUMBER_MAX:
        raise LocalProtocolError("a transcript needs a 32-byte exporter and a number of at least 1")
    name, pin_bytes = connector.encode(), pin.encode()
    return b"".join(
        (
            _DOMAIN,
            PROTOCOL.to_bytes(2, "big"),
            exporter,
            hashlib.sha256(token.encode()).digest(),
            len(name).to_bytes(2, "big"),
            name,
            len(pin_bytes).to_bytes(2, "big"),
            pin_bytes,
            number.to_bytes(8, "big"),
        )
    )


def prove(key: ec.EllipticCurvePrivateKey, transcript: bytes) -> bytes:
    """Signs a transcript: ES256, 64 bytes r || s (RFC 7518 section 3.4)."""
    r, s = decode_dss_signature(key.sign(transcript, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def verify_proof(
    proof: Proof, *, exporter: bytes, connector: ConnectorId, pin: SpkiPin, expected_number: int, access: Access
) -> ProvenPeer:
    """Checks a proof against the connector's own view of the tunnel.

    Args:
        proof: what the client sent.
        exporter: the connector's own exporter of this tunnel.
        connector: the connector's own id.
        pin: the pin of the certificate that it shows on this tunnel.
        expected_number: the number that the next proof on this tunnel must have.
        access: what ``verify_access`` returned for ``proof.token``.

    Raises:
        RemoteError: PROOF_INVALID; TOKEN_AUDIENCE when the token is another connector's; PIN_MISMATCH when it is for another
            certificate of ours.
    """
    if access.connector != connector:
        raise RemoteError(Reason.TOKEN_AUDIENCE, "the access token is another connector's")
    if not any(hmac.compare_digest(pin.encode(), known.encode()) for known in access.pins):
        raise RemoteError(Reason.PIN_MISMATCH, "the access token is for another certificate")
    if not hmac.compare_digest(proof.token.encode(errors="replace"), access.token.encode(errors="replace")):
        raise RemoteError(Reason.PROOF_INVALID, "the proof is not for the token that was verified")
    if proof.number != expected_number:
        raise RemoteError(Reason.PROOF_INVALID, f"proof number {proof.number} instead of {expected_number}")
    if len(proof.signature) != _SIGNATURE_BYTES:
        raise RemoteError(Reason.PROOF_INVALID, "a proof's signature has 64 bytes")
    signed = transcript(exporter=exporter, token=access.token, connector=connector, pin=pin, number=expected_number)
    der = encode_dss_signature(int.from_bytes(proof.signature[:32], "big"), int.from_bytes(proof.signature[32:], "big"))
    try:
        key_from_jwk_untrusted(access.jwk).verify(der, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as exc:
        raise RemoteError(Reason.PROOF_INVALID, "the signature does not fit the key and this tunnel") from exc
    return ProvenPeer(
        device=access.device,
        user=access.user,
        session=access.session,
        acl=access.acl,
        revision=access.revision,
        grants=access.grants,
        issued_at=access.issued_at,
        expires=access.expires,
        number=proof.number,
    )
