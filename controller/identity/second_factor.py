"""Time-based one-time passwords (RFC 6238) and recovery codes. Pure but for the randomness of new secrets.

SHA-1, six digits and thirty seconds are what every authenticator app takes. A code is good for its own time step and one
to each side (clock drift, RFC 6238 section 5.2), and for one sign-in only: the caller spends the step in the store.
A recovery code has 80 bits, so that its plain SHA-256 is safe to store.
"""

import hashlib
import hmac
import re
import secrets
from typing import Final

import pyotp

ISSUER: Final = "Ostiary"
STEP_S: Final = 30
DRIFT_STEPS: Final = 1
DIGITS: Final = 6
SECRET_CHARS: Final = 32
"""Base32: 160 bits (RFC 4226 section 4, R6)."""
RECOVERY_CODES: Final = 10

_RECOVERY_CHARS: Final = 16
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_CODE: Final = re.compile(r"[0-9]{6}\Z")
_RECOVERY: Final = re.compile(rf"[{_ALPHABET}]{{16}}\Z")


def new_secret() -> str:
    """Returns a fresh secret in base32, as authenticator apps take it."""
    return pyotp.random_base32(SECRET_CHARS)


def provisioning_uri(secret: str, account: str, host: str) -> str:
    """Returns the ``otpauth://`` URI that an app scans; ``account`` and ``host`` are what it shows."""
    return pyotp.TOTP(secret, digits=DIGITS, interval=STEP_S).provisioning_uri(
        name=account, issuer_name=f"{ISSUER} {host}"
    )


def matching_step(secret: str, code: str, now: float) -> int | None:
    """Returns the time step whose code this is, the latest one that fits; None for a wrong code.

    All candidates are compared, each in constant time.
    """
    totp = pyotp.TOTP(secret, digits=DIGITS, interval=STEP_S)
    present = int(now) // STEP_S
    found = None
    for step in range(present - DRIFT_STEPS, present + DRIFT_STEPS + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()):
            found = step
    return found


def parse_code_untrusted(text: str) -> str | None:
    """Returns the six digits in what somebody typed; None when it is not a one-time code."""
    code = re.sub(r"[ \u00a0-]", "", text[:64])
    return code if _CODE.match(code) else None


def parse_recovery_code_untrusted(text: str) -> str | None:
    """Returns the stored form of a recovery code, whatever case and dashes; None when it is none."""
    code = re.sub(r"[ \u00a0-]", "", text[:64])
    code = code.upper() if code.isascii() else ""
    return code if _RECOVERY.match(code) else None


def new_recovery_codes() -> tuple[str, ...]:
    """Returns fresh recovery codes in the form that people keep: ``XXXX-XXXX-XXXX-XXXX``."""
    return tuple(
        "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(_RECOVERY_CHARS // 4))
        for _ in range(RECOVERY_CODES)
    )


def recovery_hash(code: str) -> str:
    """Returns what is stored of a recovery code in its parsed form."""
    return hashlib.sha256(code.encode()).hexdigest()
