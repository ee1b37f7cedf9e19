"""The internal CA."""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from controller.identity.ca import LEAF_LIFE, CertificateAuthority, needs_renewal, utc
from protocol.errors import LocalError, RefusedError
from protocol.reasons import Reason
from protocol.tokens.keys import pin_of

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def request(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, *names: x509.GeneralName, common_name: str = "relay"
) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def leaf_of(chain: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificates(chain)[0]


@pytest.fixture(scope="module")
def ca() -> CertificateAuthority:
    return CertificateAuthority.create("Ostiary CA of ctl_test", now=NOW)


def test_a_leaf_verifies_for_its_names_and_for_no_other(ca: CertificateAuthority) -> None:
    leaf = ca.issue(["controller.example", "192.0.2.1"], now=NOW)
    certificate, root = x509.load_pem_x509_certificates(leaf.chain)
    verifier = PolicyBuilder().store(Store([root])).time(NOW)
    verifier.build_server_verifier(x509.DNSName("controller.example")).verify(certificate, [])
    verifier.build_server_verifier(x509.IPAddress(ipaddress.ip_address("192.0.2.1"))).verify(certificate, [])
    with pytest.raises(x509.verification.VerificationError):
        verifier.build_server_verifier(x509.DNSName("other.example")).verify(certificate, [])
    assert leaf.not_after == NOW + LEAF_LIFE
    assert b"BEGIN PRIVATE KEY" in leaf.key


def test_python_accepts_the_chain(ca: CertificateAuthority, tmp_path: object) -> None:
    context = ssl.create_default_context(cadata=ca.pem.decode())
    assert context.get_ca_certs()[0]["subject"]


def test_the_pin_is_of_the_ca_key(ca: CertificateAuthority) -> None:
    certificate = x509.load_pem_x509_certificate(ca.pem)
    assert ca.pin == pin_of(certificate.public_key())


def test_it_survives_being_stored(ca: CertificateAuthority) -> None:
    again = CertificateAuthority.from_pem(ca.sealed_form())
    assert again.pem == ca.pem
    assert leaf_of(again.issue(["a.example"], now=NOW).chain).issuer == x509.load_pem_x509_certificate(ca.pem).subject


def test_a_damaged_or_mixed_form_is_refused(ca: CertificateAuthority) -> None:
    other = CertificateAuthority.create("other", now=NOW)
    for text in (b"", b"garbage", ca.pem, other.sealed_form().split(b"-----BEGIN CERT")[0] + ca.pem):
        with pytest.raises(LocalError) as refused:
            CertificateAuthority.from_pem(text)
        assert refused.value.reason is Reason.STATE_CORRUPT


def test_a_request_gets_the_names_that_we_know_not_its_own(ca: CertificateAuthority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    chain = ca.sign_request_untrusted(request(key, common_name="evil.example"), ["relay.example"], now=NOW)
    leaf = leaf_of(chain)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["relay.example"]
    assert "evil" not in leaf.subject.rfc4514_string()
    assert pin_of(leaf.public_key()) == pin_of(key.public_key())
    assert leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False


def test_a_request_may_name_what_it_is_and_nothing_more(ca: CertificateAuthority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    ca.sign_request_untrusted(request(key, x509.DNSName("relay.example")), ["relay.example"], now=NOW)
    for name in (x509.DNSName("controller.example"), x509.IPAddress(ipaddress.ip_address("192.0.2.9"))):
        with pytest.raises(RefusedError) as refused:
            ca.sign_request_untrusted(request(key, name), ["relay.example"], now=NOW)
        assert refused.value.reason is Reason.INVALID_INPUT


def test_bad_requests_are_refused(ca: CertificateAuthority) -> None:
    good = request(ec.generate_private_key(ec.SECP256R1()))
    der = x509.load_pem_x509_csr(good.encode()).public_bytes(serialization.Encoding.DER)
    forged = x509.load_der_x509_csr(der[:-4] + bytes([der[-4] ^ 1]) + der[-3:])
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for text in (
        "",
        "not pem",
        good[: len(good) // 2],
        forged.public_bytes(serialization.Encoding.PEM).decode(),
        request(rsa_key),
        request(ec.generate_private_key(ec.SECP384R1())),
        good + "x" * 10_000,
        "\ud800",
    ):
        with pytest.raises(RefusedError) as refused:
            ca.sign_request_untrusted(text, ["relay.example"], now=NOW)
        assert refused.value.reason is Reason.INVALID_INPUT


def test_a_leaf_never_outlives_the_ca_and_is_renewed_in_time() -> None:
    ca = CertificateAuthority.create("old", now=NOW - timedelta(days=3640))
    leaf = ca.issue(["a.example"], now=NOW)
    assert leaf.not_after == ca.not_after
    assert needs_renewal(leaf.not_after, NOW)
    assert not needs_renewal(NOW + LEAF_LIFE, NOW)
    assert utc(NOW.timestamp() + 0.7) == NOW


def test_a_name_that_is_none_is_a_configuration_error(ca: CertificateAuthority) -> None:
    for names in ([], ["bücher.example"]):
        with pytest.raises(LocalError):
            ca.issue(names, now=NOW)
