"""One-time enrolment (C1, C2): the token that an admin hands over, and the checks when it is redeemed.

The secret is 256 random bits; the store knows its SHA-256. It is spent in the transaction that gives out the identity, so
that no two agents ever share one (D7, TS-2025-007).
"""

import secrets
from dataclasses import dataclass

from controller.identity.web_sessions import digest
from protocol.enrolment import EnrolmentKind, EnrolmentToken, encode
from protocol.errors import RefusedError, RemoteError
from protocol.ids import SpkiPin
from protocol.limits import ENROLMENT_LIFE_S
from protocol.reasons import Reason
from protocol.tokens.keys import parse_pin_untrusted


@dataclass(frozen=True, slots=True)
class NewEnrolment:
    """A fresh token. ``text`` is shown once; ``secret_hash`` is stored."""

    text: str
    secret_hash: str
    kind: EnrolmentKind
    expires: float


def new_enrolment(kind: EnrolmentKind, *, url: str, pin: SpkiPin | None, now: float) -> NewEnrolment:
    """Makes a token for one agent of ``kind``."""
    secret = secrets.token_urlsafe(32)
    text = encode(EnrolmentToken(url=url, pin=pin, kind=kind, secret=secret))
    return NewEnrolment(text, digest(secret), kind, now + ENROLMENT_LIFE_S)


def connector_pin_untrusted(pin: str | None) -> SpkiPin:
    """Returns the pin that an enrolling connector names. Raises RefusedError(INVALID_INPUT)."""
    try:
        return parse_pin_untrusted(pin)
    except RemoteError as exc:
        raise RefusedError(Reason.INVALID_INPUT, "pin: sha256/ and 44 characters of base64") from exc
