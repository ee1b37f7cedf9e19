"""Grants: who may reach what, perhaps until when."""

from typing import Annotated

from fastapi import Depends, Query
from fastapi.responses import Response

from controller.api import views
from controller.api.calls import IfMatch, SignedCall, permits
from controller.api.paging import page_of
from controller.api.problems import FieldError
from controller.api.routes.common import STAFF, IdInPath, Window, api_router, found, problems
from controller.api.schemas.people import Grant, GrantCreate, GrantPage
from controller.api.writes import WriteOnce, model_answer
from controller.domain.commands import CreateGrant, RevokeGrant
from controller.domain.model import SubjectKind
from controller.domain.permissions import Permission
from controller.store import Unit
from protocol.ids import GrantId, PolicyId, ResourceId
from runtime.entropy import new_id

router = api_router("/grants", tags=["grants"])

Read = Annotated[SignedCall, permits(Permission.GRANTS_READ)]
Write = Annotated[SignedCall, permits(Permission.GRANTS_WRITE)]


@router.get("", responses=problems(*STAFF), summary="List grants")
async def list_grants(
    call: Read,
    window: Annotated[Window, Depends()],
    subject: Annotated[
        str | None, Query(max_length=64, description="Only those of this user, group or service account.")
    ] = None,
    resource: Annotated[str | None, Query(max_length=64, description="Only those on this resource.")] = None,
    policy: Annotated[str | None, Query(max_length=64, description="Only those under this policy.")] = None,
) -> GrantPage:
    """In the order of their creation; expired ones stay until they are revoked."""
    state = call.state
    chosen = [
        item
        for item in state.grants.values()
        if subject in (None, item.subject.id) and resource in (None, item.resource) and policy in (None, item.policy)
    ]
    items, following = page_of(
        chosen, lambda item: (item.created_ms, item.id), cursor=window.cursor, limit=window.limit
    )
    return GrantPage(items=[views.grant(state, item, call.now) for item in items], next_cursor=following)


@router.post("", status_code=201, response_model=Grant, responses=problems(*STAFF, 404, 409), summary="Create a grant")
async def create_grant(call: Write, once: WriteOnce, body: GrantCreate) -> Response:
    """Clients of the subject learn of it at once."""
    expires = None if body.expires_at is None else int(body.expires_at.timestamp())
    if expires is not None and expires <= call.now:
        raise FieldError("expires_at", "this moment has passed")
    grant = GrantId(new_id("grant"))

    async def build(unit: Unit) -> Grant:
        await unit.execute(
            CreateGrant(
                grant,
                SubjectKind(body.subject_kind),
                body.subject,
                ResourceId(body.resource),
                expires,
                None if body.policy is None else PolicyId(body.policy),
            )
        )
        return views.grant(unit.state, unit.state.grants[grant], call.now)

    return await once.create(build)


@router.get("/{grant}", response_model=Grant, responses=problems(*STAFF, 404), summary="Read a grant")
async def get_grant(call: Read, grant: IdInPath) -> Response:
    """With its entity tag."""
    return model_answer(views.grant(call.state, found(call.state.grants, grant), call.now))


@router.delete("/{grant}", status_code=204, responses=problems(*STAFF, 404, 412), summary="Revoke a grant")
async def revoke_grant(call: Write, grant: IdInPath, expected: IfMatch) -> None:
    """Open connections that rest on it are reset within a second; `enforcement` shows when everybody enforces it."""
    async with call.write() as unit:
        item = found(unit.state.grants, grant)
        expected.check(unit.state, grant)
        await unit.execute(RevokeGrant(item.id))
