"""Sign-ins of people to the API (bearer token), to the console and to the sign-in page (cookies).

    api       a bearer token; everything that the role permits
    console   the same in a browser's cookie, with the checks against forged requests (``api.origins``)
    page      a cookie that approves devices and, while the sign-in is recent, command lines, and opens no API itself
    pending   the first step was right; good for the second factor only, and only for the surface that began it

The secret is 256 random bits; the store knows only its SHA-256, so that nothing in a database or a backup signs in
(T-11). A session ends after a while without use, at the latest after its absolute life, and at once when it is revoked.
"""

import base64
import hashlib
import json
import re
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Literal, TypeGuard

from protocol.ids import PREFIXES
from protocol.limits import ADMIN_SESSION_LIFE_S

SessionKind = Literal["api", "console", "page"]
AnyKind = Literal["api", "console", "page", "pending-api", "pending-console", "pending-page"]

API_IDLE_S: Final = 4 * 3600
PAGE_IDLE_S: Final = 15 * 60
PAGE_LIFE_S: Final = 3600
CONSOLE_IDLE_S: Final = 3600
PENDING_LIFE_S: Final = 5 * 60
"""For the second factor."""
RECENT_S: Final = 15 * 60
"""How old a sign-in may be for changes to one's own credentials (NIST SP 800-63B section 6.1.2.1)."""
ACTIVITY_MAX: Final = 100_000
TOKEN_PREFIX: Final = "ost_"  # noqa: S105 - a prefix
PAGE_SCOPE: Final = "page"
COOKIE: Final = "__Host-ostiary"
"""Of the sign-in page."""
CONSOLE_COOKIE: Final = "__Host-ostiary-console"
PENDING_COOKIE: Final = "__Host-ostiary-pending"
FLOW_COOKIE: Final = "__Host-ostiary-flow"
"""Of a sign-in that left for an identity provider, sealed."""

_TOKEN: Final = re.compile(r"ost_[A-Za-z0-9_-]{43}\Z")


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a kind of session lives, in seconds."""

    idle_s: int
    life_s: int


_PENDING: Final = Lifetime(PENDING_LIFE_S, PENDING_LIFE_S)
LIFETIMES: Final[dict[AnyKind, Lifetime]] = {
    "api": Lifetime(API_IDLE_S, ADMIN_SESSION_LIFE_S),
    "console": Lifetime(CONSOLE_IDLE_S, ADMIN_SESSION_LIFE_S),
    "page": Lifetime(PAGE_IDLE_S, PAGE_LIFE_S),
    "pending-api": _PENDING,
    "pending-console": _PENDING,
    "pending-page": _PENDING,
}
PENDING: Final[dict[SessionKind, AnyKind]] = {
    "api": "pending-api",
    "console": "pending-console",
    "page": "pending-page",
}
_SCOPES: Final[dict[AnyKind, tuple[str, ...]]] = {
    "api": (),
    "console": ("console",),
    "page": (PAGE_SCOPE,),
    "pending-api": ("pending", "api"),
    "pending-console": ("pending", "console"),
    "pending-page": ("pending", PAGE_SCOPE),
}
_KINDS: Final[dict[tuple[str, ...], AnyKind]] = {scopes: kind for kind, scopes in _SCOPES.items()}


def scopes_of(kind: AnyKind) -> tuple[str, ...]:
    """How the store tells the kinds apart: a session of the API is not limited, one of the page may only sign in."""
    return _SCOPES[kind]


def kind_of(scopes: tuple[str, ...]) -> AnyKind | None:
    """The kind with these scopes; None for scopes that are not of this version."""
    return _KINDS.get(scopes)


def is_complete(kind: AnyKind | None) -> TypeGuard[SessionKind]:
    """Whether a session of this kind is a sign-in, and not the first half of one."""
    return kind in PENDING


def new_secret() -> str:
    """Returns a fresh bearer token or cookie value."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def parse_secret_untrusted(text: str) -> str | None:
    """Returns ``text`` if it has the shape of a session's secret."""
    return text if _TOKEN.match(text) else None


def digest(secret: str) -> str:
    """The form of a high-entropy secret that is stored and looked up: SHA-256 in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Activity:
    """When this process last saw each session used: the idle limit. Bounded; the absolute limit is the store's.

    A session that this process has not seen yet counts as used now, so a restart prolongs nothing beyond the absolute
    limit.
    """

    def __init__(self, *, capacity: int = ACTIVITY_MAX) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._capacity = capacity

    def use(self, secret_hash: str, kind: AnyKind, now: float) -> bool:
        """Notes a use. Tells whether the session is still live; one that is not is forgotten."""
        last = self._seen.pop(secret_hash, now)
        if now >= last + LIFETIMES[kind].idle_s:
            return False
        self._seen[secret_hash] = max(last, now)
        while len(self._seen) > self._capacity:
            self._seen.popitem(last=False)
        return True

    def seen(self, secret_hash: str, otherwise: float) -> float:
        """The last use that this process knows of."""
        return self._seen.get(secret_hash, otherwise)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a session was made from; rests in the store's label."""

    address: str
    agent: str

    def label(self) -> str:
        """The stored form."""
        return json.dumps({"address": self.address[:64], "agent": self.agent[:200]}, separators=(",", ":"))

    @classmethod
    def of_label(cls, label: str) -> "Origin":
        """Reads what ``label`` wrote."""
        value = json.loads(label)
        return cls(value["address"], value["agent"])


def public_id(secret_hash: str) -> str:
    """The name of a session in lists and URLs: a part of the hash, of no use to sign in."""
    raw = bytes.fromhex(secret_hash)[:16]
    return f"{PREFIXES['token']}_{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}"
