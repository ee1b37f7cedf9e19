"""What everybody who enrols does alike: a fresh assertion, and a key that outlives a lost answer (F-31)."""

from pathlib import Path

import pytest

from protocol.enrolment import ENROLMENT_AGENT
from protocol.errors import RemoteError
from protocol.limits import ASSERTION_LIFE_S
from protocol.reasons import Reason
from protocol.tokens.keys import generate_key, public_jwk
from protocol.tokens.verify import verify_assertion
from runtime.enrolment import make_assertion, pending_key
from runtime.files import StateDir

URL, NOW = "https://c.example", 1_800_000_000.5


def test_an_assertion_is_fresh_and_for_one_controller() -> None:
    key = generate_key()
    first, second = (make_assertion(ENROLMENT_AGENT, f"{URL}/", key, NOW) for _ in range(2))
    read = [verify_assertion(text, key=key.public_key(), audience=URL, now=NOW) for text in (first, second)]
    assert [item.agent for item in read] == [ENROLMENT_AGENT] * 2
    assert read[0].jti != read[1].jti
    assert (read[0].issued_at, read[0].expires) == (int(NOW), int(NOW) + ASSERTION_LIFE_S)
    with pytest.raises(RemoteError) as refused:
        verify_assertion(first, key=key.public_key(), audience="https://other.example", now=NOW)
    assert refused.value.reason is Reason.TOKEN_AUDIENCE


def test_f31_the_key_of_a_lost_answer_is_offered_again(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    state.ensure()
    first = pending_key(state, "enrolling.pem")
    assert public_jwk(pending_key(state, "enrolling.pem")) == public_jwk(first)
    state.remove("enrolling.pem")
    assert public_jwk(pending_key(state, "enrolling.pem")) != public_jwk(first)
