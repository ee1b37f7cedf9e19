"""Where agents connect: ``AGENT_PATH``. Authenticates before the WebSocket is accepted, greets, and hands over.

A refusal before the upgrade is an HTTP answer with the reason in a header; an agent without standing is let in far enough
to be told why (Revoked), and no further.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping
from ipaddress import ip_address
from typing import Final

import structlog
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from controller.agents.agent_socket import AgentSocket, take_over
from controller.agents.answers import Answerer
from controller.agents.authentication import Agent, authenticate
from controller.agents.connection import Connection
from controller.agents.destination_tests import DestinationTests
from controller.agents.device_facts import FactsRecorder
from controller.agents.errands import ANNOUNCE_S, Errands
from controller.agents.journal import Journal
from controller.agents.names import Names
from controller.agents.presence import Presence
from controller.agents.record_intake import RecordIntake
from controller.agents.replay import ReplayCache
from controller.agents.shared_replays import SharedReplays
from controller.agents.tally import Tally
from controller.domain.evaluate import Subject, subject_of_device
from controller.domain.state import PolicyState
from controller.identity.failure_log import FailureLog
from controller.identity.rate_limit import RateLimitedError, RateLimiter
from controller.publish import AgentKind, Hub, Signer, verification_keys
from controller.store import Store
from protocol.acl.model import Deny, IPAddress
from protocol.control import Goodbye, Hello, Revoked, Welcome
from protocol.control_codec import encode, parse_message_untrusted
from protocol.errors import OstiaryError, RemoteProtocolError
from protocol.ids import DeviceId, Epoch, ServiceAccountId
from protocol.limits import CLOCK_LEEWAY_S
from protocol.reasons import Reason
from protocol.rendezvous import REASON_HEADER
from protocol.tokens.claims import Assertion
from protocol.version import OLDEST_SUPPORTED, PROTOCOL, SOFTWARE
from runtime.clock import Clock

HELLO_DEADLINE_S: Final = 5.0
CATCH_UP_S: Final = 2.0
"""How long an agent that knows a newer revision than this replica waits for the replica to learn of it."""
FRESHEN_DEADLINE_S: Final = 1.0
FRESHENS_PER_MINUTE: Final = 600
FRESHENS_BURST: Final = 100
MESSAGES_PER_MINUTE: Final = 6_000
MESSAGES_BURST: Final = 2_000
CONNECTS_PER_MINUTE: Final = 30
CONNECTS_BURST: Final = 20

_log = structlog.get_logger(__name__)


class AgentEndpoint:
    """The WebSocket route of one application.

    ``audiences`` returns the names of this controller in assertions; ``announce_s`` is how long a connector waits before it uses
    a key that it has announced; ``addresses`` are told to agents (F-7).
    """

    def __init__(
        self,
        *,
        store: Store,
        hub: Hub,
        signer: Signer,
        presence: Presence,
        clock: Clock,
        audiences: Callable[[], Collection[str]] | None = None,
        announce_s: float = ANNOUNCE_S,
        addresses: tuple[str, ...] = (),
    ) -> None:
        self._store = store
        self._hub = hub
        self._presence = presence
        self._clock = clock
        self._addresses = addresses
        self._audiences = audiences or self._own_names
        self._answerer = Answerer(hub, signer, presence)
        self._replays = ReplayCache()
        self._shared_replays = SharedReplays(store)
        self._freshens = RateLimiter("freshen", per_minute=FRESHENS_PER_MINUTE, burst=FRESHENS_BURST)
        self._refusals = FailureLog()
        self._facts = FactsRecorder(store, clock)
        self._names = Names(store)
        self._jwks_of: object = None
        self._jwks_told: Mapping[str, object] = {}
        self._errands = Errands(store, clock, self._audiences, announce_s=announce_s)
        self.tally = Tally()
        self._records = RecordIntake(store, hub, clock, self.tally)
        self.tests = DestinationTests()
        self.journal = Journal(store, hub, presence, clock)
        self._connects = RateLimiter("connect", per_minute=CONNECTS_PER_MINUTE, burst=CONNECTS_BURST)
        self._messages = RateLimiter("message", per_minute=MESSAGES_PER_MINUTE, burst=MESSAGES_BURST)

    async def serve(self, websocket: WebSocket) -> None:
        """Handles one upgrade request until its connection ends."""
        try:
            agent = await self._authenticate(websocket)
            if agent.switching:
                await self._errands.switch(agent)
        except OstiaryError as error:
            await self._refuse(websocket, error)
            return
        try:
            await websocket.accept()
            socket = take_over(websocket)
        except (ConnectionResetError, WebSocketDisconnect):
            _log.debug("agent.gone_early", agent=agent.id)
            return
        try:
            await self._converse(socket, agent, _address_of(websocket))
        except ConnectionResetError:
            _log.debug("agent.gone_early", agent=agent.id)
        except OstiaryError as error:
            _log.warning("agent.refused", agent=agent.id, reason=error.reason.code, detail=error.detail)
            socket.send(encode(Goodbye(error.reason.code, retry_after_s=1.0)))
        await socket.closed()

    async def _converse(self, socket: AgentSocket, agent: Agent, address: IPAddress | None) -> None:
        hello = parse_message_untrusted(await socket.hear(HELLO_DEADLINE_S))
        if not isinstance(hello, Hello):
            raise RemoteProtocolError("the first message is no Hello")
        if hello.protocol < OLDEST_SUPPORTED:
            raise RemoteProtocolError(f"protocol {hello.protocol}", Reason.VERSION_UNSUPPORTED)
        await self._catch_up(hello)
        standing = self._standing(agent)
        if isinstance(standing, Reason) and await self._freshen():
            standing = self._standing(agent)
        if isinstance(standing, Reason):
            socket.send(encode(Revoked(standing.code)))
            return
        welcome = await self._welcome(hello, standing)
        socket.send(encode(welcome))
        if agent.kind is AgentKind.CLIENT and hello.facts:
            # Before its first snapshot is made, so that what it may reach does not come and go.
            await self._facts.record(DeviceId(agent.id), hello.facts)
        connection = Connection(
            socket,
            agent,
            store=self._store,
            hub=self._hub,
            answerer=self._answerer,
            presence=self._presence,
            limiter=self._messages,
            facts=self._facts,
            errands=self._errands,
            records=self._records,
            clock=self._clock,
            tally=self.tally,
            journal=self.journal,
            tests=self.tests,
        )
        attachment = self._hub.attach(
            agent.id,
            agent.kind,
            agent.key,
            epoch=Epoch(hello.epoch),
            revision=hello.revision,
            welcomed=welcome.revision,
            wake=connection.wake,
            address=address,
        )
        shown = str(address) if address is not None else None
        self._presence.arrived(agent.id, agent.kind, hello, self._clock.wall(), address=shown)
        _log.info("agent.attached", agent=agent.id, kind=agent.kind.value, software=hello.software)
        line = None
        if agent.kind is AgentKind.CONNECTOR:
            line = self.tests.attach(agent.id, connection.order, able=hello.tests)
        try:
            await connection.serve(attachment)
        finally:
            if line is not None:
                self.tests.detach(agent.id, line)
            self._hub.detach(attachment)
            if not self._hub.is_attached(agent.id):
                self._presence.left(agent.id)
            self.journal.left(agent.id)
            _log.info("agent.detached", agent=agent.id)

    async def _authenticate(self, websocket: WebSocket) -> Agent:
        try:
            agent, assertion = self._verified(websocket)
        except OstiaryError as error:
            # One that another replica has just enrolled or registered.
            if error.reason is not Reason.TOKEN_KEY_UNKNOWN or not await self._freshen():
                raise
            agent, assertion = self._verified(websocket)
        # Its own limit comes before the memory that all agents share: one of them must not fill it (D10).
        self._connects.spend(agent.id, self._clock.monotonic())
        self._replays.spend(assertion, self._clock.wall())
        await self._shared_replays.spend(assertion, assertion.expires + CLOCK_LEEWAY_S)
        return agent

    def _verified(self, websocket: WebSocket) -> tuple[Agent, Assertion]:
        header, state = websocket.headers.get("authorization"), self._hub.head.state
        return authenticate(header, state, audiences=self._audiences(), now=self._clock.wall())

    async def _freshen(self) -> bool:
        """Looks whether another replica knows more; limited, because strangers can make us ask."""
        try:
            self._freshens.spend("", self._clock.monotonic())
            return await self._store.freshen(start_s=FRESHEN_DEADLINE_S)
        except OstiaryError as error:
            _log.warning("agent.not_freshened", reason=error.reason.code, detail=error.detail)
            return False

    def _own_names(self) -> Collection[str]:
        state = self._hub.head.state
        return tuple(name for name in (state.issuer, state.public_url) if name)

    def _standing(self, agent: Agent) -> Reason | Subject | None:
        """Why the agent has no standing; else, for a client, whom it acts for."""
        if agent.refused is not None:
            return agent.refused
        if agent.kind is AgentKind.CONNECTOR:
            return None
        subject = subject_of_device(self._hub.head.state, DeviceId(agent.id), self._clock.wall())
        return subject.reason if isinstance(subject, Deny) else subject

    async def _catch_up(self, hello: Hello) -> None:
        """A replica that follows the log a little behind must not offer an agent an older policy (D8)."""
        head = self._hub.head
        if hello.epoch == head.state.epoch and hello.revision > head.position:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CATCH_UP_S):
                    await self._store.feed.wait_beyond(hello.revision - 1)

    async def _welcome(self, hello: Hello, subject: Subject | None) -> Welcome:
        state: PolicyState = self._hub.head.state
        user = subject.owner.id if subject is not None else ""
        return Welcome(
            protocol=min(PROTOCOL, hello.protocol),
            software=SOFTWARE,
            clock_ms=round(self._clock.wall() * 1000),
            epoch=state.epoch,
            revision=state.position,
            jwks=self._jwks(state),
            user=user,
            user_name=await self._name_of(user, state) if user else "",
            session_expires=subject.session_expires if subject is not None else None,
            controllers=self._addresses,
        )

    def _jwks(self, state: PolicyState) -> Mapping[str, object]:
        """The keys as every Welcome tells them; made again when they have changed."""
        if state.signing_keys is not self._jwks_of:
            self._jwks_of, self._jwks_told = state.signing_keys, verification_keys(state).to_jwks()
        return self._jwks_told

    async def _name_of(self, user: str, state: PolicyState) -> str:
        account = state.service_accounts.get(ServiceAccountId(user))
        if account is not None:
            return account.name
        return await self._names.of(user)

    async def _refuse(self, websocket: WebSocket, error: OstiaryError) -> None:
        """Answers the upgrade with 401 or 429; nothing about the agent is said but the reason."""
        self.tally.refused[error.reason.code] += 1
        limited = isinstance(error, RateLimitedError)
        status = 429 if limited or error.reason is Reason.RATE_LIMITED else 401
        headers = {REASON_HEADER: error.reason.code}
        if isinstance(error, RateLimitedError):
            headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
        body = {"type": "about:blank", "title": error.reason.sentence, "status": status, "code": error.reason.code}
        if self._refusals.admit(self._clock.monotonic()):
            omitted = self._refusals.take_omitted()
            _log.warning("agent.not_authenticated", reason=error.reason.code, detail=error.detail, omitted=omitted)
        await websocket.send_denial_response(JSONResponse(body, status, headers, media_type="application/problem+json"))


def _address_of(websocket: WebSocket) -> IPAddress | None:
    """Where the connection comes from; behind a trusted proxy, what that says. None when it cannot be told."""
    try:
        return ip_address(websocket.client.host.partition("%")[0]) if websocket.client is not None else None
    except ValueError:
        return None
