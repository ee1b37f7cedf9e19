"""The client's conversation with its controller: keys, snapshots, authorisations, access tokens (C7, C11, C15, C22).

Everything signed is verified here, before anybody else sees it. The controller's clock, which the link measures, is what
tokens are judged by (F-13: a laptop's own clock is often wrong).
"""

import base64
import contextlib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeVar

import structlog
from cryptography.hazmat.primitives.asymmetric import ec

from client.core.dns_guard import withheld_patterns
from client.daemon.identity import Controller, Identity
from protocol.control import (
    AccessTokenReply,
    AccessTokenRequest,
    AuthoriseReply,
    AuthoriseRequest,
    DeviceReport,
    Enforced,
    ExplainReply,
    ExplainRequest,
    Goodbye,
    Heartbeat,
    Hello,
    Message,
    PushSnapshot,
    Revoked,
    SignOut,
    Welcome,
)
from protocol.control_keys import KeysChanged
from protocol.control_requests import AccessRequests, AskedFor, ListRequests, RequestAccess, WithdrawRequest
from protocol.direct import DirectAddress, parse_all_untrusted
from protocol.errors import OstiaryError, RefusedError, RemoteError, RemoteProtocolError
from protocol.ids import ConnectorId, ResourceId, Revision
from protocol.reasons import Reason, reason_from_code
from protocol.tokens.claims import Access, Authorisation, Snapshot
from protocol.tokens.keys import VerificationKeys, public_jwk
from protocol.tokens.verify import verify_access, verify_authorisation, verify_snapshot
from protocol.version import PROTOCOL, SOFTWARE
from runtime.addresses import AddressMemory
from runtime.agent_link import AgentLink, LinkState
from runtime.controller_clock import ControllerClock
from runtime.controllers import Controllers
from runtime.enrolment import make_assertion

M = TypeVar("M", bound=Message)

STANDING_REASONS: Final = frozenset(
    {
        Reason.SESSION_ENDED,
        Reason.DEVICE_REVOKED,
        Reason.USER_DISABLED,
        Reason.SERVICE_ACCOUNT_DISABLED,
        Reason.SIGN_IN_REQUIRED,
        Reason.TOKEN_KEY_UNKNOWN,
    }
)
"""The controller refuses this device as such: nothing works before somebody signs in again."""

NAME_MAX: Final = 128
"""Characters of a connector's name that are kept."""
BACK_SOON_S: Final = 3.0
"""A question that needs the controller waits so long for a connection that has just ended."""

_log = structlog.get_logger(__name__)


class ControlLink:
    """One identity's link. ``run`` it in a scope; make a new one for another identity.

    Args:
        controller: whom to connect to.
        identity: who we are.
        key: the device's key.
        clock: local time; the corrected one is ``self.clock``.
        hostname: shown to administrators.
        enforced: gives the epoch and revision in force for Hello.
        on_snapshot: takes a verified snapshot.
        on_keys: takes the controller's current keys, and its Welcome when they came with one.
        on_change: connection came or went.
        on_standing: the controller ended this device's standing for this reason.
        sock_mark: SO_MARK of our sockets.
        known: the addresses of the controller.
        resolved: what their names resolved to lately.
    """

    def __init__(
        self,
        controller: Controller,
        identity: Identity,
        key: ec.EllipticCurvePrivateKey,
        clock: ControllerClock,
        *,
        hostname: str,
        enforced: Callable[[], tuple[int, Revision]],
        on_snapshot: Callable[[Snapshot], None],
        on_keys: Callable[[VerificationKeys, Welcome | None], None],
        on_change: Callable[[], None],
        on_standing: Callable[[Reason], None],
        flow_count: Callable[[], tuple[int, int]],
        sock_mark: int | None,
        known: Controllers | None = None,
        resolved: AddressMemory | None = None,
    ) -> None:
        self.clock = clock
        self.keys = identity.keys
        self.controller = controller
        self.identity = identity
        self.relay_context = controller.relay_context()
        self.connector_names: dict[ConnectorId, str] = {}
        """Of those that were in an authorisation, for people to read."""
        self.direct: dict[ConnectorId, tuple[DirectAddress, ...]] = {}
        """Where connectors listen themselves, as the last authorisations that named them said."""
        self.last_contact = clock.monotonic()
        """When the controller was last heard, or when this link began to look for it (C24)."""
        self._key = key
        self._hostname = hostname
        self._enforced = enforced
        self._on_snapshot = on_snapshot
        self._on_keys = on_keys
        self._on_change = on_change
        self._on_standing = on_standing
        self._flow_count = flow_count
        self._facts: Mapping[str, str] = {}
        self._link = self.carrier = AgentLink(
            controller.url,
            controller.context(),
            assertion=lambda: make_assertion(identity.device, controller.url, key, clock.wall()),
            hello=self._hello,
            heartbeat=self._heartbeat,
            on_message=self._receive,
            clock=clock.base,
            on_connected=self._connected,
            on_lost=self._lost,
            sock_mark=sock_mark,
            known=known,
            resolved=resolved,
        )

    @property
    def state(self) -> LinkState:
        """Of the connection."""
        return self._link.state

    @property
    def controllers(self) -> Controllers:
        """The addresses of the controller."""
        return self._link.controllers

    @property
    def connected(self) -> bool:
        """Whether the controller is there."""
        return self._link.state.connected

    async def run(self) -> None:
        """Keeps the connection for ever."""
        await self._link.run()

    def away_s(self) -> float:
        """Returns for how long the controller has not been heard; 0 while it is connected."""
        if self.connected:
            self.last_contact = max(self.last_contact, self._link.state.last_contact)
            return 0.0
        return max(0.0, self.clock.monotonic() - max(self.last_contact, self._link.state.last_contact))

    def synchronise(self) -> None:
        """Takes the measured offset of the controller's clock; call it every second or so."""
        self._learn(fresh=False)

    def network_changed(self) -> None:
        """Addresses or routes are others now, or the host has slept: whatever was connected is made anew."""
        self._link.network_changed()

    async def authorise(self, resource: ResourceId) -> Authorisation:
        """Asks which paths lead to ``resource`` now (C11).

        Raises:
            RefusedError: the controller said no.
            RemoteError: CONTROLLER_UNREACHABLE, TIMEOUT, or a TOKEN_* reason for an answer that does not verify.
        """
        await self._back_soon()
        reply = await self._request(AuthoriseRequest(self._link.next_id(), resource), AuthoriseReply)
        token = _granted(reply.token, reply.reason)
        found = verify_authorisation(
            token, keys=self.keys, issuer=self.identity.issuer, device=self.identity.device, now=self.clock.wall()
        )
        if found.resource != resource:
            raise RemoteProtocolError("the authorisation is for another resource")
        known = {path.connector for path in found.paths}
        for path in found.paths:
            self.direct[path.connector] = parse_all_untrusted(reply.direct.get(path.connector, ()))
        self.connector_names |= {ConnectorId(con): name[:NAME_MAX] for con, name in reply.names.items() if con in known}
        return found

    async def access(self, connector: ConnectorId) -> Access:
        """Asks for an access token for ``connector``, bound to the device's key (C15). Raises as ``authorise``."""
        await self._back_soon()
        request = AccessTokenRequest(self._link.next_id(), connector, public_jwk(self._key))
        reply = await self._request(request, AccessTokenReply)
        access = verify_access(
            _granted(reply.token, reply.reason),
            keys=self.keys,
            issuer=self.identity.issuer,
            connector=connector,
            now=self.clock.wall(),
        )
        if access.device != self.identity.device or access.jwk != public_jwk(self._key):
            raise RemoteProtocolError("the access token is not this device's")
        return access

    async def explain(self, host: str, transport: str, port: int | None) -> ExplainReply:
        """Asks why something may or may not be reached."""
        return await self._request(ExplainRequest(self._link.next_id(), host, transport, port), ExplainReply)

    async def request_access(self, target: str, reason: str, *, port: int | None, duration_s: int | None) -> AskedFor:
        """Asks for access in the user's name. Raises as ``authorise``."""
        reply = await self._ask(RequestAccess(self._link.next_id(), target, reason, port, duration_s))
        return _only(reply)

    async def withdraw_request(self, request: str) -> AskedFor:
        """Takes a request back. Raises as ``authorise``."""
        return _only(await self._ask(WithdrawRequest(self._link.next_id(), request)))

    async def list_requests(self) -> tuple[AskedFor, ...]:
        """What the user asked for, newest first. Raises as ``authorise``."""
        return await self._ask(ListRequests(self._link.next_id()))

    def say_facts(self, facts: Mapping[str, str]) -> None:
        """Says how this device is set up (``protocol.device_facts``), now if connected, and with each Hello from now on."""
        self._facts = facts
        if self._link.state.connected:
            self._link.send(DeviceReport(facts))

    def confirm(self, snapshot: Snapshot) -> None:
        """Tells the controller that this snapshot is enforced from now on."""
        digest = hashlib.sha256(snapshot.token.encode()).digest()
        text = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        self._link.send(Enforced(int(snapshot.epoch), snapshot.revision, text))

    async def sign_out(self) -> None:
        """Ends the session at the controller, if it is there."""
        if self._link.send(SignOut()):
            await self._link.flush()

    async def say_goodbye(self) -> None:
        """Says that this daemon ends on purpose."""
        if self._link.send(Goodbye(Reason.SHUTTING_DOWN.code)):
            await self._link.flush()

    def verify_snapshot(self, token: str) -> Snapshot:
        """Verifies a snapshot for this device (C7). Raises RemoteError with a TOKEN_* reason."""
        identity = self.identity
        return verify_snapshot(
            token, keys=self.keys, issuer=identity.issuer, device=identity.device, now=self.clock.wall()
        )

    # From the link

    def _hello(self) -> Hello:
        epoch, revision = self._enforced()
        return Hello(
            protocol=PROTOCOL,
            software=SOFTWARE,
            clock_ms=round(self.clock.base.wall() * 1000),
            epoch=epoch,
            revision=revision,
            hostname=self._hostname,
            facts=self._facts,
        )

    def _heartbeat(self, clock_ms: int, echo_ms: int | None) -> Heartbeat:
        flows, tunnels = self._flow_count()
        return Heartbeat(clock_ms, echo_ms, flows=flows, tunnels=tunnels)

    def _connected(self, welcome: Welcome) -> None:
        self.last_contact = self.clock.monotonic()
        self._take_keys(welcome.jwks, welcome)
        self._learn(fresh=True)
        self._on_change()

    def _take_keys(self, jwks: Mapping[str, object], welcome: Welcome | None) -> None:
        try:
            self.keys = VerificationKeys.from_jwks_untrusted(jwks)
        except RemoteProtocolError as exc:
            _log.warning("controller.keys_malformed", detail=exc.detail)
        else:
            self._on_keys(self.keys, welcome)

    def _learn(self, *, fresh: bool) -> None:
        offset_ms = self._link.state.clock_offset_ms
        if offset_ms is not None and self.connected:
            self.clock.learn(offset_ms / 1000, fresh=fresh)

    def _lost(self, error: OstiaryError) -> None:
        self.last_contact = max(self.last_contact, self._link.state.last_contact)
        if isinstance(error, RefusedError) and error.reason in STANDING_REASONS:
            self._on_standing(error.reason)
        self._on_change()

    def _receive(self, message: Message) -> None:
        match message:
            case PushSnapshot(token, withheld):
                try:
                    snapshot = self.verify_snapshot(token)
                except RemoteError as error:
                    _log.error("snapshot.refused", reason=error.reason.code, detail=error.detail)
                else:
                    self._on_snapshot(replace(snapshot, withheld=withheld_patterns(withheld)))
            case KeysChanged(jwks):
                self._take_keys(jwks, None)
            case Revoked(reason):
                self._on_standing(reason_from_code(reason))

    async def _back_soon(self) -> None:
        """A connection that ended a moment ago, as it does when this host moves, is most likely back in another (F-17)."""
        grace = BACK_SOON_S - self.away_s()
        if not self.connected and grace > 0:
            with contextlib.suppress(OstiaryError):
                await self._link.wait_connected(deadline_s=grace)

    async def _ask(self, message: Message) -> tuple[AskedFor, ...]:
        reply = await self._request(message, AccessRequests)
        if reply.reason is not None:
            raise RefusedError(reason_from_code(reply.reason), "said by the controller")
        return reply.requests

    async def _request(self, message: Message, expected: type[M]) -> M:
        reply = await self._link.request(message)
        if not isinstance(reply, expected):
            raise RemoteProtocolError(f"the controller answered {message.TYPE} with {reply.TYPE}")
        return reply


def _only(requests: tuple[AskedFor, ...]) -> AskedFor:
    if len(requests) != 1:
        raise RemoteProtocolError("the controller answered about another number of requests than one")
    return requests[0]


def _granted(token: str | None, reason: str | None) -> str:
    if token is None:
        raise RefusedError(Reason.FORBIDDEN if reason is None else reason_from_code(reason), "said by the controller")
    return token
