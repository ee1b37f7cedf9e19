"""Proof of enforcement: what one agent's evidence proves, and when a change is true everywhere."""

from hypothesis import given
from hypothesis import strategies as st

from controller.domain.proof import Evidence, prove, summarise

MADE = 1000.0


def evidence(
    *, acknowledged: float | None = None, heard: float | None = 990.0, online: bool = False, lease_s: int = 60
) -> Evidence:
    return Evidence("con_a", acknowledged, heard, online, lease_s)


def test_who_said_so_enforces_it() -> None:
    proof = prove(evidence(acknowledged=1002.0), made=MADE, now=2000.0)
    assert (proof.state, proof.since, proof.lease_ends) == ("enforced", 1002.0, None)
    assert prove(evidence(acknowledged=999.0), made=MADE, now=2000.0).since == MADE


def test_who_is_unheard_is_outstanding_until_its_lease_ends() -> None:
    silent = evidence()
    before, after = prove(silent, made=MADE, now=1049.9), prove(silent, made=MADE, now=1050.0)
    assert (before.state, before.since, before.lease_ends) == ("outstanding", None, 1050.0)
    assert (after.state, after.since) == ("lapsed", 1050.0)


def test_who_was_unheard_long_before_could_not_go_on() -> None:
    assert prove(evidence(heard=10.0), made=MADE, now=MADE).since == MADE


def test_who_is_connected_and_says_nothing_is_outstanding_for_ever() -> None:
    assert prove(evidence(online=True, heard=1e9), made=MADE, now=1e9 + 1e6).state == "outstanding"


def test_who_was_never_heard_has_nothing_to_go_on_with() -> None:
    assert prove(evidence(heard=None), made=MADE, now=MADE).state == "never_connected"


EVIDENCE = st.builds(
    evidence,
    acknowledged=st.none() | st.floats(900, 2000),
    heard=st.none() | st.floats(0, 2000),
    online=st.booleans(),
    lease_s=st.integers(0, 500),
)


@given(st.lists(EVIDENCE, max_size=6), st.floats(1000, 3000))
def test_everywhere_is_when_the_last_one_did(cases: list[Evidence], now: float) -> None:
    proofs = [prove(item, made=MADE, now=now) for item in cases]
    summary = summarise(proofs, made=MADE)
    assert summary.outstanding == sum(proof.since is None for proof in proofs)
    if summary.outstanding:
        assert summary.complete is None
    else:
        assert summary.complete == max([MADE, *(proof.since or 0.0 for proof in proofs)])
    assert all(proof.since is None or proof.since >= MADE for proof in proofs)
