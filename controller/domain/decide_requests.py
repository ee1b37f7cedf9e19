"""Decisions about requests for access: who asks, who answers, and the grant that comes of it."""

from typing import Final

from controller.domain import commands as c
from controller.domain import commands_requests as r
from controller.domain import events as e
from controller.domain import rules
from controller.domain.decide_people import HANDLERS as PEOPLE
from controller.domain.handlers import Decided, Handlers, about, handles
from controller.domain.model import SubjectKind
from controller.domain.request_model import AccessRequest, RequestStatus
from controller.domain.request_target import parse_target
from controller.domain.rules import RuleBrokenError, fresh, known
from controller.domain.state import PolicyState
from protocol.ids import AccessRequestId, UserId
from protocol.reasons import Reason

HANDLERS: Handlers = {}

OPEN_MAX: Final = 20
"""Open requests of one user: approvers read them all."""
OPEN_S: Final = 7 * 24 * 3600
"""After this a request that nobody answered closes by itself."""
DURATION_MIN_S: Final = 60
DURATION_MAX_S: Final = 90 * 24 * 3600
DURATION_DEFAULT_S: Final = 8 * 3600


@handles(HANDLERS, r.RequestAccess)
def _request(state: PolicyState, command: r.RequestAccess) -> Decided:
    user = known(state.users, command.user, "user")
    if user.disabled:
        raise RuleBrokenError(Reason.USER_DISABLED, f"user {command.user}")
    target = parse_target(command.target)
    if command.port is not None:
        rules.port(command.port)
    if not DURATION_MIN_S <= command.duration_s <= DURATION_MAX_S:
        raise RuleBrokenError(Reason.INVALID_INPUT, f"duration_s: {DURATION_MIN_S} to {DURATION_MAX_S} seconds")
    same = open_request(state, command.user, target, command.port, command.at)
    if same is not None:
        return about(same.id)
    fresh(state, command.request, "access_request")
    if len(open_requests_of(state, command.user, command.at)) >= OPEN_MAX:
        detail = f"{OPEN_MAX} of your requests are open; wait for an answer or withdraw one"
        raise RuleBrokenError(Reason.LIMIT_EXCEEDED, detail)
    resource = command.resource
    if resource is not None:
        known(state.resources, resource, "resource")
    expires = rules.unix_time(command.at, "at") + OPEN_S
    return about(
        command.request,
        e.AccessRequestCreated(
            command.request,
            command.user,
            command.device,
            target,
            command.port,
            resource,
            command.duration_s,
            expires,
        ),
    )


@handles(HANDLERS, r.ApproveAccessRequest)
def _approve(state: PolicyState, command: r.ApproveAccessRequest) -> Decided:
    request = _answerable(state, command.request, command.approver, command.at)
    resource = command.resource or request.resource
    if resource is None:
        raise RuleBrokenError(
            Reason.INVALID_INPUT, "resource: the request names no single resource; say which one is meant"
        )
    if not command.at + DURATION_MIN_S <= command.expires <= command.at + DURATION_MAX_S:
        detail = f"duration_s: access by request lasts {DURATION_MIN_S} to {DURATION_MAX_S} seconds"
        raise RuleBrokenError(Reason.INVALID_INPUT, detail)
    grant = c.CreateGrant(command.grant, SubjectKind.USER, request.user, resource, command.expires, command.policy)
    _, granted = PEOPLE[c.CreateGrant](state, grant)
    approved = e.AccessRequestApproved(request.id, command.approver, command.grant, resource, command.expires)
    return about(request.id, approved, *granted)


@handles(HANDLERS, r.DenyAccessRequest)
def _deny(state: PolicyState, command: r.DenyAccessRequest) -> Decided:
    request = _answerable(state, command.request, command.approver, command.at)
    return about(request.id, e.AccessRequestDenied(request.id, command.approver))


@handles(HANDLERS, r.WithdrawAccessRequest)
def _withdraw(state: PolicyState, command: r.WithdrawAccessRequest) -> Decided:
    request = known(state.access_requests, command.request, "access request")
    if request.user != command.user:
        raise RuleBrokenError(Reason.NOT_FOUND, f"access request {command.request}")
    if request.answer is RequestStatus.WITHDRAWN:
        return about(request.id)
    _require_open(request, command.at)
    return about(request.id, e.AccessRequestWithdrawn(request.id))


def open_requests_of(state: PolicyState, user: UserId, now: float) -> tuple[AccessRequest, ...]:
    """Returns the user's requests that wait for an answer, oldest first."""
    requests = (state.access_requests[item] for item in state.requests_of.get(user, ()))
    waiting = [request for request in requests if request.status_at(now) is RequestStatus.OPEN]
    return tuple(sorted(waiting, key=lambda request: (request.created_ms, request.id)))


def open_request(state: PolicyState, user: UserId, target: str, port: int | None, now: float) -> AccessRequest | None:
    """Returns the user's open request for the same canonical target and port.

    Not for the same resource: that would tell whether two targets are covered by one, and so whether there is one (T-10).
    """
    waiting = open_requests_of(state, user, now)
    return next((request for request in waiting if (request.target, request.port) == (target, port)), None)


def _answerable(state: PolicyState, request_id: AccessRequestId, approver: str, at: int) -> AccessRequest:
    request = known(state.access_requests, request_id, "access request")
    if request.user == approver:
        raise RuleBrokenError(Reason.FORBIDDEN, "nobody answers his own request")
    known(state.users, request.user, "user")
    _require_open(request, at)
    return request


def _require_open(request: AccessRequest, at: int) -> None:
    status = request.status_at(at)
    if status is not RequestStatus.OPEN:
        raise RuleBrokenError(Reason.CONFLICT, f"access request {request.id} is {status.value}")
