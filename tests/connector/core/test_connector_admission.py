"""Admission: no proof, no service; no old proof, no other tunnel's proof, nobody else's renewal (T-37, T-38)."""

from dataclasses import replace

import pytest
from connector_world import DEVICE, NOW, USER, World, acl, entry, header
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.core.admission import FAILURES_MAX, RENEWALS_BURST, Admission, RefusedProofError
from connector.core.cutoffs import Cutoffs
from protocol.control import Cutoff
from protocol.errors import RemoteError
from protocol.ids import ConnectorId, DeviceId, Revision, SpkiPin
from protocol.limits import CLOCK_LEEWAY_S, PROOF_DEADLINE_S
from protocol.reasons import Reason
from protocol.streams import Proof
from protocol.tokens.keys import SigningKey, VerificationKeys, generate_key

WORLD = World()
ACL = acl(entry("10.0.0.0/24"))
TOKEN = WORLD.access(ACL)


def refusal(admission: Admission, proof: Proof, *, now: float = 1.0, wall: float = NOW) -> Reason:
    with pytest.raises(RefusedProofError) as caught:
        admission.receive_proof(proof, keys=WORLD.keys, now=now, wall=wall)
    return caught.value.reason


def admit(admission: Admission, *, number: int = 1, now: float = 1.0, wall: float = NOW, token: str = TOKEN) -> None:
    admission.receive_proof(WORLD.proof(token, number=number), keys=WORLD.keys, now=now, wall=wall)


def test_c17_a_correct_proof_admits() -> None:
    admission = WORLD.admission()
    assert admission.deadline() == (PROOF_DEADLINE_S, "proof")
    proof = admission.first_stream(WORLD.proof(TOKEN))
    result = admission.receive_proof(proof, keys=WORLD.keys, now=1, wall=NOW)
    assert (result.peer.device, result.peer.user, result.renewed) == (DEVICE, USER, False)
    assert admission.may_open(2) is result
    assert admission.deadline() is None


def test_t37_the_first_stream_must_be_a_proof_stream() -> None:
    with pytest.raises(RemoteError) as caught:
        WORLD.admission().first_stream(header("10.0.0.5"))
    assert caught.value.reason is Reason.PROOF_MISSING


def test_nothing_is_opened_before_a_proof() -> None:
    with pytest.raises(RemoteError) as caught:
        WORLD.admission().may_open(0)
    assert caught.value.reason is Reason.PROOF_MISSING


def test_a_proof_that_comes_too_late_is_none() -> None:
    assert refusal(WORLD.admission(now=0), WORLD.proof(TOKEN), now=PROOF_DEADLINE_S + 1) is Reason.PROOF_MISSING


@pytest.mark.parametrize(
    ("proof", "reason"),
    [
        (WORLD.proof(TOKEN, exporter=b"f" * 32), Reason.PROOF_INVALID),
        (WORLD.proof(TOKEN, number=2), Reason.PROOF_INVALID),
        (WORLD.proof(TOKEN, pin=SpkiPin("sha256/" + "B" * 43 + "=")), Reason.PROOF_INVALID),
        (replace(WORLD.proof(TOKEN), signature=b""), Reason.PROOF_INVALID),
        (replace(WORLD.proof(TOKEN), token=WORLD.access(ACL)), Reason.PROOF_INVALID),
        (Proof("rubbish", 1, b""), Reason.TOKEN_MALFORMED),
        (WORLD.proof(WORLD.access(ACL, issued_at=NOW - 1000)), Reason.TOKEN_EXPIRED),
        (WORLD.proof(WORLD.access(ACL, connector=ConnectorId("con_BBBBBBBBBBBBBBBBBBBBBB"))), Reason.TOKEN_AUDIENCE),
        (World(signing=SigningKey("key-1", generate_key())).proof(TOKEN), Reason.PROOF_INVALID),
    ],
)
def test_t38_every_mismatch_is_refused(proof: Proof, reason: Reason) -> None:
    admission = WORLD.admission()
    assert refusal(admission, proof) is reason
    assert admission.admitted is None
    assert admission.exhausted


def test_the_record_of_a_refused_proof_knows_whose_token_it_was() -> None:
    with pytest.raises(RefusedProofError) as caught:
        WORLD.admission().receive_proof(WORLD.proof(TOKEN, number=2), keys=WORLD.keys, now=1, wall=NOW)
    assert caught.value.access is not None
    assert caught.value.access.device == DEVICE
    with pytest.raises(RefusedProofError) as caught:
        WORLD.admission().receive_proof(Proof("x", 1, b""), keys=WORLD.keys, now=1, wall=NOW)
    assert caught.value.access is None


def test_t38_numbers_rise_by_one() -> None:
    admission = WORLD.admission()
    admit(admission)
    assert refusal(admission, WORLD.proof(TOKEN, number=1)) is Reason.PROOF_INVALID
    assert refusal(admission, WORLD.proof(TOKEN, number=3)) is Reason.PROOF_INVALID
    admit(admission, number=2)
    assert refusal(admission, WORLD.proof(TOKEN, number=2)) is Reason.PROOF_INVALID
    assert not admission.exhausted


@pytest.mark.parametrize(
    "other", [{"device": DeviceId("dev_BBBBBBBBBBBBBBBBBBBBBB")}, {"user": "usr_BBBBBBBBBBBBBBBBBBBBBB"}]
)
def test_t38_a_renewal_is_for_the_same_device_and_user(other: dict[str, str]) -> None:
    admission = WORLD.admission()
    admit(admission)
    stranger = WORLD.access(ACL, **other)  # type: ignore[arg-type]
    assert refusal(admission, WORLD.proof(stranger, number=2)) is Reason.PROOF_INVALID
    assert admission.may_open(2).peer.device == DEVICE


def test_c15_a_renewal_prolongs_in_place_and_brings_its_own_list() -> None:
    admission = WORLD.admission()
    admit(admission, now=0)
    with pytest.raises(RemoteError) as caught:
        admission.may_open(301 + CLOCK_LEEWAY_S)
    assert caught.value.reason is Reason.TOKEN_EXPIRED
    narrower = acl(entry("10.0.0.5"))
    renewed = WORLD.access(narrower, issued_at=NOW + 200)
    admit(admission, number=2, now=200, wall=NOW + 200, token=renewed)
    assert admission.may_open(450).peer.acl == narrower


def test_f13_a_wrong_clock_never_prolongs_a_token() -> None:
    admission = WORLD.admission()
    admit(admission, now=0, wall=NOW - 20)  # our clock is slow: the token seems to live longer
    admission.may_open(300 + CLOCK_LEEWAY_S)
    with pytest.raises(RemoteError):
        admission.may_open(301 + CLOCK_LEEWAY_S)


def test_t36_a_revoked_device_cannot_come_in_with_its_old_token() -> None:
    cutoffs = Cutoffs()
    cutoffs.push(Revision(8), [Cutoff(DEVICE, None, NOW + 1, "device_revoked")])
    assert refusal(WORLD.admission(cutoffs=cutoffs), WORLD.proof(TOKEN)) is Reason.TOKEN_REVOKED


def test_f22_a_distrusted_key_is_noticed() -> None:
    admission = WORLD.admission()
    admit(admission, now=0)
    others = VerificationKeys.of(SigningKey("key-2", generate_key()))
    admission.still_trusted(WORLD.keys, wall=NOW + 1)
    with pytest.raises(RemoteError) as caught:
        admission.still_trusted(others, wall=NOW + 1)
    assert caught.value.reason is Reason.TOKEN_KEY_UNKNOWN
    WORLD.admission().still_trusted(others, wall=NOW)


def test_f22_t64_a_forged_token_does_not_outlive_its_key_by_not_being_renewed() -> None:
    admission = WORLD.admission()
    admit(admission, now=0)
    admission.still_trusted(WORLD.keys, wall=NOW + 3600)
    with pytest.raises(RemoteError) as caught:
        admission.still_trusted(VerificationKeys.of(SigningKey("key-2", generate_key())), wall=NOW + 3600)
    assert caught.value.reason is Reason.TOKEN_KEY_UNKNOWN


def test_t39_proofs_are_rationed() -> None:
    admission = WORLD.admission()
    for number in range(1, RENEWALS_BURST + 1):
        admit(admission, number=number, now=0)
    assert refusal(admission, WORLD.proof(TOKEN, number=RENEWALS_BURST + 1), now=0.5) is Reason.LIMIT_EXCEEDED
    assert admission.exhausted


def test_failed_renewals_end_the_tunnel_in_the_end() -> None:
    admission = WORLD.admission()
    admit(admission, now=0)
    for attempt in range(FAILURES_MAX):
        assert not admission.exhausted
        refusal(admission, Proof("x", 2, b""), now=10.0 * attempt)
    assert admission.exhausted


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["good", "replay", "skip", "forged", "stranger"]), max_size=8))
def test_only_good_proofs_move_the_state(words: list[str]) -> None:
    admission = WORLD.admission()
    accepted = 0
    stranger = WORLD.access(ACL, device=DeviceId("dev_BBBBBBBBBBBBBBBBBBBBBB"))
    for word in words:
        proof = {
            "good": WORLD.proof(TOKEN, number=accepted + 1),
            "replay": WORLD.proof(TOKEN, number=max(accepted, 1)) if accepted else Proof("x", 1, b""),
            "skip": WORLD.proof(TOKEN, number=accepted + 2),
            "forged": replace(WORLD.proof(TOKEN, number=accepted + 1), signature=b"\x01" * 64),
            "stranger": WORLD.proof(stranger, number=accepted + 1) if accepted else Proof("x", 1, b""),
        }[word]
        try:
            admission.receive_proof(proof, keys=WORLD.keys, now=1, wall=NOW)
            accepted += 1
            assert word == "good"
        except RefusedProofError:
            assert word != "good"
    assert (admission.admitted.peer.number if admission.admitted else 0) == accepted
