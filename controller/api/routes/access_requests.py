"""Requests for access: asked by anybody, answered by somebody else, and what comes of it ends by itself."""

from typing import Annotated

from fastapi import Depends, Query
from fastapi.responses import Response

from controller.api.calls import IfMatch, SignedCall, permits
from controller.api.paging import page_of
from controller.api.routes.common import SIGNED, IdInPath, Window, api_router, found, problems
from controller.api.schemas.requests import (
    AccessRequest,
    AccessRequestApprove,
    AccessRequestCreate,
    AccessRequestDeny,
    AccessRequestPage,
    Status,
)
from controller.api.views_requests import access_request
from controller.api.writes import WriteOnce, model_answer
from controller.domain import request_model as model
from controller.domain.commands_requests import ApproveAccessRequest, DenyAccessRequest, WithdrawAccessRequest
from controller.domain.permissions import Permission
from controller.store import Unit, access_requests, credentials
from protocol.errors import RefusedError
from protocol.ids import GrantId, PolicyId, ResourceId
from protocol.reasons import Reason
from runtime.entropy import new_id

router = api_router("/access-requests", tags=["access requests"])

Read = Annotated[SignedCall, permits(Permission.REQUESTS_READ, own=Permission.SELF_READ)]
Ask = Annotated[SignedCall, permits(Permission.SELF_WRITE)]
Answer = Annotated[SignedCall, permits(Permission.REQUESTS_WRITE)]


@router.get("", responses=problems(*SIGNED), summary="List requests for access")
async def list_access_requests(
    call: Read,
    window: Annotated[Window, Depends()],
    status: Annotated[Status | None, Query(description="Only those of this status.")] = None,
    user: Annotated[str | None, Query(max_length=64, description="Only those of this user.")] = None,
) -> AccessRequestPage:
    """Oldest first. Those who answer requests see everybody's, others their own."""
    chosen = [
        item
        for item in call.state.access_requests.values()
        if call.sees(Permission.REQUESTS_READ, item.user)
        and user in (None, item.user)
        and status in (None, item.status_at(call.now).value)
    ]
    items, following = page_of(
        chosen, lambda item: (item.created_ms, item.id), cursor=window.cursor, limit=window.limit
    )
    return AccessRequestPage(items=await _shown(call, items), next_cursor=following)


@router.post(
    "", status_code=201, response_model=AccessRequest, responses=problems(*SIGNED, 409), summary="Ask for access"
)
async def create_access_request(call: Ask, once: WriteOnce, body: AccessRequestCreate) -> Response:
    """For oneself. A request for the same target that is open is the same request."""
    call.services.limits.access_request.spend(call.user.id, call.now)

    async def build(unit: Unit) -> AccessRequest:
        made = await access_requests.ask(
            unit, user=call.user.id, target=body.target, reason=body.reason, port=body.port, duration_s=body.duration_s
        )
        return await _one(call, unit, made)

    return await once.create(build)


@router.get("/{request}", response_model=AccessRequest, responses=problems(*SIGNED, 404), summary="Read a request")
async def get_access_request(call: Read, request: IdInPath) -> Response:
    """With its entity tag."""
    item = _visible(call, found(call.state.access_requests, request))
    (shown,) = await _shown(call, [item])
    return model_answer(shown)


@router.post(
    "/{request}/approve",
    response_model=AccessRequest,
    responses=problems(*SIGNED, 404, 409, 412),
    summary="Approve a request",
)
async def approve_access_request(
    call: Answer, once: WriteOnce, request: IdInPath, expected: IfMatch, body: AccessRequestApprove
) -> Response:
    """Makes a grant for the asker, which ends by itself. Nobody approves his own request."""
    grant, at = GrantId(new_id("grant")), int(call.now)

    async def build(unit: Unit) -> AccessRequest:
        item = found(unit.state.access_requests, request)
        expected.check(unit.state, request)
        lasts = item.duration_s if body.duration_s is None else body.duration_s
        await unit.execute(
            ApproveAccessRequest(
                item.id,
                call.user.id,
                grant,
                at + lasts,
                at,
                None if body.resource is None else ResourceId(body.resource),
                None if body.policy is None else PolicyId(body.policy),
            )
        )
        await access_requests.set_answer(unit.connection, item, body.answer, unit.now)
        return await _one(call, unit, unit.state.access_requests[item.id])

    return await once.create(build, status=200)


@router.post(
    "/{request}/deny",
    response_model=AccessRequest,
    responses=problems(*SIGNED, 404, 409, 412),
    summary="Deny a request",
)
async def deny_access_request(
    call: Answer, once: WriteOnce, request: IdInPath, expected: IfMatch, body: AccessRequestDeny
) -> Response:
    """The asker reads `answer`. Nobody denies his own request; he withdraws it."""

    async def build(unit: Unit) -> AccessRequest:
        item = found(unit.state.access_requests, request)
        expected.check(unit.state, request)
        await unit.execute(DenyAccessRequest(item.id, call.user.id, int(call.now)))
        await access_requests.set_answer(unit.connection, item, body.answer, unit.now)
        return await _one(call, unit, unit.state.access_requests[item.id])

    return await once.create(build, status=200)


@router.delete("/{request}", status_code=204, responses=problems(*SIGNED, 404, 409, 412), summary="Withdraw a request")
async def withdraw_access_request(call: Ask, request: IdInPath, expected: IfMatch) -> None:
    """One's own."""
    async with call.write() as unit:
        item = found(unit.state.access_requests, request)
        if item.user != call.user.id:
            _visible(call, item)
            raise RefusedError(Reason.FORBIDDEN, "only the one who asked withdraws a request; deny it")
        expected.check(unit.state, request)
        await unit.execute(WithdrawAccessRequest(item.id, call.user.id, int(call.now)))


def _visible(call: SignedCall, item: model.AccessRequest) -> model.AccessRequest:
    call.require_sight(Permission.REQUESTS_READ, item.user)
    return item


async def _one(call: SignedCall, unit: Unit, item: model.AccessRequest) -> AccessRequest:
    texts = await access_requests.get_texts(unit.connection, (item.id,))
    personal = await credentials.get_many(unit.connection, (item.user,))
    answers = call.may(Permission.REQUESTS_READ)
    return access_request(unit.state, item, texts, personal, call.now, answers=answers)


async def _shown(call: SignedCall, items: list[model.AccessRequest]) -> list[AccessRequest]:
    async with call.services.store.read() as connection:
        texts = await access_requests.get_texts(connection, [item.id for item in items])
        personal = await credentials.get_many(connection, [item.user for item in items])
    answers = call.may(Permission.REQUESTS_READ)
    return [access_request(call.state, item, texts, personal, call.now, answers=answers) for item in items]
