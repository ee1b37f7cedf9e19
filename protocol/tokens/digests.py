"""The digest by which an agent says what it enforces (``control.Enforced``): the controller compares it with what it sent."""

import base64
import hashlib


def token_digest(token: str) -> str:
    """Returns base64url(SHA-256(token)) without padding, of the compact JWS exactly as it was sent."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
