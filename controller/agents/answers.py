"""Answers to what agents ask, each evaluated against the policy of this moment (C11, C15)."""

from collections.abc import Callable

from controller.agents.authentication import Agent
from controller.agents.paths import direct_ways, paths_to
from controller.agents.presence import Presence
from controller.domain.evaluate import Explanation, Subject, explain, may_reach, subject_of_device
from controller.domain.log import Head
from controller.domain.model import SubjectKind
from controller.domain.state import PolicyState
from controller.publish import Hub, Signer
from protocol.acl.model import Deny, Permit, Request, Transport
from protocol.acl.names import normalise_name, parse_address
from protocol.control import (
    AccessTokenReply,
    AccessTokenRequest,
    AuthoriseReply,
    AuthoriseRequest,
    ExplainReply,
    ExplainRequest,
)
from protocol.errors import LocalError, OstiaryError, RefusedError
from protocol.ids import DeviceId, GroupId, ServiceAccountId
from protocol.reasons import Reason

Names = Callable[[str], str]
"""The name to show for a user id."""


class Answerer:
    """Answers clients. Everything here is quick and synchronous: no answer mixes two states of the policy."""

    def __init__(self, hub: Hub, signer: Signer, presence: Presence) -> None:
        self._hub = hub
        self._signer = signer
        self._presence = presence

    def authorise(self, agent: Agent, request: AuthoriseRequest, now: float) -> AuthoriseReply:
        """Which paths lead to the resource (C11)."""
        head = self._hub.head
        try:
            subject = self._subject(head, agent, now)
            source = self._hub.place_of(subject.device)
            entry = may_reach(head.state, subject.device, request.resource, now, source=source)
            if isinstance(entry, Deny):
                raise RefusedError(entry.reason)
            hops = paths_to(head.state, self._presence, entry.resource.network, subject.device, now)
            if not hops:
                raise RefusedError(Reason.NO_CONNECTOR)
            token = self._signer.authorisation(head, subject, request.resource, hops, now)
        except OstiaryError as error:
            return AuthoriseReply(request.id, reason=error.reason.code)
        names: dict[str, str] = {hop.connector.id: hop.connector.name for hop in hops}
        return AuthoriseReply(request.id, token=token, names=names, direct=direct_ways(self._presence, hops))

    def access(self, agent: Agent, request: AccessTokenRequest, now: float) -> AccessTokenReply:
        """An access token for a connector, bound to the device's registered key and to no other (C15, T-38)."""
        head = self._hub.head
        try:
            subject = self._subject(head, agent, now)
            connector = head.state.connectors.get(request.connector)
            if connector is None:
                raise RefusedError(Reason.NO_CONNECTOR)
            if dict(request.jwk) != agent.key.to_jwk():
                raise RefusedError(Reason.PROOF_INVALID, "the key is not the device's")
            floor = self._hub.not_before(subject.device)
            source = self._hub.place_of(subject.device)
            token = self._signer.access(head, subject, connector, request.jwk, now, not_before=floor, source=source)
        except OstiaryError as error:
            return AccessTokenReply(request.id, reason=error.reason.code)
        return AccessTokenReply(request.id, token=token)

    def explain(self, agent: Agent, request: ExplainRequest, now: float) -> Explanation:
        """Why the client may, or may not, reach something; ``explain_reply`` puts names into it."""
        state = self._hub.head.state
        try:
            wanted = _request(request)
        except (LocalError, ValueError):
            return Explanation(Deny(Reason.INVALID_INPUT))
        device = DeviceId(agent.id)
        return explain(state, device, wanted, now, source=self._hub.place_of(device))

    def _subject(self, head: Head, agent: Agent, now: float) -> Subject:
        subject = subject_of_device(head.state, DeviceId(agent.id), now)
        if isinstance(subject, Deny):
            raise RefusedError(subject.reason)
        return subject


def people_in(explanation: Explanation) -> tuple[str, ...]:
    """The users whose names the reply needs."""
    via = (subject.id for subject in explanation.via if subject.kind is SubjectKind.USER)
    return (*via, *explanation.ask)


def explain_reply(state: PolicyState, request_id: int, explanation: Explanation, names: Names) -> ExplainReply:
    """Makes the reply: names of groups and service accounts come from the policy, of people from ``names``."""
    decision = explanation.decision
    ask = tuple(names(user) for user in explanation.ask)
    if isinstance(decision, Permit):
        return ExplainReply(
            request_id,
            allowed=True,
            resource=decision.entry.resource.id,
            resource_name=decision.entry.resource.name,
            grants=decision.entry.grants,
            via=tuple(_name(state, subject.kind, subject.id, names) for subject in explanation.via),
            revision=state.position,
        )
    known = state.resources.get(decision.resource) if decision.resource is not None else None
    return ExplainReply(
        request_id,
        allowed=False,
        reason=decision.reason.code,
        resource=decision.resource,
        resource_name=known.name if known is not None else "",
        ask=ask,
        revision=state.position,
        missing=tuple(failure.detail for failure in explanation.missing),
        changes_at=explanation.changes_at,
    )


def _name(state: PolicyState, kind: SubjectKind, subject: str, names: Names) -> str:
    match kind:
        case SubjectKind.GROUP:
            group = state.groups.get(GroupId(subject))
            return group.name if group is not None else subject
        case SubjectKind.SERVICE_ACCOUNT:
            account = state.service_accounts.get(ServiceAccountId(subject))
            return account.name if account is not None else subject
    return names(subject)


def _request(request: ExplainRequest) -> Request:
    transport = Transport(request.transport)
    port = None if transport is Transport.ICMP else request.port
    try:
        return Request(parse_address(request.host), transport, port)
    except LocalError:
        return Request(normalise_name(request.host), transport, port)
