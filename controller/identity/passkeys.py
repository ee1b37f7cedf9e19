"""Passkeys (WebAuthn level 2): the challenge that a browser carries, and the verification of what it answers (S-9, D7).

The challenge rests sealed in the browser's cookie, so that strangers store nothing here and an answer is good in that browser only.
Discoverable credentials and user verification are required: the authenticator has seen the person's finger, face or PIN, which makes
it two factors. The relying party is the host of the public URL, and only pages of that URL count.

The library is loaded when the first passkey is: it takes a third of a second, and every start would wait for it.
"""

import hashlib
import ipaddress
import json
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from controller.identity.sealing import Seal
from protocol.errors import LocalError, RefusedError, RemoteProtocolError
from protocol.reasons import Reason
from protocol.tokens.strict import b64url_decode_untrusted, b64url_encode

CHALLENGE_LIFE_S: Final = 300
PASSKEY_COOKIE: Final = "__Host-ostiary-passkey"
PASSKEYS_MAX: Final = 20
"""Per person."""
Purpose = Literal["register", "sign-in"]

_PLACE: Final = "passkey challenge"
_BROKEN: Final = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, struct.error)
"""What the library raises on bytes of somebody else's choice."""


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Whom passkeys are made for."""

    id: str
    origin: str

    @classmethod
    def of(cls, public_url: str) -> "RelyingParty":
        """Raises RefusedError(CONFLICT) for an address: browsers make passkeys for names only."""
        if not cls.is_possible(public_url):
            raise RefusedError(Reason.CONFLICT, "passkeys need a public URL with a name, not an address")
        return cls(urlsplit(public_url).hostname or "", public_url)

    @staticmethod
    def is_possible(public_url: str) -> bool:
        """Whether the URL has a name."""
        host = urlsplit(public_url).hostname or ""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return bool(host)
        return False


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a browser was asked; ``user`` is empty for a sign-in, of which nobody knows yet whose it will be."""

    purpose: Purpose
    value: bytes
    user: str
    expires: int

    @property
    def hash(self) -> str:
        """Under what it is spent."""
        return hashlib.sha256(self.value).hexdigest()


@dataclass(frozen=True, slots=True)
class Registered:
    """A verified new key."""

    credential: str
    public_key: bytes
    sign_count: int
    synced: bool


def new_challenge(purpose: Purpose, *, user: str = "", now: float) -> Challenge:
    """Makes one of 256 random bits."""
    return Challenge(purpose, secrets.token_bytes(32), user, int(now) + CHALLENGE_LIFE_S)


def seal_challenge(seal: Seal, challenge: Challenge) -> str:
    """The cookie's value."""
    body = [challenge.purpose, b64url_encode(challenge.value), challenge.user, challenge.expires]
    return b64url_encode(seal.seal(_PLACE, json.dumps(body).encode()))


def open_challenge_untrusted(
    seal: Seal, cookie: str | None, purpose: Purpose, *, user: str = "", now: float
) -> Challenge:
    """Returns what this browser was asked. Raises RefusedError(SIGN_IN_EXPIRED) for another purpose or person, or too late."""
    try:
        kind, value, whose, expires = json.loads(seal.open(_PLACE, b64url_decode_untrusted(cookie or "")))
    except (LocalError, RemoteProtocolError, ValueError) as exc:
        raise RefusedError(Reason.SIGN_IN_EXPIRED, "this browser was not asked for a passkey") from exc
    if kind != purpose or whose != user or now >= expires:
        raise RefusedError(Reason.SIGN_IN_EXPIRED, "this was asked too long ago; try again")
    return Challenge(purpose, b64url_decode_untrusted(value), whose, expires)


def registration_options(party: RelyingParty, challenge: Challenge, *, name: str, known: list[str]) -> dict[str, Any]:
    """What ``navigator.credentials.create`` is given, with binary members in base64url."""
    from webauthn import generate_registration_options
    from webauthn.helpers import options_to_json_dict
    from webauthn.helpers.structs import (
        AuthenticatorSelectionCriteria,
        PublicKeyCredentialDescriptor,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    options = generate_registration_options(
        rp_id=party.id,
        rp_name="Ostiary",
        user_id=challenge.user.encode(),
        user_name=name,
        user_display_name=name,
        challenge=challenge.value,
        timeout=CHALLENGE_LIFE_S * 1000,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=b64url_decode_untrusted(item)) for item in known],
    )
    return dict(options_to_json_dict(options))


def sign_in_options(party: RelyingParty, challenge: Challenge) -> dict[str, Any]:
    """What ``navigator.credentials.get`` is given: any passkey of this relying party."""
    from webauthn import generate_authentication_options
    from webauthn.helpers import options_to_json_dict
    from webauthn.helpers.structs import UserVerificationRequirement

    options = generate_authentication_options(
        rp_id=party.id,
        challenge=challenge.value,
        timeout=CHALLENGE_LIFE_S * 1000,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return dict(options_to_json_dict(options))


def verify_registration_untrusted(party: RelyingParty, challenge: Challenge, answer: Mapping[str, Any]) -> Registered:
    """Verifies a new passkey. Raises RefusedError(INVALID_INPUT)."""
    from webauthn import verify_registration_response
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        found = verify_registration_response(
            credential=dict(answer),
            expected_challenge=challenge.value,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            require_user_verification=True,
        )
    except (WebAuthnException, *_BROKEN) as exc:
        raise RefusedError(Reason.INVALID_INPUT, "credential: it does not answer what was asked") from exc
    return Registered(
        b64url_encode(found.credential_id),
        found.credential_public_key,
        found.sign_count,
        found.credential_backed_up,
    )


def verify_sign_in_untrusted(
    party: RelyingParty, challenge: Challenge, answer: Mapping[str, Any], *, public_key: bytes
) -> int:
    """Verifies a sign-in; returns the authenticator's counter, which is for the caller to compare.

    Raises:
        RefusedError: SIGN_IN_FAILED.
    """
    from webauthn import verify_authentication_response
    from webauthn.helpers.exceptions import WebAuthnException

    try:
        found = verify_authentication_response(
            credential=dict(answer),
            expected_challenge=challenge.value,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=public_key,
            # Any counter passes here: one that went back is told apart from a wrong signature.
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except (WebAuthnException, *_BROKEN) as exc:
        raise RefusedError(Reason.SIGN_IN_FAILED) from exc
    return int(found.new_sign_count)
