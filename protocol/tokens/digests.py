"""Short names of tokens: what an agent says that it enforces, and by what one token is counted once."""

import base64
import hashlib
from typing import Final

from protocol.tokens.strict import b64url_decode_untrusted

_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""FIPS 186-5 (SP 800-186 section 3.2.1.3)."""


def token_digest(token: str) -> str:
    """Returns base64url(SHA-256(token)) without padding, of the compact JWS exactly as it was sent (``control.Enforced``)."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()


def token_key(token: str) -> str:
    """Returns the same for every text of one verified token, and nothing that could be used as one (T-25).

    Whoever holds an ES256 token can write it a second time: with (r, s) also (r, n - s) verifies, without any key.
    Two tokens with the same claims are told apart, because each signature has an r of its own.

    Raises:
        RemoteProtocolError: the signature is no canonical base64url; then the token was not verified.
    """
    signed, _, signature = token.rpartition(".")
    raw = b64url_decode_untrusted(signature)
    s = int.from_bytes(raw[32:], "big")
    lower = min(s, _P256_ORDER - s) % _P256_ORDER
    return hashlib.blake2b(signed.encode() + raw[:32] + lower.to_bytes(32, "big"), digest_size=16).hexdigest()
