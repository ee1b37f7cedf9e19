"""Device sign-in (RFC 8628): what the store's codes do not know by themselves (C6, S-9).

    device                     controller                        person
      | device_authorization -->  user code, device code
      | shows the user code ...................................  opens /device, signs in, sees name, system and
      | token (polls) ---------->  authorization_pending         address of the device, approves
      | token ------------------>  device registered, session started, code spent: all in one transaction (D7)

The device proves its key both times; the session that results is usable with that key only.
"""

import json
from dataclasses import dataclass
from typing import Final

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


@dataclass(frozen=True, slots=True)
class AskingDevice:
    """What the person who approves is shown about the device: all of it is the device's own word but the address."""

    name: str
    platform: str
    address: str

    def label(self) -> str:
        """The form in which name and address rest beside the code."""
        return json.dumps({"address": self.address, "name": self.name}, separators=(",", ":"))

    @classmethod
    def of_label(cls, label: str, platform: str) -> "AskingDevice":
        """Reads what ``label`` wrote."""
        value = json.loads(label)
        return cls(value["name"], platform, value["address"])


def asking_device_untrusted(name: str, platform: str, address: str) -> AskingDevice:
    """Checks what a device says about itself; a long name is cut. Raises RefusedError(INVALID_INPUT)."""
    try:
        return AskingDevice(clean_name(name[:NAME_MAX]), word(platform, "platform"), address[:64])
    except RuleBrokenError as exc:
        raise RefusedError(exc.refusal.reason, f"device: {exc.refusal.detail}") from exc


def verification_uris(public_url: str, user_code: str) -> tuple[str, str]:
    """Returns ``verification_uri`` and ``verification_uri_complete``."""
    page = f"{public_url}/device"
    return page, f"{page}?user_code={shown(user_code)}"


def error_code(error: OstiaryError) -> str:
    """Returns the ``error`` of RFC 8628 section 3.5 and RFC 6749 section 5.2 for a refusal."""
    return _ERRORS.get(error.reason, "invalid_grant")
