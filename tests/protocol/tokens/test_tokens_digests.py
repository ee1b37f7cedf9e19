"""What agents acknowledge: the digest of the token as it was sent."""

import json

from protocol.tokens.digests import token_digest


def test_the_digest_is_base64url_of_sha256() -> None:
    # NIST's vector for "abc" (FIPS 180-2), in base64url.
    assert token_digest("abc") == "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"


def test_any_other_token_has_another_digest() -> None:
    tokens = ["a.b.c", "a.b.C", "a.b.c ", json.dumps("a.b.c")]
    assert len({token_digest(token) for token in tokens}) == len(tokens)
