"""Device sign-in (RFC 8628): what the store's codes do not know by themselves (C6, S-9).

    device                     controller                        person
      | device_authorization -->  user code, device code
      | shows the user code ...................................  opens /device, signs in, sees name, system and
      | token (polls) ---------->  authorization_pending         address of the device, approves
      | token ------------------>  device registered, session started, code spent: all in one transaction (D7)

The device proves its key both times; the session that results is usable with that key only. `ostiary admin login --browser` goes the same
way for a session of the API, with a key that it makes for this; such an approval needs a sign-in to the page that is recent.
"""

import json
from dataclasses import dataclass
from typing import Final, Literal

from controller.domain.rules import NAME_MAX, RuleBrokenError, clean_name, word
from controller.identity.user_codes import shown
from protocol.errors import OstiaryError, RefusedError
from protocol.limits import DEVICE_CODE_INTERVAL_S, DEVICE_CODE_LIFE_S
from protocol.reasons import Reason

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:device_code"
LIFE_S: Final = DEVICE_CODE_LIFE_S
INTERVAL_S: Final = DEVICE_CODE_INTERVAL_S
SLOW_DOWN_S: Final = 5
"""RFC 8628 section 3.5."""
USER_CODE_TRIES: Final = 8
"""How often another user code is drawn when one is in use; with 34 bits the second draw is already improbable."""

_ERRORS: Final = {
    Reason.AUTHORIZATION_PENDING: "authorization_pending",
    Reason.SLOW_DOWN: "slow_down",
    Reason.SIGN_IN_DENIED: "access_denied",
    Reason.SIGN_IN_EXPIRED: "expired_token",
}


Purpose = Literal["device", "administration"]
"""What comes of an approval: a device with a session, or a session of the API for `ostiary admin`."""


@dataclass(frozen=True, slots=True)
class AskingDevice:
    """What the person who approves is shown about the device: all of it is its own word but address and purpose."""

    name: str
    platform: str
    address: str
    purpose: Purpose = "device"

    def label(self) -> str:
        """The form in which all but the platform rests beside the code."""
        label = {"address": self.address, "name": self.name, "purpose": self.purpose}
        return json.dumps(label, separators=(",", ":"))

    @classmethod
    def of_label(cls, label: str, platform: str) -> "AskingDevice":
        """Reads what ``label`` wrote."""
        value = json.loads(label)
        # Codes of before there was a second purpose name none.
        return cls(value["name"], platform, value["address"], value.get("purpose", "device"))


def asking_device_untrusted(name: str, platform: str, address: str, purpose: Purpose) -> AskingDevice:
    """Checks what a device says about itself; a long name is cut. Raises RefusedError(INVALID_INPUT)."""
    try:
        return AskingDevice(clean_name(name[:NAME_MAX]), word(platform, "platform"), address[:64], purpose)
    except RuleBrokenError as exc:
        raise RefusedError(exc.refusal.reason, f"device: {exc.refusal.detail}") from exc


def verification_uris(public_url: str, user_code: str) -> tuple[str, str]:
    """Returns ``verification_uri`` and ``verification_uri_complete``."""
    page = f"{public_url}/device"
    return page, f"{page}?user_code={shown(user_code)}"


def error_code(error: OstiaryError) -> str:
    """Returns the ``error`` of RFC 8628 section 3.5 and RFC 6749 section 5.2 for a refusal."""
    return _ERRORS.get(error.reason, "invalid_grant")
