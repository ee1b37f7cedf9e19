"""Keys of the product: all are ECDSA P-256 (RFC 7518 section 3.4). JWKs, thumbprints, SPKI pins, own certificates.

An elliptic-curve key enters only as P-256, only with exactly the members that RFC 7518 requires, and never from a token's
header (T-4). Private keys are never shown by ``repr``.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.errors import LocalError, RemoteProtocolError
from protocol.ids import SpkiPin, spki_pin
from protocol.reasons import Reason
from protocol.tokens.strict import b64url_decode_untrusted, b64url_encode, malformed

KEYS_MAX: Final = 16
"""Verification keys in one set: current, next, and those that overlap after rotations."""
_KID: Final = re.compile(r"[A-Za-z0-9_.~-]{1,64}\Z")
_PIN: Final = re.compile(r"sha256/[A-Za-z0-9+/]{43}=\Z")
_JWK_MEMBERS: Final = frozenset({"kty", "crv", "x", "y"})
_JWKS_MEMBERS: Final = _JWK_MEMBERS | {"kid", "alg", "use"}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and the name under which verifiers find its public half."""

    kid: str
    private: ec.EllipticCurvePrivateKey = field(repr=False)

    def __post_init__(self) -> None:
        if _KID.match(self.kid) is None or not isinstance(self.private.curve, ec.SECP256R1):
            raise LocalError(Reason.CONFIG_INVALID, f"signing key {self.kid!r} is not usable")


@dataclass(frozen=True, slots=True)
class VerificationKeys:
    """The keys that one verifier trusts, by ``kid``; immutable."""

    keys: Mapping[str, ec.EllipticCurvePublicKey]

    @classmethod
    def of(cls, *signing: SigningKey) -> "VerificationKeys":
        """Returns the public halves of some signing keys."""
        return cls(MappingProxyType({key.kid: key.private.public_key() for key in signing}))

    @classmethod
    def from_jwks_untrusted(cls, value: object) -> "VerificationKeys":
        """Parses a JWK set (RFC 7517 section 5) as ``to_jwks`` writes it. Raises RemoteProtocolError."""
        match value:
            case {"keys": [*items]} if isinstance(value, Mapping) and len(value) == 1 and len(items) <= KEYS_MAX:
                keys = dict(map(_key_of_set_untrusted, items))
                if len(keys) == len(items):
                    return cls(MappingProxyType(keys))
        raise malformed("not a usable JWK set")

    def to_jwks(self) -> dict[str, object]:
        """Returns the JWK set in the form that is published and pushed."""
        return {
            "keys": [
                {**_public_jwk_of(key), "kid": kid, "alg": "ES256", "use": "sig"} for kid, key in self.keys.items()
            ]
        }


def generate_key() -> ec.EllipticCurvePrivateKey:
    """Makes a new P-256 key (the entropy is OpenSSL's)."""
    return ec.generate_private_key(ec.SECP256R1())


def public_jwk(key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) -> dict[str, str]:
    """Returns the public JWK with exactly the required members (RFC 7518 section 6.2.1)."""
    return _public_jwk_of(key.public_key() if isinstance(key, ec.EllipticCurvePrivateKey) else key)


def key_from_jwk_untrusted(value: object) -> ec.EllipticCurvePublicKey:
    """Parses a public P-256 JWK with exactly ``kty``, ``crv``, ``x`` and ``y``. Raises RemoteProtocolError."""
    if not isinstance(value, Mapping) or value.keys() != _JWK_MEMBERS:
        raise malformed("a JWK needs exactly kty, crv, x and y")
    x, y = value["x"], value["y"]
    if value["kty"] != "EC" or value["crv"] != "P-256" or not isinstance(x, str) or not isinstance(y, str):
        raise malformed("not a P-256 JWK")
    x_bytes, y_bytes = b64url_decode_untrusted(x), b64url_decode_untrusted(y)
    if len(x_bytes) != 32 or len(y_bytes) != 32:
        raise malformed("a P-256 coordinate has 32 bytes")
    try:
        return ec.EllipticCurvePublicNumbers(
            int.from_bytes(x_bytes, "big"), int.from_bytes(y_bytes, "big"), ec.SECP256R1()
        ).public_key()
    except ValueError as exc:
        raise malformed("the point is not on P-256") from exc


def thumbprint(jwk: Mapping[str, object]) -> str:
    """Returns the JWK thumbprint (RFC 7638, SHA-256): over the required members only, in lexical order."""
    required = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}
    names = required.get(str(jwk.get("kty")))
    if names is None or not all(isinstance(jwk.get(name), str) for name in names):
        raise malformed("no thumbprint for such a JWK")
    canonical = json.dumps({name: jwk[name] for name in names}, separators=(",", ":"), ensure_ascii=False)
    return b64url_encode(hashlib.sha256(canonical.encode()).digest())


def pin_of(public_key: PublicKeyTypes) -> SpkiPin:
    """Returns the pin of a public key (decision D3)."""
    return spki_pin(
        public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def parse_pin_untrusted(value: object) -> SpkiPin:
    """Parses ``sha256/`` and 44 characters of standard base64. Raises RemoteProtocolError."""
    if not isinstance(value, str) or _PIN.match(value) is None:
        raise malformed("not a pin")
    return SpkiPin(value)


def self_signed_certificate(
    key: ec.EllipticCurvePrivateKey, *, common_name: str, serial: int, not_before: datetime, not_after: datetime
) -> bytes:
    """Returns a PEM certificate that a connector shows in the inner TLS; peers look at its key only (T-60)."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Returns the private key as unencrypted PKCS #8; the caller keeps it in a file of mode 0600."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def key_from_pem(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Reads what ``key_to_pem`` wrote. Raises LocalError(STATE_CORRUPT)."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise LocalError(Reason.STATE_CORRUPT, "the private key cannot be read") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise LocalError(Reason.STATE_CORRUPT, "the private key is not P-256")
    return key


def _public_jwk_of(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": b64url_encode(numbers.x.to_bytes(32, "big")),
        "y": b64url_encode(numbers.y.to_bytes(32, "big")),
    }


def _key_of_set_untrusted(item: object) -> tuple[str, ec.EllipticCurvePublicKey]:
    if not isinstance(item, Mapping) or item.keys() != _JWKS_MEMBERS:
        raise malformed("a key of a set needs exactly kty, crv, x, y, kid, alg and use")
    kid = item["kid"]
    if item["alg"] != "ES256" or item["use"] != "sig" or not isinstance(kid, str) or _KID.match(kid) is None:
        raise malformed("not an ES256 signature key")
    try:
        return kid, key_from_jwk_untrusted({name: item[name] for name in _JWK_MEMBERS})
    except RemoteProtocolError as exc:
        raise malformed(f"key {kid!r}: {exc.detail}") from exc
