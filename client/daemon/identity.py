"""What the client knows about itself and about whom it trusts, on disk (C6, D9; threats T-56, T-57).

    controller.json   which controller, whether it was told to be up
    ca.pem            its CA, checked against the pin; absent when the system's roots vouch for the controller
    controllers.json  its other addresses, as it announced them
    identity.json     issuer, device, session, user, verification keys
    watermark.json    newest policy ever enforced; kept apart from the snapshot (D8)
    snapshot.jws      the whitelist in force; verified again at every load

All are private to the daemon. Naming another controller, or another CA, wipes everything, the device's key included.
"""

import ssl
from dataclasses import dataclass, field, replace
from typing import Any, Final

from client.core.snapshot_store import NOTHING_SEEN, Watermark
from protocol.errors import LocalError, RemoteProtocolError
from protocol.ids import DeviceId, Epoch, Revision, SessionId, SpkiPin
from protocol.limits import SNAPSHOT_MAX_BYTES
from protocol.reasons import Reason
from protocol.tokens.keys import VerificationKeys
from runtime.controllers import CONTROLLERS_FILE
from runtime.files import StateDir
from runtime.trust import client_context

CONTROLLER_FILE: Final = "controller.json"
CA_FILE: Final = "ca.pem"
IDENTITY_FILE: Final = "identity.json"
WATERMARK_FILE: Final = "watermark.json"
SNAPSHOT_FILE: Final = "snapshot.jws"
NAMES_FILE: Final = "names.json"
"""Guarded names of strict DNS (``strict_names``)."""
OWNER_FILE: Final = "owner.json"
"""Whose the sign-in is (``ownership``)."""
_ALL_FILES: Final = (
    IDENTITY_FILE,
    SNAPSHOT_FILE,
    WATERMARK_FILE,
    CONTROLLER_FILE,
    CONTROLLERS_FILE,
    CA_FILE,
    NAMES_FILE,
    OWNER_FILE,
)
"""The owner last: while there is a sign-in it is never everybody's."""


@dataclass(frozen=True, slots=True)
class Controller:
    """Which controller this host belongs to. ``enabled``: it was told to be up, and not down since."""

    url: str
    pin: SpkiPin | None = None
    ca_pem: bytes | None = field(default=None, repr=False)
    enabled: bool = True

    def context(self) -> ssl.SSLContext:
        """TLS for the controller: its pinned CA alone, or the system's roots."""
        return client_context(self.ca_pem if self.pin is not None else None)

    def relay_context(self) -> ssl.SSLContext:
        """TLS for relays: the controller's CA issues their certificates; public ones serve where it has none."""
        context = client_context(self.ca_pem)
        if self.pin is None and self.ca_pem is not None:
            context.load_default_certs()
        return context


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this device is to its controller. ``session`` is empty for a service account, or after the session ended."""

    issuer: str
    device: DeviceId
    user: str
    service: bool
    session: SessionId
    session_expires: int | None
    keys: VerificationKeys
    user_name: str = ""
    signed_in: bool = True
    session_began: int | None = None
    """Unix seconds of the sign-in; None when it was made by an earlier version."""


class IdentityStore:
    """The files. Every method may raise LocalError (PERMISSION_DENIED, STATE_CORRUPT, LIMIT_EXCEEDED: disk full)."""

    def __init__(self, state: StateDir) -> None:
        self.state = state

    def controller(self) -> Controller | None:
        """Returns the configured controller."""
        body = self.state.read_json(CONTROLLER_FILE)
        if body is None:
            return None
        match body:
            case {"url": str(url), "pin": None | str() as pin, "enabled": bool(enabled)}:
                ca_pem = self.state.read(CA_FILE)
                if pin is not None and ca_pem is None:
                    raise LocalError(Reason.STATE_CORRUPT, f"{self.state / CA_FILE} is missing")
                return Controller(url, None if pin is None else SpkiPin(pin), ca_pem, enabled)
        raise LocalError(Reason.STATE_CORRUPT, str(self.state / CONTROLLER_FILE))

    def store_controller(self, controller: Controller) -> None:
        """Stores which controller to trust; the CA first, so that a crash between the two leaves no half trust."""
        if controller.ca_pem is not None:
            self.state.write(CA_FILE, controller.ca_pem)
        body = {"url": controller.url, "pin": controller.pin, "enabled": controller.enabled}
        self.state.write_json(CONTROLLER_FILE, body)

    def identity(self) -> Identity | None:
        """Returns who we are; None before the first sign-in."""
        body = self.state.read_json(IDENTITY_FILE)
        if body is None:
            return None
        match body:
            case {
                "issuer": str(issuer),
                "device": str(device),
                "user": str(user),
                "service": bool(service),
                "session": str(session),
                "session_expires": None | int() as expires,
                "jwks": dict(jwks),
                "user_name": str(user_name),
                "signed_in": bool(signed_in),
                **more,
            }:
                began = more.get("session_began")
                return Identity(
                    issuer,
                    DeviceId(device),
                    user,
                    service,
                    SessionId(session),
                    expires,
                    self._keys(jwks),
                    user_name,
                    signed_in,
                    began if isinstance(began, int) else None,
                )
        raise LocalError(Reason.STATE_CORRUPT, str(self.state / IDENTITY_FILE))

    def store_identity(self, identity: Identity) -> None:
        """Stores who we are."""
        self.state.write_json(
            IDENTITY_FILE,
            {
                "issuer": identity.issuer,
                "device": identity.device,
                "user": identity.user,
                "service": identity.service,
                "session": identity.session,
                "session_expires": identity.session_expires,
                "jwks": identity.keys.to_jwks(),
                "user_name": identity.user_name,
                "signed_in": identity.signed_in,
                "session_began": identity.session_began,
            },
        )

    def watermark(self) -> Watermark:
        """Returns the newest policy ever enforced here."""
        match self.state.read_json(WATERMARK_FILE):
            case None:
                return NOTHING_SEEN
            case {"epoch": int(epoch), "revision": int(revision)}:
                return Watermark(Epoch(epoch), Revision(revision))
        raise LocalError(Reason.STATE_CORRUPT, str(self.state / WATERMARK_FILE))

    def store_watermark(self, seen: Watermark) -> None:
        """Stores it; before the snapshot that raised it is enforced."""
        self.state.write_json(WATERMARK_FILE, {"epoch": int(seen.epoch), "revision": int(seen.revision)})

    def snapshot(self) -> str | None:
        """Returns the stored snapshot's JWS, which proves nothing yet."""
        raw = self.state.read(SNAPSHOT_FILE, limit=SNAPSHOT_MAX_BYTES)
        if raw is None:
            return None
        try:
            return raw.decode("ascii").strip()
        except UnicodeDecodeError as exc:
            raise LocalError(Reason.STATE_CORRUPT, str(self.state / SNAPSHOT_FILE)) from exc

    def store_snapshot(self, token: str) -> None:
        """Stores the snapshot in force."""
        self.state.write(SNAPSHOT_FILE, token)

    def sign_out(self) -> None:
        """Forgets session and snapshot; device, controller and watermark stay."""
        identity = self.identity()
        if identity is not None:
            self.store_identity(replace(identity, session=SessionId(""), session_expires=None, signed_in=False))
        self.state.remove(SNAPSHOT_FILE)

    def wipe(self) -> None:
        """Forgets everything but the key, which is its keeper's to forget (T-56)."""
        for name in _ALL_FILES:
            self.state.remove(name)

    def _keys(self, jwks: dict[str, Any]) -> VerificationKeys:
        try:
            return VerificationKeys.from_jwks_untrusted(jwks)
        except RemoteProtocolError as exc:
            raise LocalError(Reason.STATE_CORRUPT, f"{self.state / IDENTITY_FILE}: {exc.detail}") from exc
