"""Proofs of possession: bound to key, token, tunnel, connector and number (S-1, S-4, T-38, T-61)."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.acl.model import Acl
from protocol.errors import LocalProtocolError, RemoteError
from protocol.ids import ConnectorId, DeviceId, GrantId, Revision, SessionId, SpkiPin, make_id
from protocol.pop import ProvenPeer, prove, transcript, verify_proof
from protocol.reasons import Reason
from protocol.streams import Proof
from protocol.tokens.claims import Access
from protocol.tokens.keys import public_jwk

VECTORS = json.loads((Path(__file__).parent / "vectors" / "tokens_pop.json").read_text())
KEY = ec.derive_private_key(0x3003, ec.SECP256R1())
OTHER_KEY = ec.derive_private_key(0x2002, ec.SECP256R1())
CONNECTOR = ConnectorId(make_id("connector", bytes(15) + b"\x01"))
OTHER_CONNECTOR = ConnectorId(make_id("connector", bytes(15) + b"\x02"))
PIN = SpkiPin("sha256/" + "A" * 43 + "=")
OTHER_PIN = SpkiPin("sha256/" + "B" * 42 + "A=")
EXPORTER = bytes(range(32))
TOKEN = "header.payload.signature"
ACCESS = Access(
    issuer="ctl_1",
    connector=CONNECTOR,
    device=DeviceId(make_id("device", bytes(16))),
    user=make_id("user", bytes(16)),
    session=SessionId(make_id("session", bytes(16))),
    jti="tok_1",
    acl=Acl(),
    jwk=public_jwk(KEY),
    revision=Revision(7),
    grants=(GrantId(make_id("grant", bytes(16))),),
    issued_at=1000,
    expires=1300,
    pins=(PIN, OTHER_PIN),
    token=TOKEN,
)


def make_proof(number: int = 1, *, key: ec.EllipticCurvePrivateKey = KEY, token: str = TOKEN) -> Proof:
    signed = transcript(exporter=EXPORTER, token=token, connector=CONNECTOR, pin=PIN, number=number)
    return Proof(token, number, prove(key, signed))


def check(
    proof: Proof,
    *,
    exporter: bytes = EXPORTER,
    connector: ConnectorId = CONNECTOR,
    pin: SpkiPin = PIN,
    expected: int = 1,
    access: Access = ACCESS,
) -> ProvenPeer:
    return verify_proof(proof, exporter=exporter, connector=connector, pin=pin, expected_number=expected, access=access)


def refusal(proof: Proof, **view: object) -> Reason:
    with pytest.raises(RemoteError) as caught:
        check(proof, **view)  # type: ignore[arg-type]
    return caught.value.reason


def test_a_proof_yields_what_the_token_says() -> None:
    assert check(make_proof(3), expected=3) == ProvenPeer(
        ACCESS.device, ACCESS.user, ACCESS.session, ACCESS.acl, ACCESS.revision, ACCESS.grants, 1000, 1300, 3
    )


def test_s01_a_proof_by_another_key_is_refused() -> None:
    assert refusal(make_proof(key=OTHER_KEY)) is Reason.PROOF_INVALID


def test_s04_a_proof_is_good_for_one_number_and_one_token() -> None:
    first = make_proof(1)
    assert refusal(first, expected=2) is Reason.PROOF_INVALID
    assert refusal(dataclasses.replace(first, number=2), expected=2) is Reason.PROOF_INVALID
    renewed = dataclasses.replace(ACCESS, token="header.renewed.signature")
    assert refusal(first, access=renewed) is Reason.PROOF_INVALID
    assert refusal(dataclasses.replace(first, token=renewed.token), access=renewed) is Reason.PROOF_INVALID
    assert check(make_proof(2, token=renewed.token), expected=2, access=renewed).number == 2


def test_s03_t38_a_proof_from_another_tunnel_is_refused() -> None:
    assert refusal(make_proof(), exporter=bytes(32)) is Reason.PROOF_INVALID


def test_t38_a_copied_token_is_worth_nothing_without_its_key() -> None:
    assert refusal(Proof(TOKEN, 1, make_proof(key=OTHER_KEY).signature)) is Reason.PROOF_INVALID
    for signature in (b"", bytes(64), make_proof().signature[:-1], make_proof().signature + b"\x00", b"\xff" * 64):
        assert refusal(Proof(TOKEN, 1, signature)) is Reason.PROOF_INVALID


def test_t61_swapped_connectors_both_refuse() -> None:
    proof = make_proof()
    assert refusal(proof, connector=OTHER_CONNECTOR) is Reason.TOKEN_AUDIENCE
    assert refusal(proof, pin=OTHER_PIN) is Reason.PROOF_INVALID
    other = dataclasses.replace(ACCESS, connector=OTHER_CONNECTOR)
    assert refusal(proof, connector=OTHER_CONNECTOR, access=other) is Reason.PROOF_INVALID


def test_f23_t61_a_token_for_another_certificate_is_refused() -> None:
    """Not even the connector's own: a tunnel to a key that it has no longer is nobody's."""
    former = dataclasses.replace(ACCESS, pins=(OTHER_PIN,))
    assert refusal(make_proof(), access=former) is Reason.PIN_MISMATCH
    assert refusal(make_proof(), access=dataclasses.replace(ACCESS, pins=())) is Reason.PIN_MISMATCH


@settings(max_examples=100)
@given(st.binary(max_size=70), st.integers(-1, 3), st.text(max_size=30))
def test_t38_any_proof_is_refused_with_our_error(signature: bytes, number: int, token: str) -> None:
    assert refusal(Proof(token, number, signature)) is Reason.PROOF_INVALID
    assert refusal(Proof(TOKEN, number, signature)) is Reason.PROOF_INVALID


FIELDS = st.tuples(
    st.binary(min_size=32, max_size=32),
    st.text(max_size=20),
    st.text("con_", max_size=8),
    st.text("sha256/", max_size=8),
    st.integers(1, 2**63 - 1),
)


@given(FIELDS, FIELDS)
def test_different_facts_never_make_the_same_transcript(
    one: tuple[bytes, str, str, str, int], two: tuple[bytes, str, str, str, int]
) -> None:
    texts = [
        transcript(exporter=exporter, token=token, connector=ConnectorId(name), pin=SpkiPin(pin), number=number)
        for exporter, token, name, pin, number in (one, two)
    ]
    assert (texts[0] == texts[1]) == (one == two)


@pytest.mark.parametrize(("exporter", "number"), [(b"", 1), (bytes(31), 1), (bytes(33), 1), (bytes(32), 0)])
def test_a_transcript_needs_an_exporter_and_a_number(exporter: bytes, number: int) -> None:
    with pytest.raises(LocalProtocolError):
        transcript(exporter=exporter, token=TOKEN, connector=CONNECTOR, pin=PIN, number=number)


def test_the_golden_transcript_and_proof_hold() -> None:
    signed = transcript(
        exporter=bytes.fromhex(VECTORS["exporter"]),
        token=VECTORS["token"],
        connector=ConnectorId(VECTORS["connector"]),
        pin=SpkiPin(VECTORS["pin"]),
        number=VECTORS["number"],
    )
    assert signed.hex() == VECTORS["transcript"]
    assert hashlib.sha256(VECTORS["token"].encode()).hexdigest() in VECTORS["transcript"]
    access = dataclasses.replace(ACCESS, token=VECTORS["token"], jwk=VECTORS["jwk"])
    proof = Proof(VECTORS["token"], VECTORS["number"], bytes.fromhex(VECTORS["signature"]))
    assert check(proof, expected=VECTORS["number"], access=access).device == ACCESS.device
