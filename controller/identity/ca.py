"""The internal CA: signs the TLS certificates of the controller and of its relays (design C12; T-60).

Agents learn the CA's pin from their enrolment token, so nothing of this needs a public CA. One P-256 key, path length 0.
Connectors are *not* certified: their self-signed certificates are pinned (D3).
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.errors import LocalError, RefusedError
from protocol.ids import SpkiPin, spki_pin
from protocol.reasons import Reason

CA_LIFE: Final = timedelta(days=3650)
LEAF_LIFE: Final = timedelta(days=90)
RELAY_LEAF_LIFE: Final = timedelta(days=825)
"""Relays never dial, so they cannot ask for a renewal: they are enrolled again."""
LEAF_RENEW_BEFORE: Final = timedelta(days=30)
BACKDATE: Final = timedelta(minutes=5)
"""A host whose clock is a little behind still accepts a certificate made just now."""
CSR_MAX_BYTES: Final = 8 * 1024
COMMON_NAME_MAX: Final = 64
"""RFC 5280 ub-common-name."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate of ours with its private key, both PEM; ``chain`` ends with the CA's certificate."""

    chain: bytes
    key: bytes
    not_after: datetime


class CertificateAuthority:
    """Issues leaf certificates. The private key stays inside; ``sealed_form`` is for the store only."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate

    @classmethod
    def create(cls, name: str, *, now: datetime) -> "CertificateAuthority":
        """Makes a new CA with a fresh key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Ostiary"),
                x509.NameAttribute(NameOID.COMMON_NAME, name[:COMMON_NAME_MAX]),
            ]
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(now + CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(key, builder.sign(key, hashes.SHA256()))

    @classmethod
    def from_pem(cls, text: bytes) -> "CertificateAuthority":
        """Reads what ``sealed_form`` returned. Raises LocalError(STATE_CORRUPT)."""
        try:
            key = serialization.load_pem_private_key(text, password=None)
            certificate = x509.load_pem_x509_certificate(text)
        except (ValueError, UnsupportedAlgorithm) as exc:
            raise LocalError(Reason.STATE_CORRUPT, "the CA's key cannot be read") from exc
        if not isinstance(key, ec.EllipticCurvePrivateKey) or _spki(key.public_key()) != _spki(
            certificate.public_key()
        ):
            raise LocalError(Reason.STATE_CORRUPT, "the CA's key does not belong to its certificate")
        return cls(key, certificate)

    @property
    def pem(self) -> bytes:
        """The CA's certificate, as served at ``/ca.pem``."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def pin(self) -> SpkiPin:
        """What enrolment tokens carry."""
        return spki_pin(_spki(self._key.public_key()))

    @property
    def not_after(self) -> datetime:
        """The end of the CA's life."""
        return self._certificate.not_valid_after_utc

    def sealed_form(self) -> bytes:
        """Private key and certificate in PEM. Only ever stored encrypted."""
        private = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return private + self.pem

    def issue(self, names: Sequence[str], *, now: datetime) -> Leaf:
        """Makes a key and a certificate for ``names`` (DNS names and IP addresses)."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(key.public_key(), names, now, LEAF_LIFE)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Leaf(
            certificate.public_bytes(serialization.Encoding.PEM) + self.pem, private, certificate.not_valid_after_utc
        )

    def sign_request_untrusted(self, request_pem: str, names: Sequence[str], *, now: datetime) -> bytes:
        """Returns the PEM chain for the key in a CSR (RFC 2986). The names are ours, never the request's.

        Raises:
            RefusedError: INVALID_INPUT when the request is malformed, not signed by its own P-256 key, or asks for a
                name that is not in ``names``.
        """
        request = _parse_request_untrusted(request_pem)
        allowed = set(_general_names(names))
        try:
            asked = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            asked = x509.SubjectAlternativeName([])
        except ValueError as exc:
            raise RefusedError(Reason.INVALID_INPUT, "csr: an extension is malformed") from exc
        for name in asked:
            if name not in allowed:
                raise RefusedError(Reason.INVALID_INPUT, "csr: it asks for a name that is not this relay's")
        key = request.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        certificate = self._sign(key, names, now, RELAY_LEAF_LIFE)
        return certificate.public_bytes(serialization.Encoding.PEM) + self.pem

    def _sign(
        self, key: ec.EllipticCurvePublicKey, names: Sequence[str], now: datetime, life: timedelta
    ) -> x509.Certificate:
        if not names:
            raise LocalError(Reason.CONFIG_INVALID, "a certificate needs at least one name")
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:COMMON_NAME_MAX])])
        issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(min(now + life, self.not_after))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(issuer_id, critical=False)
        )
        return builder.sign(self._key, hashes.SHA256())


def needs_renewal(not_after: datetime, now: datetime) -> bool:
    """Tells whether a leaf that ends at ``not_after`` should be replaced."""
    return now >= not_after - LEAF_RENEW_BEFORE


def utc(now: float) -> datetime:
    """Returns Unix seconds as the datetime that X.509 wants."""
    return datetime.fromtimestamp(now, UTC).replace(microsecond=0)


def _parse_request_untrusted(request_pem: str) -> x509.CertificateSigningRequest:
    if len(request_pem) > CSR_MAX_BYTES:
        raise RefusedError(Reason.INVALID_INPUT, "csr: it is too long")
    try:
        request = x509.load_pem_x509_csr(request_pem.encode())
        key = request.public_key()
        signed = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, TypeError) as exc:
        raise RefusedError(Reason.INVALID_INPUT, "csr: it is not a certificate request in PEM") from exc
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise RefusedError(Reason.INVALID_INPUT, "csr: the key is not a P-256 key")
    if not signed:
        raise RefusedError(Reason.INVALID_INPUT, "csr: it is not signed by its own key")
    return request


def _general_names(names: Sequence[str]) -> list[x509.GeneralName]:
    result: list[x509.GeneralName] = []
    for name in names:
        try:
            result.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            try:
                result.append(x509.DNSName(name))
            except ValueError as exc:
                raise LocalError(Reason.CONFIG_INVALID, f"{name!r} is not a host name for a certificate") from exc
    return result


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _spki(key: object) -> bytes:
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
