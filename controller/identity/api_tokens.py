"""The secret of an API token: ``ost_api_`` and 256 random bits, so that scanners find one that leaked (T-11).

It is shown once. The store knows its SHA-256, so that nothing in a database or a backup calls the API.
"""

import re
import secrets
from typing import Final

PREFIX: Final = "ost_api_"
HINT_CHARS: Final = len(PREFIX) + 4
"""As much of a secret as lists show: 24 of its 256 bits."""
LIFE_MAX_S: Final = 366 * 86_400
"""A year: a credential without an end is never looked at again."""
USE_NOTED_S: Final = 60.0
"""How exactly the last use is known; each note is a write."""

_SECRET: Final = re.compile(r"ost_api_[A-Za-z0-9_-]{43}\Z")


def new_secret() -> str:
    """Returns a fresh secret."""
    return PREFIX + secrets.token_urlsafe(32)


def is_token(text: str) -> bool:
    """Whether a bearer credential claims to be an API token; sessions have another prefix."""
    return text.startswith(PREFIX)


def parse_secret_untrusted(text: str) -> str | None:
    """Returns ``text`` if it has the shape of a secret."""
    return text if _SECRET.match(text) else None


def hint_of(secret: str) -> str:
    """The part by which people recognise the token."""
    return secret[:HINT_CHARS]
