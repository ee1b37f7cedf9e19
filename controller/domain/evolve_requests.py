"""Folds of the events of requests for access. Of each user the newest are kept; older ones are in the log only."""

from dataclasses import replace
from typing import Final

from controller.domain import events as e
from controller.domain.appliers import Appliers, applies
from controller.domain.index import discard, put, without
from controller.domain.request_model import AccessRequest, RequestStatus
from controller.domain.state import PolicyState, changed
from protocol.ids import AccessRequestId, UserId

HANDLERS: Appliers = {}

KEPT_MAX: Final = 50
"""Requests of one user in the state, open and closed; more than can be open."""


@applies(HANDLERS, e.AccessRequestCreated)
def _created(state: PolicyState, event: e.AccessRequestCreated, at_ms: int) -> PolicyState:
    request = AccessRequest(
        id=event.request,
        user=event.user,
        device=event.device,
        target=event.target,
        port=event.port,
        resource=event.resource,
        duration_s=event.duration_s,
        created_ms=at_ms,
        expires=event.expires,
    )
    state = changed(
        state,
        access_requests=state.access_requests.set(request.id, request),
        requests_of=put(state.requests_of, request.user, request.id),
    )
    return _without_oldest(state, request.user, at_ms)


@applies(HANDLERS, e.AccessRequestApproved)
def _approved(state: PolicyState, event: e.AccessRequestApproved, at_ms: int) -> PolicyState:
    return _answered(
        state,
        event.request,
        answer=RequestStatus.APPROVED,
        answered_ms=at_ms,
        answered_by=event.approver,
        resource=event.resource,
        grant=event.grant,
        granted_until=event.expires,
    )


@applies(HANDLERS, e.AccessRequestDenied)
def _denied(state: PolicyState, event: e.AccessRequestDenied, at_ms: int) -> PolicyState:
    return _answered(state, event.request, answer=RequestStatus.DENIED, answered_ms=at_ms, answered_by=event.approver)


@applies(HANDLERS, e.AccessRequestWithdrawn)
def _withdrawn(state: PolicyState, event: e.AccessRequestWithdrawn, at_ms: int) -> PolicyState:
    return _answered(state, event.request, answer=RequestStatus.WITHDRAWN, answered_ms=at_ms)


def drop_requests_of(state: PolicyState, user: UserId) -> PolicyState:
    """The state without the requests of a user who is gone."""
    for request in state.requests_of.get(user, ()):
        state = changed(state, access_requests=state.access_requests.delete(request))
    return changed(state, requests_of=without(state.requests_of, user))


def _answered(state: PolicyState, request: AccessRequestId, **parts: object) -> PolicyState:
    answered = replace(state.access_requests[request], **parts)  # type: ignore[arg-type]  # named by the callers above
    return changed(state, access_requests=state.access_requests.set(request, answered))


def _without_oldest(state: PolicyState, user: UserId, at_ms: int) -> PolicyState:
    mine = [state.access_requests[item] for item in state.requests_of.get(user, ())]
    if len(mine) <= KEPT_MAX:
        return state
    closed = [request for request in mine if request.status_at(at_ms / 1000) is not RequestStatus.OPEN]
    oldest = min(closed, key=lambda request: (request.created_ms, request.id), default=None)
    if oldest is None:
        return state
    return changed(
        state,
        access_requests=state.access_requests.delete(oldest.id),
        requests_of=discard(state.requests_of, user, oldest.id),
    )
