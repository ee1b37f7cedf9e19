"""Proof of enforcement: of one change, who enforces it since when."""

from typing import Annotated

from fastapi import Depends, Path, Query

from controller.api.calls import SignedCall, permits
from controller.api.operations import enforcement
from controller.api.operations.enforcement import AgentProof
from controller.api.paging import page_of
from controller.api.routes.common import STAFF, Window, api_router, problems
from controller.api.schemas.common import from_s
from controller.api.schemas.enforcement import ChangeEnforcement, ChangeEnforcementAgent, EnforcementSummary
from controller.domain.permissions import Permission
from controller.domain.proof import ORDER, Summary
from controller.store import events

router = api_router(tags=["activity"])

Read = Annotated[SignedCall, permits(Permission.ENFORCEMENT_READ)]


@router.get(
    "/enforcement/{revision}",
    responses=problems(*STAFF, 404),
    summary="Who enforces this change, since when?",
)
async def get_change_enforcement(
    call: Read,
    window: Annotated[Window, Depends()],
    revision: Annotated[int, Path(ge=1, le=(1 << 53) - 1, description="The change's position in the log.")],
    outstanding: Annotated[bool | None, Query(description="Only agents that are (not) outstanding.")] = None,
) -> ChangeEnforcement:
    """An agent acknowledges what it enforces by the digest of the signed snapshot or config; only the digest of what it was
    really sent counts. One that is not heard any more ends what it holds when its lease ends: until then it is outstanding."""
    proof = await enforcement.of_revision(call.services, revision, call.now)
    async with call.services.store.read() as connection:
        (event,) = await events.page(connection, before=revision + 1, limit=1)
    wanted = [item for item in proof.agents if outstanding in (None, item.proof.state == "outstanding")]
    items, following = page_of(wanted, _order, cursor=window.cursor, limit=window.limit)
    complete = (proof.connectors.complete, proof.clients.complete)
    return ChangeEnforcement(
        revision=revision,
        event=event.event.TYPE,
        stream=event.event.stream,
        actor=event.actor,
        made_at=from_s(proof.made),
        enforced_at=None if None in complete else from_s(max(moment for moment in complete if moment is not None)),
        connectors=_summary(proof.connectors),
        clients=_summary(proof.clients),
        ended=list(proof.ended[: window.limit]),
        items=[_agent(item) for item in items],
        next_cursor=following,
    )


def _order(item: AgentProof) -> tuple[int, int, str]:
    return ORDER.index(item.proof.state), int(item.kind != "connector"), item.proof.agent


def _summary(summary: Summary) -> EnforcementSummary:
    return EnforcementSummary(
        agents=summary.agents,
        outstanding=summary.outstanding,
        complete_at=None if summary.complete is None else from_s(summary.complete),
    )


def _agent(item: AgentProof) -> ChangeEnforcementAgent:
    proof, ack = item.proof, item.ack
    return ChangeEnforcementAgent(
        agent=proof.agent,
        kind=item.kind,
        state=proof.state,
        since=None if proof.since is None else from_s(proof.since),
        acknowledged_revision=None if ack is None else ack.revision,
        digest=None if ack is None else ack.digest,
        online=item.online,
        heard_at=None if proof.heard is None else from_s(proof.heard),
        lease_ends_at=None if proof.lease_ends is None else from_s(proof.lease_ends),
    )
