"""Keys as the log holds them."""

from controller.domain.model import PublicKey
from protocol.tokens.keys import generate_key, key_from_jwk_untrusted, public_jwk


def test_a_key_keeps_only_what_identifies_it() -> None:
    jwk = public_jwk(generate_key())
    key = PublicKey.from_jwk({**jwk, "kid": "mine", "alg": "ES256"})
    assert key.to_jwk() == jwk
    assert public_jwk(key_from_jwk_untrusted(key.to_jwk())) == jwk
