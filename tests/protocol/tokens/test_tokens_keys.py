"""Keys, JWKs, thumbprints (S-2) and pins (S-12)."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import LocalError, RemoteProtocolError
from protocol.reasons import Reason
from protocol.tokens.keys import (
    SigningKey,
    VerificationKeys,
    generate_key,
    key_from_jwk_untrusted,
    key_from_pem,
    key_to_pem,
    parse_pin_untrusted,
    pin_of,
    public_jwk,
    self_signed_certificate,
    thumbprint,
)

KEY = ec.derive_private_key(0x1001, ec.SECP256R1())
NOW = datetime(2027, 1, 1, tzinfo=UTC)

RFC_7638_KEY = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
    "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5"
    "hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}


def test_s02_thumbprint_of_rfc_7638_section_3_1() -> None:
    assert thumbprint(RFC_7638_KEY) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_s02_thumbprint_of_rfc_8037_appendix_a_3() -> None:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert thumbprint(jwk) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@given(st.permutations(["kty", "crv", "x", "y", "kid", "alg", "use"]), st.text(max_size=9))
def test_s02_thumbprint_ignores_order_and_optional_members(order: list[str], other: str) -> None:
    jwk: dict[str, object] = {"kid": other, "alg": other, "use": other, **public_jwk(KEY)}
    assert thumbprint({name: jwk[name] for name in order}) == thumbprint(public_jwk(KEY))


@pytest.mark.parametrize("jwk", [{}, {"kty": "EC"}, {"kty": "oct", "k": "AA"}, {**public_jwk(KEY), "x": 1}])
def test_s02_no_thumbprint_without_the_required_members(jwk: dict[str, object]) -> None:
    with pytest.raises(RemoteProtocolError):
        thumbprint(jwk)


def test_jwk_round_trip() -> None:
    key = generate_key()
    assert key_from_jwk_untrusted(public_jwk(key)) == key.public_key()
    assert public_jwk(key.public_key()) == public_jwk(key)


JWK = public_jwk(KEY)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {**JWK, "d": "AA"},
        {**JWK, "kid": "a"},
        {**JWK, "kty": "RSA"},
        {**JWK, "crv": "P-384"},
        {**JWK, "crv": "secp256k1"},
        {**JWK, "x": JWK["y"], "y": JWK["x"]},
        {**JWK, "x": "AA"},
        {**JWK, "y": JWK["y"] + "="},
        {**JWK, "x": 1},
        {**JWK, "x": "A" * 43, "y": "A" * 43},
        {name: JWK[name] for name in ("kty", "crv", "x")},
    ],
)
def test_t04_only_complete_p256_points_on_the_curve_are_keys(value: object) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        key_from_jwk_untrusted(value)
    assert caught.value.reason is Reason.TOKEN_MALFORMED


def test_key_sets_round_trip() -> None:
    first, second = SigningKey("k1", KEY), SigningKey("k2", generate_key())
    keys = VerificationKeys.of(first, second)
    again = VerificationKeys.from_jwks_untrusted(keys.to_jwks())
    assert again.keys == keys.keys == {"k1": KEY.public_key(), "k2": second.private.public_key()}


SET_KEY = {**JWK, "kid": "k1", "alg": "ES256", "use": "sig"}


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"keys": SET_KEY},
        {"keys": "k"},
        {"keys": [SET_KEY], "more": 1},
        {"keys": [SET_KEY, SET_KEY]},
        {"keys": [JWK]},
        {"keys": [None]},
        {"keys": [{**SET_KEY, "use": "enc"}]},
        {"keys": [{**SET_KEY, "alg": "HS256"}]},
        {"keys": [{**SET_KEY, "kid": 1}]},
        {"keys": [{**SET_KEY, "kid": "a\nb"}]},
        {"keys": [{**SET_KEY, "y": "AA"}]},
        {"keys": [{**SET_KEY, "kid": f"k{number}"} for number in range(17)]},
    ],
)
def test_t04_key_sets_are_strict(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        VerificationKeys.from_jwks_untrusted(value)


def test_signing_keys_hide_the_key_and_refuse_other_curves() -> None:
    assert "private" not in repr(SigningKey("k1", KEY))
    with pytest.raises(LocalError):
        SigningKey("k1", ec.generate_private_key(ec.SECP384R1()))
    with pytest.raises(LocalError):
        SigningKey("k 1", KEY)


def test_pem_round_trip_and_refusals() -> None:
    assert public_jwk(key_from_pem(key_to_pem(KEY))) == public_jwk(KEY)
    unencrypted = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for pem in (
        b"",
        b"garbage",
        ed25519.Ed25519PrivateKey.generate().private_bytes(*unencrypted),
        ec.generate_private_key(ec.SECP384R1()).private_bytes(*unencrypted),
        KEY.private_bytes(*unencrypted[:2], serialization.BestAvailableEncryption(b"secret")),
    ):
        with pytest.raises(LocalError) as caught:
            key_from_pem(pem)
        assert caught.value.reason is Reason.STATE_CORRUPT


def test_s12_a_renewed_certificate_of_the_same_key_has_the_same_pin() -> None:
    pins = set()
    for serial in (1, 2):
        pem = self_signed_certificate(
            KEY, common_name="con", serial=serial, not_before=NOW, not_after=NOW + timedelta(days=serial)
        )
        public = x509.load_pem_x509_certificate(pem).public_key()
        pins.add(pin_of(public))
    assert pins == {pin_of(KEY.public_key())}
    assert pin_of(generate_key().public_key()) not in pins
    assert parse_pin_untrusted(pins.pop())


@pytest.mark.parametrize("value", [None, "", "sha256/", "sha256/" + "A" * 44, "sha1/" + "A" * 43 + "=", "A" * 51])
def test_s12_other_spellings_of_pins_are_refused(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_pin_untrusted(value)
