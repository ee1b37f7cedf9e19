"""Getting an identity: device sign-in (RFC 8628, C6) for people, an enrolment token for service accounts.

Both show by an assertion that this host holds the key that it names. There is no bearer token to steal: what comes back
are ids, and the key is the credential.
"""

import asyncio
import platform
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric import ec

from client.daemon.identity import Controller, Identity
from protocol.device_grant import GRANT_TYPE, first_interval, life, next_interval
from protocol.enrolment import ENROLMENT_AGENT, EnrolmentToken
from protocol.errors import LocalError, RefusedError, RemoteError, RemoteProtocolError
from protocol.ids import DeviceId, SessionId, SpkiPin, is_id
from protocol.reasons import Reason
from protocol.tokens.keys import VerificationKeys, public_jwk
from runtime.clock import Clock
from runtime.enrolment import API, make_assertion
from runtime.http import HttpRefusedError, check_url, request_json
from runtime.trust import fetch_ca, fetch_vouched_ca

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SignInPrompt:
    """What a person needs to approve the sign-in."""

    verification_uri: str
    verification_uri_complete: str
    user_code: str
    expires_in_s: float

    def event(self) -> dict[str, Any]:
        """The form in which the control socket streams it."""
        return {
            "kind": "sign_in",
            "verification_uri": self.verification_uri,
            "verification_uri_complete": self.verification_uri_complete,
            "user_code": self.user_code,
            "expires_in_s": self.expires_in_s,
        }


async def find_controller(url: str, pin: SpkiPin | None, *, sock_mark: int | None) -> Controller:
    """Returns a controller to trust: by the pin of its CA, or else by the system's roots.

    Raises:
        LocalError: CONFIG_INVALID for a URL that is not https.
        RemoteError: PIN_MISMATCH, CERTIFICATE_UNTRUSTED, CONTROLLER_UNREACHABLE.
    """
    parts = check_url(url)
    url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    if pin is not None:
        return Controller(url, pin, await fetch_ca(url, pin, sock_mark=sock_mark))
    # Its relays' certificates may still be its own CA's.
    return Controller(url, None, await fetch_vouched_ca(url, sock_mark=sock_mark))


class SignIn:
    """Talks to one controller's sign-in endpoints with one key."""

    def __init__(
        self, controller: Controller, key: ec.EllipticCurvePrivateKey, clock: Clock, *, sock_mark: int | None
    ) -> None:
        self._controller = controller
        self._key = key
        self._clock = clock
        self._mark = sock_mark
        self._context: ssl.SSLContext = controller.context()

    async def by_device_code(self, prompt: Callable[[SignInPrompt], Awaitable[None]]) -> Identity:
        """Signs a person in: shows a code and polls until somebody approved it.

        Raises:
            RefusedError: SIGN_IN_DENIED, SIGN_IN_EXPIRED and whatever else the controller refuses with.
            RemoteError: CONTROLLER_UNREACHABLE before a code was shown.
        """
        begun = await self._begin()
        code, shown, interval = begun
        await prompt(shown)
        end = self._clock.monotonic() + shown.expires_in_s
        while self._clock.monotonic() < end:
            await asyncio.sleep(interval)
            try:
                body = {"grant_type": GRANT_TYPE, "device_code": code, "client_id": "ostiary"}
                return self._identity(await self._post("/token", body), service=False)
            except RemoteError as error:
                hint_s = error.retry_after_s if isinstance(error, HttpRefusedError) else 0.0
                wait_s = next_interval(interval, error.reason, hint_s)
                if wait_s is None:
                    raise
                interval = wait_s
                if not isinstance(error, HttpRefusedError):
                    _log.info("sign_in.poll_failed", reason=error.reason.code, detail=error.detail)
        raise RefusedError(Reason.SIGN_IN_EXPIRED)

    async def by_token(self, token: EnrolmentToken) -> Identity:
        """Enrols a service account's device. Raises RefusedError(ENROLMENT_*), LocalError(ENROLMENT_INVALID)."""
        if token.kind != "service":
            raise LocalError(Reason.ENROLMENT_INVALID, f"this token is for a {token.kind}, not for a service account")
        body = {"secret": token.secret, "kind": "service", "jwk": public_jwk(self._key), "hostname": _hostname()}
        return self._identity(await self._post("/enroll", body), service=True)

    async def _begin(self) -> tuple[str, SignInPrompt, float]:
        body = {
            "client_id": "ostiary",
            "jwk": public_jwk(self._key),
            "device_name": _hostname() or "unnamed",
            "platform": platform.system().lower() or "unknown",
        }
        match await self._post("/device_authorization", body):
            case {
                "device_code": str(code),
                "user_code": str(user_code),
                "verification_uri": str(uri),
                "verification_uri_complete": str(complete),
                **rest,
            }:
                shown = SignInPrompt(_shown_uri(uri), _shown_uri(complete), user_code[:32], life(rest))
                return code, shown, first_interval(rest)
        raise RemoteProtocolError("the controller's answer to the sign-in is malformed")

    async def _post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        url = self._controller.url
        proof = make_assertion(ENROLMENT_AGENT, url, self._key, self._clock.wall())
        _, _, reply = await request_json(
            "POST",
            url + API + path,
            context=self._context,
            body={**body, "proof": proof},
            sock_mark=self._mark,
        )
        if not isinstance(reply, dict):
            raise RemoteProtocolError("the controller's answer is not an object")
        return reply

    def _identity(self, body: Mapping[str, Any], *, service: bool) -> Identity:
        user = body.get("service_account" if service else "user")
        session = "" if service else body.get("session")
        match body:
            case {"device": str(device), "issuer": str(issuer), "jwks": dict(jwks)} if (
                is_id(device, "device") and isinstance(user, str) and isinstance(session, str) and issuer
            ):
                expires = body.get("session_expires")
                return Identity(
                    issuer=issuer,
                    device=DeviceId(device),
                    user=user,
                    service=service,
                    session=SessionId(session),
                    session_expires=expires if isinstance(expires, int) else None,
                    keys=VerificationKeys.from_jwks_untrusted(jwks),
                )
        raise RemoteProtocolError("the controller's identity for this device is malformed")


def _hostname() -> str:
    return socket.gethostname()[:200]


def _shown_uri(uri: str) -> str:
    """Only an https page (or one of this host) is shown to a person, or opened (T-74)."""
    check_url(uri)
    return uri
