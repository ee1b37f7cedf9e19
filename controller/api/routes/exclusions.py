"""Exclusions: who may not reach what, whatever grants say."""

from typing import Annotated

from fastapi import Depends, Query
from fastapi.responses import Response

from controller.api.calls import IfMatch, SignedCall, permits
from controller.api.paging import page_of
from controller.api.problems import FieldError
from controller.api.routes.common import STAFF, IdInPath, Window, api_router, found, problems
from controller.api.schemas.policies import Exclusion, ExclusionCreate, ExclusionPage
from controller.api.views_policies import exclusion as shown
from controller.api.writes import WriteOnce, model_answer
from controller.domain.commands_policies import CreateExclusion, RemoveExclusion
from controller.domain.model import SubjectKind
from controller.domain.permissions import Permission
from controller.store import Unit
from protocol.ids import ExclusionId, ResourceId
from runtime.entropy import new_id

router = api_router("/exclusions", tags=["exclusions"])

Read = Annotated[SignedCall, permits(Permission.POLICIES_READ)]
Write = Annotated[SignedCall, permits(Permission.POLICIES_WRITE)]


@router.get("", responses=problems(*STAFF), summary="List exclusions")
async def list_exclusions(
    call: Read,
    window: Annotated[Window, Depends()],
    subject: Annotated[
        str | None, Query(max_length=64, description="Only those of this user, group or service account.")
    ] = None,
    resource: Annotated[str | None, Query(max_length=64, description="Only those on this resource.")] = None,
) -> ExclusionPage:
    """In the order of their creation; expired ones stay until they are removed."""
    state = call.state
    chosen = [
        item
        for item in state.exclusions.values()
        if subject in (None, item.subject.id) and resource in (None, item.resource)
    ]
    items, following = page_of(
        chosen, lambda item: (item.created_ms, item.id), cursor=window.cursor, limit=window.limit
    )
    return ExclusionPage(items=[shown(state, item, call.now) for item in items], next_cursor=following)


@router.post(
    "", status_code=201, response_model=Exclusion, responses=problems(*STAFF, 404, 409), summary="Create an exclusion"
)
async def create_exclusion(call: Write, once: WriteOnce, body: ExclusionCreate) -> Response:
    """Open connections that it forbids are reset within a second."""
    expires = None if body.expires_at is None else int(body.expires_at.timestamp())
    if expires is not None and expires <= call.now:
        raise FieldError("expires_at", "this moment has passed")
    exclusion = ExclusionId(new_id("exclusion"))

    async def build(unit: Unit) -> Exclusion:
        kind = SubjectKind(body.subject_kind)
        await unit.execute(CreateExclusion(exclusion, kind, body.subject, ResourceId(body.resource), expires))
        return shown(unit.state, unit.state.exclusions[exclusion], call.now)

    return await once.create(build)


@router.get("/{exclusion}", response_model=Exclusion, responses=problems(*STAFF, 404), summary="Read an exclusion")
async def get_exclusion(call: Read, exclusion: IdInPath) -> Response:
    """With its entity tag."""
    return model_answer(shown(call.state, found(call.state.exclusions, exclusion), call.now))


@router.delete("/{exclusion}", status_code=204, responses=problems(*STAFF, 404, 412), summary="Remove an exclusion")
async def remove_exclusion(call: Write, exclusion: IdInPath, expected: IfMatch) -> None:
    """Grants count again."""
    async with call.write() as unit:
        item = found(unit.state.exclusions, exclusion)
        expected.check(unit.state, exclusion)
        await unit.execute(RemoveExclusion(item.id))
