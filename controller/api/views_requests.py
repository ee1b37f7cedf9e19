"""Requests for access as they are shown; an asker is not told what his target means (T-10)."""

from collections.abc import Mapping

from controller.api.schemas.common import from_ms, from_s
from controller.api.schemas.requests import AccessRequest, Candidate
from controller.domain import request_model as model
from controller.domain.request_target import candidates
from controller.domain.state import PolicyState
from controller.store.access_requests import NO_TEXTS, RequestTexts
from controller.store.credentials import PersonalData
from protocol.ids import AccessRequestId, ResourceId


def access_request(
    state: PolicyState,
    item: model.AccessRequest,
    texts: Mapping[AccessRequestId, RequestTexts],
    personal: Mapping[str, PersonalData],
    now: float,
    *,
    answers: bool,
) -> AccessRequest:
    """A request; ``answers``: the caller may answer requests, and so learns what the target means."""
    status = item.status_at(now)
    written = texts.get(item.id, NO_TEXTS)
    person = personal.get(item.user)
    is_open = status is model.RequestStatus.OPEN
    means = candidates(state, item.target, item.port) if answers and is_open else ()
    told = answers or status is model.RequestStatus.APPROVED
    return AccessRequest(
        id=item.id,
        user=item.user,
        user_name=person.name if person is not None else None,
        device=item.device,
        target=item.target,
        port=item.port,
        status=status.value,
        reason=written.reason,
        answer=written.answer,
        duration_s=item.duration_s,
        created_at=from_ms(item.created_ms),
        expires_at=from_s(item.expires),
        answered_at=None if item.answered_ms is None else from_ms(item.answered_ms),
        answered_by=item.answered_by,
        resource=item.resource if told else None,
        candidates=[_candidate(state, resource) for resource in means],
        grant=item.grant,
        granted_until=None if item.granted_until is None else from_s(item.granted_until),
        version=state.version_of(item.id),
    )


def _candidate(state: PolicyState, resource_id: ResourceId) -> Candidate:
    resource = state.resources[resource_id]
    return Candidate(id=resource.id, name=resource.name, address=str(resource.address), network=resource.network)
