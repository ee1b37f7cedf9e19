"""The codes of a device sign-in (RFC 8628 section 6.1): short ones that people type, long ones that devices poll with.

A user code has 8 letters of a 20-letter alphabet without vowels (no words, nothing that looks alike): 34.6 bits. With
the attempt limits of ``device_flow`` a guesser needs centuries.
"""

import secrets
from typing import Final

from protocol.errors import RefusedError
from protocol.reasons import Reason

ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
LETTERS: Final = 8


def new_user_code() -> str:
    """Returns a code in its stored form, without the dash."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LETTERS))


def shown(code: str) -> str:
    """The form that people see: ``WDJB-MJHT``."""
    return f"{code[:4]}-{code[4:]}"


def parse_user_code_untrusted(text: str) -> str:
    """Returns the stored form of what somebody typed: case, dashes and blanks do not matter.

    Raises RefusedError(NOT_FOUND), as for any code that does not exist.
    """
    letters = "".join(char for char in text[:64] if char not in "- \t\u2010\u2011\u2012\u2013")
    # Only ASCII: the upper case of some other letters lies in the alphabet too.
    code = letters.upper() if letters.isascii() else ""
    if len(code) != LETTERS or any(char not in ALPHABET for char in code):
        raise RefusedError(Reason.NOT_FOUND, "there is no such code; it may have expired")
    return code


def new_device_code() -> str:
    """Returns what the device polls with: 256 bits."""
    return secrets.token_urlsafe(32)
