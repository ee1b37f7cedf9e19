"""One agent's WebSocket after authentication: reads, answers, pushes, and ends it (protocol.control).

Messages are answered in the turn of the loop in which they were read, and pushes are written when the hub says that there is
something and the socket can take it: no task of this connection has to wake up for either. What waits for the database is
a task's, which lives while there is any; so a slow database does not make a living agent look silent.
"""

import asyncio
from collections import deque
from typing import Final

import structlog

from controller.agents.agent_socket import AgentSocket
from controller.agents.answers import Answerer, explain_reply, people_in
from controller.agents.authentication import Agent
from controller.agents.destination_tests import DestinationTests
from controller.agents.device_facts import FactsRecorder
from controller.agents.errands import OF_CLIENTS, OF_CONNECTORS, Errands
from controller.agents.journal import Journal
from controller.agents.pace import heartbeat_interval
from controller.agents.presence import Presence
from controller.agents.record_intake import RecordIntake
from controller.agents.tally import Tally
from controller.agents.verdicts import allowed_flows
from controller.domain.commands import EndSession, RecordAgentMisbehaviour
from controller.identity.rate_limit import RateLimiter
from controller.publish import AgentKind, Attachment, Hub
from controller.store import Store, credentials
from protocol.control import (
    AccessTokenRequest,
    AuthoriseRequest,
    DeviceReport,
    Enforced,
    ExplainRequest,
    Goodbye,
    Heartbeat,
    LiveFlows,
    LiveVerdict,
    Message,
    Records,
    RecordsAccepted,
    Revoked,
    SignOut,
)
from protocol.control_codec import encode, parse_message_untrusted
from protocol.control_tests import DestinationTested
from protocol.errors import OstiaryError, RefusedError, RemoteError, RemoteProtocolError
from protocol.ids import ConnectorId, DeviceId, Epoch, FlowId
from protocol.limits import AGENT_STALL_S, HEARTBEAT_INTERVAL_S
from protocol.reasons import Reason
from runtime.clock import Clock
from runtime.entropy import new_id
from runtime.tasks import TaskScope

REPLIES_MAX: Final = 1024
"""Replies waiting for an agent that asks but does not read; beyond it the connection ends."""
SLOW_MAX: Final = 32
"""Messages waiting for the database. Records beyond it are not acknowledged and so come again."""
PAUSE_AFTER_OFFENCE_S: Final = 30.0

_CLIENT_ONLY = (AuthoriseRequest, AccessTokenRequest, DeviceReport, ExplainRequest, SignOut, *OF_CLIENTS)
_CONNECTOR_ONLY = (LiveFlows, DestinationTested, *OF_CONNECTORS)

_log = structlog.get_logger(__name__)


class MisbehaviourError(RemoteProtocolError):
    """The agent spoke for another, or as one of the other kind: it leaves a trace in the log (T-9, T-17)."""


class Connection:
    """Made by the endpoint for each greeted agent; ``serve`` runs until the connection ends."""

    def __init__(
        self,
        socket: AgentSocket,
        agent: Agent,
        *,
        store: Store,
        hub: Hub,
        answerer: Answerer,
        presence: Presence,
        limiter: RateLimiter,
        facts: FactsRecorder,
        errands: Errands,
        records: RecordIntake,
        clock: Clock,
        tally: Tally,
        journal: Journal,
        tests: DestinationTests,
    ) -> None:
        self._socket = socket
        self._agent = agent
        self._store = store
        self._hub = hub
        self._answerer = answerer
        self._presence = presence
        self._limiter = limiter
        self._facts = facts
        self._errands = errands
        self._records = records
        self._clock = clock
        self._tally = tally
        self._journal = journal
        self._tests = tests
        self._interval_s = HEARTBEAT_INTERVAL_S
        self._suspicious = False
        self._alive: set[FlowId] = set()
        self._attachment: Attachment | None = None
        self._replies: deque[Message] = deque()
        self._slow: deque[Message] = deque()
        self._working = False
        self._deaf = False
        """Nothing more is taken from the agent: its last message is on its way."""
        self._pump_due = False
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._silence: asyncio.TimerHandle | None = None
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._scope = TaskScope(f"agent {agent.id}")

    async def serve(self, attachment: Attachment) -> None:
        """Runs the connection until either side ends it. Never raises for what the agent does."""
        self._attachment = attachment
        async with self._scope:
            self._listen_for_silence()
            self._socket.listen(self)
            self.wake()
            try:
                await self._over
            finally:
                self._deaf = True
                self._attachment = None
                if self._silence is not None:
                    self._silence.cancel()

    # --- writing -----------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """There is something to write: it is made and written in the next turn of the loop."""
        if not self._pump_due:
            self._pump_due = True
            self._loop.call_soon(self._pump)

    def drained(self) -> None:
        """The socket takes more again."""
        self.wake()

    def _pump(self) -> None:
        """Sends cut-offs, then tokens, then replies, while the socket takes them; ends behind a last message."""
        self._pump_due = False
        try:
            while self._socket.writable and not self._over.done() and (message := self._next()) is not None:
                self._socket.send(encode(message))
                if isinstance(message, Goodbye | Revoked):
                    _log.info("agent.ended", agent=self._agent.id, reason=message.reason)
                    self._socket.close()
        except Exception as error:  # noqa: BLE001 - nobody called who could take it: it is the connection's own end
            if not self._over.done():
                self._over.set_exception(error)

    def _next(self) -> Message | None:
        if self._attachment is None:
            return None
        message = self._hub.take(self._attachment)
        if message is not None:
            return message
        return self._replies.popleft() if self._replies else None

    def order(self, message: Message) -> None:
        """Sends the agent something that it did not ask for. Raises RefusedError(LIMIT_EXCEEDED)."""
        self._reply(message)

    def _reply(self, message: Message) -> None:
        """Answers at once, unless something stands before it."""
        if self._socket.writable and not self._pump_due and not self._replies:
            self._socket.send(encode(message))
            return
        if len(self._replies) >= REPLIES_MAX:
            raise RefusedError(Reason.LIMIT_EXCEEDED, "the agent does not read its replies")
        self._replies.append(message)
        self.wake()

    def gone(self, cause: str) -> None:
        """The connection is over."""
        if not self._over.done():
            _log.info("agent.gone", agent=self._agent.id, cause=cause)
            self._over.set_result(None)

    def _end(self, error: Exception) -> None:
        """Fails this one connection closed, telling the agent the reason."""
        self._deaf = True
        if self._attachment is None:
            return
        reason, pause = Reason.INTERNAL, 0.0
        if isinstance(error, OstiaryError):
            reason = error.reason
            pause = PAUSE_AFTER_OFFENCE_S if isinstance(error, RemoteProtocolError) else 1.0
            _log.warning("agent.connection_failed", agent=self._agent.id, reason=reason.code, detail=error.detail)
        else:
            _log.error("agent.connection_crashed", agent=self._agent.id, exc_info=error)
        self._attachment.end(Goodbye(reason.code, retry_after_s=pause))

    # --- reading -----------------------------------------------------------------------------------------------------

    def heard(self, text: str) -> None:
        """Handles one message. What the agent does wrong ends its connection."""
        if self._deaf:
            return
        self._heard_at = self._loop.time()
        try:
            self._limiter.spend(self._agent.id, self._clock.monotonic())
            message = parse_message_untrusted(text)
            if message is not None:
                self._handle(message)
        except MisbehaviourError as error:
            self._deaf = True
            self._scope.spawn(self._misbehaved(error), name="trace", on_crash=self._end)
        except Exception as error:  # noqa: BLE001 - one connection's failure is no other's
            self._end(error)

    def broken(self, error: RemoteProtocolError) -> None:
        """The agent sent what is no message."""
        if not self._deaf:
            self._end(error)

    def _listen_for_silence(self) -> None:
        """Looks again when the agent would have been silent for too long; nothing is done for a message but to note its time."""
        deadline_s = AGENT_STALL_S * self._interval_s / HEARTBEAT_INTERVAL_S
        left = self._heard_at + deadline_s - self._loop.time()
        if left > 0:
            self._silence = self._loop.call_later(left, self._listen_for_silence)
        elif not self._deaf:
            self._end(RemoteError(Reason.PEER_SILENT, f"nothing for {deadline_s:g} s"))

    def _handle(self, message: Message) -> None:
        now = self._clock.wall()
        foreign = _CONNECTOR_ONLY if self._agent.kind is AgentKind.CLIENT else _CLIENT_ONLY
        if isinstance(message, foreign):
            raise MisbehaviourError(f"a {self._agent.kind.value} sent {message.TYPE}")
        match message:
            case Heartbeat():
                self._presence.heard(self._agent.id, message, now)
                self._reply(self._echo(message, now))
            case Enforced():
                self._enforced(message)
            case AuthoriseRequest():
                self._reply(self._answerer.authorise(self._agent, message, now))
            case AccessTokenRequest():
                self._reply(self._answerer.access(self._agent, message, now))
            case LiveFlows():
                self._judge(message, now)
            case DestinationTested():
                self._tests.answered(self._agent.id, message)
            case Records():
                if self._records.admits(self._agent, message):
                    self._queue(message)
            case ExplainRequest() | SignOut() | DeviceReport():
                self._queue(message)
            case _ if isinstance(message, OF_CLIENTS + OF_CONNECTORS):
                self._queue(message)
            case Goodbye(reason):
                _log.info("agent.said_goodbye", agent=self._agent.id, reason=reason)
                self._socket.close()

    def _echo(self, message: Heartbeat, now: float) -> Heartbeat:
        self._interval_s = heartbeat_interval(self._agent.kind, len(self._presence.here()))
        slower = self._interval_s if self._interval_s > HEARTBEAT_INTERVAL_S else 0.0
        return Heartbeat(clock_ms=round(now * 1000), echo_ms=message.clock_ms, interval_s=slower)

    def _enforced(self, message: Enforced) -> None:
        """Takes the agent's word for what it was really sent, and for nothing else."""
        assert self._attachment is not None
        agent, epoch, revision = self._agent.id, Epoch(message.epoch), message.revision
        match self._attachment.was_sent(revision, message.digest):
            case True:
                self._hub.acknowledge(agent, epoch, revision)
                self._journal.acknowledged(agent, epoch, revision, message.digest)
            case False:
                self._tally.digests_wrong += 1
                _log.error("agent.wrong_digest", agent=agent, revision=revision, reason=Reason.DIGEST_MISMATCH.code)
                if not self._suspicious:
                    self._suspicious = True
                    self._scope.spawn(self._leave_trace("wrong_digest"), name="trace", on_crash=self._end)

    def _judge(self, message: LiveFlows, now: float) -> None:
        state = self._hub.head.state
        connector = state.connectors.get(ConnectorId(self._agent.id))
        allowed: tuple[FlowId, ...] = ()
        if connector is not None:
            allowed = allowed_flows(state, connector, message.flows, now, self._hub.place_of)
        _log.info("agent.live_flows", agent=self._agent.id, flows=len(message.flows), allowed=len(allowed))
        self._reply(LiveVerdict(message.id, state.position, allowed))
        self._alive.update(flow.flow for flow in message.flows)
        if not message.more:
            alive, self._alive = self._alive, set()
            self._scope.spawn(self._records.close_lost(self._agent, alive), name="lost-flows", on_crash=self._end)

    def _queue(self, message: Message) -> None:
        if len(self._slow) >= SLOW_MAX:
            if isinstance(message, Records | DeviceReport):
                return
            raise RefusedError(Reason.RATE_LIMITED, "too many requests at once")
        self._slow.append(message)
        if not self._working:
            self._working = True
            self._scope.spawn(self._work(), name="work", on_crash=self._end)

    # --- what waits for the database ---------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Ends when there is nothing to do; the next message starts it again."""
        while self._slow and not self._deaf:
            message = self._slow.popleft()
            try:
                match message:
                    case Records():
                        await self._store_records(message)
                    case ExplainRequest():
                        await self._explain(message)
                    case SignOut():
                        await self._sign_out()
                    case DeviceReport(facts):
                        await self._facts.record(DeviceId(self._agent.id), facts)
                    case _ if (answer := await self._errands.serve(self._agent, message)) is not None:
                        self._reply(answer)
            except OstiaryError as error:
                if error.reason is not Reason.UNAVAILABLE:
                    raise
                # The database is away: the agent asks again, the connection lives on (C24).
                _log.warning("agent.not_served", agent=self._agent.id, message=message.TYPE, detail=error.detail)
        self._working = False

    async def _store_records(self, message: Records) -> None:
        try:
            await self._records.store(self._agent, message)
        except RemoteProtocolError as error:
            await self._misbehaved(error)
            return
        self._reply(RecordsAccepted(message.id))

    async def _explain(self, message: ExplainRequest) -> None:
        explanation = self._answerer.explain(self._agent, message, self._clock.wall())
        async with self._store.read() as connection:
            people = await credentials.get_many(connection, people_in(explanation))
        self._reply(
            explain_reply(
                self._hub.head.state,
                message.id,
                explanation,
                lambda user: people[user].name if user in people else user,
            )
        )

    async def _sign_out(self) -> None:
        """Ends the session; the hub then tells this and every other connection of the device."""
        session = self._hub.head.state.session_of.get(DeviceId(self._agent.id))
        if session is None:
            return
        actor, now = self._agent.id, self._clock.wall()
        async with self._store.write(actor=actor, request_id=new_id("event"), now=now) as unit:
            if session in unit.state.sessions:
                await unit.execute(EndSession(session))

    async def _misbehaved(self, error: RemoteProtocolError) -> None:
        """Leaves a trace in the log and ends the connection (T-9, T-17)."""
        await self._leave_trace("spoke_for_another")
        raise error

    async def _leave_trace(self, cause: str) -> None:
        now = self._clock.wall()
        async with self._store.write(actor="system", request_id=new_id("event"), now=now) as unit:
            await unit.execute(RecordAgentMisbehaviour(self._agent.id, cause))
