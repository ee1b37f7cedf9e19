"""What agents ask for that changes the log: requests for access, and a connector's next key (C5, F-23).

A refusal is an answer with its reason, a database that is away too.
"""

from collections.abc import Callable, Collection
from typing import Final

import structlog

from controller.agents.authentication import Agent
from controller.domain.commands_connector_keys import AnnounceConnectorKey, RotateConnectorKey
from controller.domain.commands_requests import WithdrawAccessRequest
from controller.domain.evaluate import subject_of_device
from controller.domain.model import PublicKey, SubjectKind
from controller.domain.request_model import AccessRequest
from controller.domain.state import PolicyState
from controller.identity.rate_limit import RateLimiter
from controller.publish import AgentKind
from controller.store import Store, access_requests
from controller.store.access_requests import NO_TEXTS, RequestTexts
from protocol.acl.model import Deny
from protocol.control import Message
from protocol.control_keys import AnnounceKey, KeyAnnounced
from protocol.control_requests import AccessRequests, AskedFor, ListRequests, RequestAccess, WithdrawRequest
from protocol.errors import LocalError, OstiaryError, RefusedError, RemoteError
from protocol.ids import AccessRequestId, ConnectorId, DeviceId, UserId
from protocol.limits import ACCESS_LIFE_S, CLOCK_LEEWAY_S
from protocol.reasons import Reason
from protocol.tokens.keys import key_from_jwk_untrusted, pin_of
from protocol.tokens.verify import verify_assertion, verify_rotation
from runtime.clock import Clock
from runtime.entropy import new_id

OF_CLIENTS: Final = (RequestAccess, WithdrawRequest, ListRequests)
OF_CONNECTORS: Final = (AnnounceKey,)

ANNOUNCE_S: Final = ACCESS_LIFE_S + 2 * CLOCK_LEEWAY_S
"""From the announcement of a key to its use: then no token lives that does not name it."""
LISTED_MAX: Final = 50
ERRANDS_PER_MINUTE: Final = 6
ERRANDS_BURST: Final = 30
"""Every one may leave an event in the log, for ever."""

_log = structlog.get_logger(__name__)


class Errands:
    """Serves agents that are authenticated. ``audiences`` returns the names of this controller in assertions."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        audiences: Callable[[], Collection[str]],
        *,
        announce_s: float = ANNOUNCE_S,
    ) -> None:
        self._store = store
        self._clock = clock
        self._audiences = audiences
        self._announce_s = announce_s
        self._limiter = RateLimiter("request", per_minute=ERRANDS_PER_MINUTE, burst=ERRANDS_BURST)

    async def serve(self, agent: Agent, message: Message) -> Message | None:
        """Returns the answer; None for a message that is no errand."""
        try:
            match message:
                case AnnounceKey():
                    return await self._announce(agent, message)
                case RequestAccess():
                    return await self._request(agent, message)
                case WithdrawRequest():
                    return await self._withdraw(agent, message)
                case ListRequests():
                    return await self._list(agent, message)
        except OstiaryError as error:
            if isinstance(error, LocalError) and error.reason is not Reason.UNAVAILABLE:
                raise
            _log.info(
                "errand.refused", agent=agent.id, errand=message.TYPE, reason=error.reason.code, detail=error.detail
            )
            assert isinstance(message, OF_CLIENTS + OF_CONNECTORS)
            answer = KeyAnnounced if isinstance(message, AnnounceKey) else AccessRequests
            return answer(message.id, reason=error.reason.code)
        return None

    async def switch(self, agent: Agent) -> None:
        """A connector said who it is with its next key: that one counts from now on. Raises OstiaryError."""
        now = self._clock.wall()
        async with self._store.write(actor=agent.id, request_id=new_id("event"), now=now) as unit:
            await unit.execute(RotateConnectorKey(ConnectorId(agent.id), agent.key, int(now)))

    # --- keys of connectors ------------------------------------------------------------------------------------------

    async def _announce(self, agent: Agent, message: AnnounceKey) -> KeyAnnounced:
        """Takes a key that the one in use vouches for, and whose holder is here to prove it."""
        now = self._clock.wall()
        self._limiter.spend(agent.id, self._clock.monotonic())
        audience = self._audience_of(message, agent, now)
        rotation = verify_rotation(
            message.statement, key=key_from_jwk_untrusted(agent.key.to_jwk()), audience=audience, now=now
        )
        new = key_from_jwk_untrusted(rotation.jwk)
        proven = verify_assertion(message.proof, key=new, audience=audience, now=now)
        if not rotation.agent == proven.agent == agent.id or agent.kind is not AgentKind.CONNECTOR:
            raise RefusedError(Reason.TOKEN_ISSUER, "a connector announces its own key only")
        command = AnnounceConnectorKey(ConnectorId(agent.id), PublicKey.from_jwk(rotation.jwk), pin_of(new))
        async with self._store.write(actor=agent.id, request_id=new_id("event"), now=now) as unit:
            await unit.execute(command)
        return KeyAnnounced(message.id, wait_s=float(self._announce_s))

    def _audience_of(self, message: AnnounceKey, agent: Agent, now: float) -> str:
        """Under which of our names the connector knows us. Raises RemoteError."""
        key = key_from_jwk_untrusted(agent.key.to_jwk())
        for audience in self._audiences():
            try:
                verify_rotation(message.statement, key=key, audience=audience, now=now)
            except RemoteError as error:
                if error.reason is not Reason.TOKEN_AUDIENCE:
                    raise
            else:
                return audience
        raise RefusedError(Reason.TOKEN_AUDIENCE, "the statement is for another controller")

    # --- requests for access -----------------------------------------------------------------------------------------

    async def _request(self, agent: Agent, message: RequestAccess) -> AccessRequests:
        now = self._clock.wall()
        user = self._person(agent, now)
        self._limiter.spend(user, self._clock.monotonic())
        async with self._store.write(actor=user, request_id=new_id("event"), now=now) as unit:
            request = await access_requests.ask(
                unit,
                user=user,
                device=DeviceId(agent.id),
                target=message.target,
                reason=message.reason,
                port=message.port,
                duration_s=message.duration_s,
            )
            texts = await access_requests.get_texts(unit.connection, (request.id,))
        return AccessRequests(message.id, (asked_for(request, texts.get(request.id, NO_TEXTS), now),))

    async def _withdraw(self, agent: Agent, message: WithdrawRequest) -> AccessRequests:
        now = self._clock.wall()
        user, request = self._person(agent, now), AccessRequestId(message.request)
        async with self._store.write(actor=user, request_id=new_id("event"), now=now) as unit:
            await unit.execute(WithdrawAccessRequest(request, user, int(now)))
            answered = unit.state.access_requests[request]
            texts = await access_requests.get_texts(unit.connection, (request,))
        return AccessRequests(message.id, (asked_for(answered, texts.get(request, NO_TEXTS), now),))

    async def _list(self, agent: Agent, message: ListRequests) -> AccessRequests:
        now = self._clock.wall()
        user = self._person(agent, now)
        mine = requests_of(self._store.feed.state, user)[:LISTED_MAX]
        async with self._store.read() as connection:
            texts = await access_requests.get_texts(connection, [request.id for request in mine])
        shown = tuple(asked_for(request, texts.get(request.id, NO_TEXTS), now) for request in mine)
        return AccessRequests(message.id, shown)

    def _person(self, agent: Agent, now: float) -> UserId:
        """Whom the device acts for, while it is in good standing."""
        subject = subject_of_device(self._store.feed.state, DeviceId(agent.id), now)
        if isinstance(subject, Deny):
            raise RefusedError(subject.reason)
        if subject.owner.kind is not SubjectKind.USER:
            raise RefusedError(Reason.FORBIDDEN, "a service account asks for nothing; its administrators do")
        return UserId(subject.owner.id)


def requests_of(state: PolicyState, user: UserId) -> list[AccessRequest]:
    """Returns what the user asked for, newest first."""
    mine = (state.access_requests[request] for request in state.requests_of.get(user, ()))
    return sorted(mine, key=lambda request: (request.created_ms, request.id), reverse=True)


def asked_for(request: AccessRequest, texts: RequestTexts, now: float) -> AskedFor:
    """A request as the asker sees it: nothing that tells whether, and as what, the target exists."""
    return AskedFor(
        request=request.id,
        target=request.target,
        port=request.port,
        status=request.status_at(now).value,
        asked=request.created_ms // 1000,
        expires=request.expires,
        duration_s=request.duration_s,
        reason=texts.reason,
        answer=texts.answer,
        granted_until=request.granted_until,
    )
