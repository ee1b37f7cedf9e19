"""The only source of randomness: cores get ids and bytes from here through their shells."""

import secrets

from protocol.ids import make_id


def new_id(kind: str) -> str:
    """Returns a fresh random id of ``kind`` (a key of ``protocol.ids.PREFIXES``)."""
    return make_id(kind, secrets.token_bytes(16))


def token_bytes(count: int) -> bytes:
    """Returns ``count`` bytes fit for keys and secrets."""
    return secrets.token_bytes(count)


def token_text(count: int = 32) -> str:
    """Returns ``count`` random bytes as base64url without padding (32 bytes: 43 characters)."""
    return secrets.token_urlsafe(count)
