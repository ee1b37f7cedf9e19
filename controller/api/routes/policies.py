"""Policies: conditions under which grants hold."""

from typing import Annotated

from fastapi import Depends
from fastapi.responses import Response

from controller.api.calls import IfMatch, SignedCall, permits
from controller.api.paging import page_of
from controller.api.routes.common import STAFF, IdInPath, NameFilter, Window, api_router, found, has_name, problems
from controller.api.schemas.policies import Policy, PolicyChange, PolicyCreate, PolicyPage
from controller.api.views_policies import policy as shown
from controller.api.writes import WriteOnce, model_answer
from controller.domain.commands_policies import ChangePolicy, CreatePolicy, RemovePolicy
from controller.domain.permissions import Permission
from controller.store import Unit
from protocol.ids import PolicyId
from runtime.entropy import new_id

router = api_router("/policies", tags=["policies"])

Read = Annotated[SignedCall, permits(Permission.POLICIES_READ)]
Write = Annotated[SignedCall, permits(Permission.POLICIES_WRITE)]


@router.get("", responses=problems(*STAFF), summary="List policies")
async def list_policies(call: Read, window: Annotated[Window, Depends()], name: NameFilter = None) -> PolicyPage:
    """By name."""
    state = call.state
    chosen = [item for item in state.policies.values() if has_name(item.name, name)]
    items, following = page_of(chosen, lambda item: (item.name, item.id), cursor=window.cursor, limit=window.limit)
    return PolicyPage(items=[shown(state, item) for item in items], next_cursor=following)


@router.post("", status_code=201, response_model=Policy, responses=problems(*STAFF, 409), summary="Create a policy")
async def create_policy(call: Write, once: WriteOnce, body: PolicyCreate) -> Response:
    """It takes effect for the grants that name it."""
    policy = PolicyId(new_id("policy"))

    async def build(unit: Unit) -> Policy:
        await unit.execute(CreatePolicy(policy, body.name, body.conditions.to_domain()))
        return shown(unit.state, unit.state.policies[policy])

    return await once.create(build)


@router.get("/{policy}", response_model=Policy, responses=problems(*STAFF, 404), summary="Read a policy")
async def get_policy(call: Read, policy: IdInPath) -> Response:
    """With its entity tag."""
    return model_answer(shown(call.state, found(call.state.policies, policy)))


@router.patch("/{policy}", response_model=Policy, responses=problems(*STAFF, 404, 409, 412), summary="Change a policy")
async def change_policy(call: Write, policy: IdInPath, body: PolicyChange, expected: IfMatch) -> Response:
    """It counts for all grants under it at once: open connections that do not meet it any more are reset within a second."""
    async with call.write() as unit:
        item = found(unit.state.policies, policy)
        expected.check(unit.state, policy)
        conditions = None if body.conditions is None else body.conditions.to_domain()
        await unit.execute(ChangePolicy(item.id, name=body.name, conditions=conditions))
        changed = shown(unit.state, unit.state.policies[item.id])
    return model_answer(changed)


@router.delete("/{policy}", status_code=204, responses=problems(*STAFF, 404, 409, 412), summary="Remove a policy")
async def remove_policy(call: Write, policy: IdInPath, expected: IfMatch) -> None:
    """Refused while a grant is under it: the grant would hold without conditions."""
    async with call.write() as unit:
        item = found(unit.state.policies, policy)
        expected.check(unit.state, policy)
        await unit.execute(RemovePolicy(item.id))
