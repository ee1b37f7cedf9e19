"""`ostiary admin login --browser`: a session of the API, approved on the controller's sign-in page (RFC 8628).

For people whom an identity provider signs in, who have no password to type here. The key is made for this one sign-in: with
it nobody else can redeem the code, even if he has seen the answer that held it.
"""

import platform
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from client.cli.admin_session import Api
from client.cli.sign_in import open_page
from protocol.device_grant import GRANT_TYPE, first_interval, life, next_interval
from protocol.enrolment import ENROLMENT_AGENT
from protocol.errors import RefusedError, RemoteError, RemoteProtocolError
from protocol.reasons import Reason
from protocol.tokens.keys import generate_key, public_jwk
from runtime.console import say
from runtime.enrolment import make_assertion
from runtime.http import HttpRefusedError


def sign_in(api: Api) -> str:
    """Shows a code, waits until somebody approved it, and returns the bearer token.

    Raises:
        RefusedError: SIGN_IN_DENIED, SIGN_IN_EXPIRED, and whatever else the controller refuses with.
        RemoteError: CONTROLLER_UNREACHABLE before a code was shown, and for answers that are none.
    """
    key = generate_key()

    def proven(body: Mapping[str, Any]) -> dict[str, Any]:
        return {"client_id": "ostiary", **body, "proof": make_assertion(ENROLMENT_AGENT, api.url, key, time.time())}

    begin = {
        "scope": "administration",
        "jwk": public_jwk(key),
        "device_name": socket.gethostname()[:200] or "unnamed",
        "platform": platform.system().lower() or "unknown",
    }
    begun = api.post("device_authorization", proven(begin))
    match begun:
        case {"device_code": str(code), "user_code": str(user_code), "verification_uri_complete": str(page)}:
            pass
        case _:
            raise RemoteProtocolError("the controller's answer to the sign-in is malformed")
    if not page.startswith(("https://", "http://")) or not page.isprintable() or not user_code.isprintable():
        raise RemoteProtocolError("the controller names no page to sign in on")
    say(
        "To sign in, open this page and approve:",
        "",
        f"    {page[:2048]}",
        "",
        f"Check that it shows the code {user_code[:32]}.",
    )
    open_page(page)
    return _wait(api, lambda: proven({"grant_type": GRANT_TYPE, "device_code": code}), begun)


def _wait(api: Api, poll: Callable[[], dict[str, Any]], begun: Mapping[str, Any]) -> str:
    interval = first_interval(begun)
    end = time.monotonic() + life(begun)
    while time.monotonic() < end:
        time.sleep(interval)
        try:
            token = api.post("token", poll()).get("access_token")
        except RemoteError as error:
            hint_s = error.retry_after_s if isinstance(error, HttpRefusedError) else 0.0
            wait_s = next_interval(interval, error.reason, hint_s)
            if wait_s is None:
                raise
            interval = wait_s
        else:
            if not isinstance(token, str) or not token.isascii() or not token.isprintable():
                raise RemoteProtocolError("the controller's answer holds no token")
            return token
    raise RefusedError(Reason.SIGN_IN_EXPIRED)
