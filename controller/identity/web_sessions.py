"""Sign-ins of people to the API (bearer token) and to the sign-in page (cookie) (ecosystem 1.6).

The secret is 256 random bits; the store knows only its SHA-256, so that nothing in a database or a backup signs in
(T-11). A session ends after a while without use, at the latest after its absolute life, and at once when it is revoked.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Final, Literal

from protocol.limits import ADMIN_SESSION_LIFE_S

SessionKind = Literal["api", "page"]

API_IDLE_S: Final = 4 * 3600
PAGE_IDLE_S: Final = 15 * 60
PAGE_LIFE_S: Final = 3600
TOUCH_INTERVAL_S: Final = 60
"""``seen`` is written at most this often, so that reading the API does not mean writing the database."""
TOKEN_PREFIX: Final = "ost_"  # noqa: S105 - a prefix
COOKIE: Final = "__Host-ostiary"

_TOKEN: Final = re.compile(r"ost_[A-Za-z0-9_-]{43}\Z")


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a kind of session lives, in seconds."""

    idle_s: int
    life_s: int


LIFETIMES: Final[dict[SessionKind, Lifetime]] = {
    "api": Lifetime(API_IDLE_S, ADMIN_SESSION_LIFE_S),
    "page": Lifetime(PAGE_IDLE_S, PAGE_LIFE_S),
}


def new_secret() -> str:
    """Returns a fresh bearer token or cookie value."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def parse_secret_untrusted(text: str) -> str | None:
    """Returns ``text`` if it has the shape of a session's secret."""
    return text if _TOKEN.match(text) else None


def digest(secret: str) -> str:
    """The form of a high-entropy secret that is stored and looked up: SHA-256 in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_live(kind: SessionKind, *, created: int, seen: int, now: float) -> bool:
    """Tells whether a session (Unix seconds) still counts."""
    lifetime = LIFETIMES[kind]
    return now < seen + lifetime.idle_s and now < created + lifetime.life_s


def expires_at(kind: SessionKind, *, created: int, seen: int) -> int:
    """When the session ends if nobody uses it any more."""
    lifetime = LIFETIMES[kind]
    return min(seen + lifetime.idle_s, created + lifetime.life_s)
