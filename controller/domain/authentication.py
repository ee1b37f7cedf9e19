"""How a person proved who he is: travels from the sign-in into the session that it makes."""

from dataclasses import dataclass
from typing import Final

PASSWORD: Final = "password"  # noqa: S105 - a word
TOTP: Final = "totp"
RECOVERY_CODE: Final = "recovery-code"
PASSKEY: Final = "passkey"
"""Password and second factor in one."""


@dataclass(frozen=True, slots=True)
class Authentication:
    """Unix seconds. ``mfa_s`` is None until a second factor was passed.

    ``method`` names the means in their order, such as ``password``, ``password+totp`` or ``oidc:https://idp.example``.
    ``dated``: False when a provider did not say when the person proved it, which may be long ago; the moments are then
    those of the sign-in here.
    """

    authenticated_s: int
    mfa_s: int | None
    method: str
    dated: bool = True
