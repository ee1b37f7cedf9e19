"""What PyJWT alone would let through (T-4, T-5, T-6) and what attackers try with headers."""

import hashlib
import hmac
import json
import socket

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from token_samples import BY_NAME, CONTROLLER_KEY, NOW, OTHER_KEY, SAMPLES, Sample, b64, claims_of, forge, reforge

from protocol.errors import RemoteError
from protocol.reasons import Reason
from protocol.tokens.keys import public_jwk
from protocol.tokens.strict import b64url_encode

every = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)


def refusal(sample: Sample, token: str) -> Reason:
    with pytest.raises(RemoteError) as caught:
        sample.verify(token, NOW)
    return caught.value.reason


@every
@pytest.mark.parametrize(
    "alg", ["none", "None", "nOnE", "NONE", "", "es256", "Es256", "ES256 ", "ES256K", "ES384", None]
)
def test_t04_other_algorithms_are_refused(sample: Sample, alg: str | None) -> None:
    header = {"alg": alg, "typ": sample.typ, "kid": sample.key.kid}
    signed = forge(header, claims_of(sample), sample.key)
    assert refusal(sample, signed) is Reason.TOKEN_SIGNATURE
    assert refusal(sample, signed.rpartition(".")[0] + ".") is Reason.TOKEN_MALFORMED
    assert refusal(sample, signed.rpartition(".")[0] + ".AA") is Reason.TOKEN_SIGNATURE


@every
def test_t04_the_public_key_is_no_hmac_secret(sample: Sample) -> None:
    public = sample.key.private.public_key()
    formats = (
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        json.dumps(public_jwk(public)).encode(),
    )
    header = {"alg": "HS256", "typ": sample.typ, "kid": sample.key.kid}
    signing_input = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims_of(sample)).encode())}"
    for secret in formats:
        mac = hmac.new(secret, signing_input.encode(), hashlib.sha256).digest()
        assert refusal(sample, f"{signing_input}.{b64(mac)}") is Reason.TOKEN_SIGNATURE


@every
def test_t04_keys_and_links_in_the_header_are_refused(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("a token must never cause a connection")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    extras: tuple[dict[str, object], ...] = (
        {"jwk": public_jwk(OTHER_KEY.private)},
        {"jku": "http://169.254.169.254/keys"},
        {"x5u": "http://169.254.169.254/keys"},
        {"x5c": ["AA"]},
        {"crit": []},
        {"crit": ["exp"], "exp": 1},
        {"b64": False},
        {"b64": True},
        {"cty": "JWT"},
        {"zip": "DEF"},
    )
    for extra in extras:
        for key in (sample.key, OTHER_KEY):
            header = {"alg": "ES256", "typ": sample.typ, "kid": sample.key.kid, **extra}
            assert refusal(sample, forge(header, claims_of(sample), key)) is Reason.TOKEN_MALFORMED


@every
def test_t04_header_members_are_all_required(sample: Sample) -> None:
    header: dict[str, object] = {"alg": "ES256", "typ": sample.typ, "kid": sample.key.kid}
    for name in header:
        rest = {other: value for other, value in header.items() if other != name}
        assert refusal(sample, forge(rest, claims_of(sample), sample.key)) is Reason.TOKEN_MALFORMED
    kids: tuple[object, ...] = (None, 1, ["k1"], {}, "")
    for kid in kids:
        assert refusal(sample, reforge(sample, claims_of(sample), kid=kid)) is Reason.TOKEN_KEY_UNKNOWN
    for typ in (None, 1, "JWT", sample.typ.upper(), "application/" + sample.typ):
        assert refusal(sample, reforge(sample, claims_of(sample), typ=typ)) is Reason.TOKEN_TYPE


@every
def test_t05_only_one_spelling_of_a_token_passes(sample: Sample) -> None:
    head, payload, signature = sample.token.split(".")
    spellings = {
        sample.token + "=",
        sample.token + "==",
        sample.token + "\n",
        " " + sample.token,
        f"{head}=.{payload}.{signature}",
        f"{head}.{payload}=.{signature}",
        f"{head}.{payload}==.{signature}",
        f"{head}.{payload}.{signature}.",
        f"{head}.{payload}.{signature[:-1]}",
        f"{head}.{payload}.{signature[:-1]}{'BRhx'['AQgw'.index(signature[-1])]}",
        f"{head}\u200b.{payload}.{signature}",
    }
    swapped = sample.token.replace("-", "+").replace("_", "/")
    for spelling in spellings | ({swapped} - {sample.token}):
        assert refusal(sample, spelling) is Reason.TOKEN_MALFORMED


@every
def test_t06_duplicate_members_are_refused_in_header_and_payload(sample: Sample) -> None:
    claims = json.dumps(claims_of(sample))
    head = f'"typ":"{sample.typ}","kid":"{sample.key.kid}"'
    for header in (
        f'{{"alg":"none","alg":"ES256",{head}}}',
        f'{{"alg":"ES256","alg":"ES256",{head}}}',
        f'{{"alg":"ES256","\\u0061lg":"ES256",{head}}}',
    ):
        assert refusal(sample, forge(header, claims, sample.key)) is Reason.TOKEN_MALFORMED
    for name in claims_of(sample):
        twice = f'{{"{name}":{json.dumps(claims_of(sample)[name])},{claims[1:]}'
        assert refusal(sample, reforge(sample, twice)) is Reason.TOKEN_MALFORMED


@every
@pytest.mark.parametrize(
    "payload", ["[]", '"text"', "null", "", "{", '{"exp":NaN}', '{"exp":Infinity}', "[" * 10_000, '{"a":"\\ud800"}']
)
def test_t06_payloads_are_strict_json_objects(sample: Sample, payload: str) -> None:
    assert refusal(sample, reforge(sample, payload)) is Reason.TOKEN_MALFORMED


def test_t06_payloads_nest_eight_deep_at_most() -> None:
    sample = BY_NAME["assertion"]
    claims = claims_of(sample)
    for depth, reason in ((6, Reason.TOKEN_CLAIM), (8, Reason.TOKEN_MALFORMED)):
        nested: object = 1
        for _ in range(depth):
            nested = [nested]
        assert refusal(sample, reforge(sample, {**claims, "jti": nested})) is reason


@every
def test_t06_tokens_have_a_size_limit(sample: Sample) -> None:
    padded = json.dumps(claims_of(sample)) + " " * (1024 * 1024)
    assert refusal(sample, reforge(sample, padded)) is Reason.TOKEN_MALFORMED


def test_an_all_zero_signature_is_refused() -> None:
    for sample in SAMPLES:
        head = sample.token.rpartition(".")[0]
        for signature in (bytes(64), bytes(63), bytes(65), b"\xff" * 64, b"\x00"):
            assert refusal(sample, f"{head}.{b64url_encode(signature)}") is Reason.TOKEN_SIGNATURE


def test_the_signature_covers_header_and_payload() -> None:
    ticket, other = BY_NAME["ticket"], forge({"alg": "ES256", "typ": BY_NAME["ticket"].typ, "kid": "k1"}, "{}")
    mixed = ".".join((ticket.token.split(".")[0], other.split(".")[1], ticket.token.split(".")[2]))
    assert refusal(ticket, mixed) is Reason.TOKEN_SIGNATURE
    assert isinstance(CONTROLLER_KEY.private.curve, ec.SECP256R1)
