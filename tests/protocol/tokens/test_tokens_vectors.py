"""Golden tokens with fixed keys: the wire form must not change by accident (SPEC tokens)."""

import json
from pathlib import Path

import pytest
from token_samples import AGENT_KEY, BY_NAME, CONTROLLER_KEY, KEYS, NOW, SAMPLES, Sample, unb64

from protocol.tokens.keys import pin_of, public_jwk, thumbprint

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "tokens.json").read_text())


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_golden_tokens_verify_and_mean_the_same(sample: Sample) -> None:
    assert sample.verify(VECTORS["tokens"][sample.name], NOW) == sample.value


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_issuing_writes_the_golden_bytes_but_for_the_signature(sample: Sample) -> None:
    golden = VECTORS["tokens"][sample.name].rpartition(".")[0]
    assert sample.token.rpartition(".")[0] == golden
    assert json.loads(unb64(golden.split(".")[1])) == VECTORS["claims"][sample.name]


def test_the_golden_keys_hold() -> None:
    assert KEYS.to_jwks() == VECTORS["jwks"]
    assert public_jwk(AGENT_KEY) == VECTORS["agent_jwk"]
    assert thumbprint(public_jwk(AGENT_KEY)) == VECTORS["agent_thumbprint"]
    assert pin_of(CONTROLLER_KEY.private.public_key()) == VECTORS["controller_pin"]
    assert set(VECTORS["tokens"]) == set(BY_NAME)
