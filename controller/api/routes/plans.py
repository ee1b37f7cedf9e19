"""Plans: what a policy document would change, and its application under the hash that was approved."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal

from fastapi import Depends, Path
from fastapi.responses import Response

from controller.api.calls import SignedCall, permits
from controller.api.operations import plans as operations
from controller.api.operations.plans import Made
from controller.api.paging import page_of
from controller.api.routes.common import POSITION_MAX, STAFF, Window, api_router, problems
from controller.api.schemas.common import Ports, from_ms, from_s
from controller.api.schemas.plans import (
    Export,
    Plan,
    PlanCreate,
    PlanFault,
    PlanLine,
    PlannedAccess,
    PlannedChange,
    PlannedCut,
    PlanPage,
    PlanSummary,
)
from controller.api.writes import WriteOnce, answer
from controller.domain.model import SubjectKind
from controller.domain.permissions import DOCUMENT_READS, Permission
from controller.domain.plan_access import Cut, Difference, Way
from controller.domain.state import PolicyState
from controller.store import Connection, Unit, credentials, plans
from controller.store.credentials import PersonalData
from controller.store.plans import StoredPlan
from protocol.acl.model import Ports as DomainPorts
from protocol.errors import RefusedError
from protocol.ids import ServiceAccountId
from protocol.reasons import Reason

router = api_router(tags=["plans"])

List = Annotated[SignedCall, permits(Permission.PLANS_READ)]
Read = Annotated[SignedCall, permits(Permission.PLANS_READ, besides=DOCUMENT_READS)]
Write = Annotated[SignedCall, permits(Permission.PLANS_WRITE, besides=DOCUMENT_READS)]
Undo = Annotated[SignedCall, permits(Permission.PLANS_WRITE, besides=(*DOCUMENT_READS, Permission.AUDIT_READ))]
People = Mapping[str, PersonalData]

LINES_MAX: Final = 5_000
"""Of each list in a plan; the summary counts the rest."""
HashInPath = Annotated[str, Path(min_length=64, max_length=64, pattern="^[0-9a-f]{64}$", description="Its hash.")]


@router.post("/plans", status_code=201, response_model=Plan, responses=problems(*STAFF), summary="Make a plan")
async def create_plan(call: Write, body: PlanCreate) -> Response:
    """Compares a policy document with the policy of this moment. Nothing changes; the plan can be applied for a day, as long
    as the log does not move. It shows what there is, so that everything a document says must be the caller's to read."""
    made = await operations.make(call.services, body.document, prune=body.prune, actor=call.actor, now=call.now)
    return await _keep(call, made, body.document, prune=body.prune)


@router.post(
    "/events/{position}/undo",
    status_code=201,
    response_model=Plan,
    responses=problems(*STAFF, 404, 409),
    summary="Make a plan that takes an event back",
)
async def undo_event(
    call: Undo, position: Annotated[int, Path(ge=1, le=POSITION_MAX, description="The event's position.")]
) -> Response:
    """To be looked at, approved and applied like each plan. 409 with the reason where the event has no plain inverse, what it
    was about has changed or gone since, or it is taken back already. What is made anew has another id."""
    made = await operations.make_undo(call.services, position, actor=call.actor, now=call.now)
    return await _keep(call, made, "", prune=False, undoes=position)


async def _keep(call: SignedCall, made: Made, document: str, *, prune: bool, undoes: int | None = None) -> Response:
    """Stores the plan and shows it."""
    async with call.services.store.read() as connection:
        people = await credentials.get_many(connection, _people_in(made))
    plan = _plan(call, made, people, prune=prune)
    shown = plan.model_dump_json()
    stored = operations.stored_plan(
        made,
        document,
        prune=prune,
        body=shown,
        summary=_line(plan).model_dump_json(),
        actor=call.actor,
        now=call.now,
        undoes=undoes,
    )
    async with call.services.store.transact() as connection:
        await plans.put(connection, stored)
    return answer(_in_sight(call, plan).model_dump_json(), 201)


@router.get("/plans", responses=problems(*STAFF), summary="List plans")
async def list_plans(call: List, window: Annotated[Window, Depends()]) -> PlanPage:
    """Those that have not expired, newest first."""
    async with call.services.store.read() as connection:
        found = await plans.newest(connection, call.now)
    items, following = page_of(
        found, lambda item: (-int(item.created_at * 1000), item.hash), cursor=window.cursor, limit=window.limit
    )
    return PlanPage(items=[_summarised(item) for item in items], next_cursor=following)


@router.get("/plans/{hash}", response_model=Plan, responses=problems(*STAFF, 404), summary="Read a plan")
async def get_plan(call: Read, hash: HashInPath) -> Plan:  # noqa: A002 - the parameter's name
    """As it was shown when it was made, and whether it was applied."""
    async with call.services.store.read() as connection:
        return _shown(call, await _found(connection, hash, call.now))


@router.post(
    "/plans/{hash}/apply", response_model=Plan, responses=problems(*STAFF, 404, 409), summary="Apply the approved plan"
)
async def apply_plan(call: Write, once: WriteOnce, hash: HashInPath) -> Response:  # noqa: A002
    """Exactly this one, in one transaction. 409 `conflict` when the log has moved since it was made; 409 `plan_refused` when
    it has faults or failed tests. Each of its changes needs its own permission."""

    draft = await operations.read_ahead(call.services, hash)

    async def build(unit: Unit) -> Plan:
        stored = await _found(unit.connection, hash, call.now)
        await operations.apply(unit, stored, draft)
        return _shown(call, await _found(unit.connection, hash, call.now))

    return await once.create(build, status=200)


@router.get("/export", responses=problems(*STAFF), summary="Export the policy as a document")
async def export_policy(call: Read) -> Export:
    """Applied, it changes nothing: start from it. People stand in it with their e-mail addresses. Whole or not at all: a part
    of it, applied with `prune`, would take away what it does not show."""
    revision, document = await operations.export(call.services)
    return Export(revision=revision, document=document)


async def _found(connection: Connection, digest: str, now: float) -> StoredPlan:
    stored = await plans.get(connection, digest)
    if stored is None or stored.expires <= now:
        raise RefusedError(Reason.NOT_FOUND, "there is no such plan, or it has expired")
    return stored


def _shown(call: SignedCall, stored: StoredPlan) -> Plan:
    plan = Plan.model_validate_json(stored.body)
    applied = {
        "applied_at": None if stored.applied_at is None else from_s(stored.applied_at),
        "applied_by": stored.applied_by,
        "applied_revision": stored.applied_as,
    }
    return _in_sight(call, plan.model_copy(update=applied))


def _in_sight(call: SignedCall, plan: Plan) -> Plan:
    """The plan without the devices and connections that the caller may not read about elsewhere either."""
    withheld = [item for item in (Permission.DEVICES_READ, Permission.CONNECTIONS_READ) if not call.may(item)]
    left: dict[str, object] = {"withheld": [item.value for item in withheld]}
    if Permission.DEVICES_READ in withheld:
        left["access"] = [item for item in plan.access if item.device is None]
    if Permission.CONNECTIONS_READ in withheld:
        left["cut"] = []
    return plan.model_copy(update=left)


def _line(plan: Plan) -> PlanLine:
    return PlanLine(
        hash=plan.hash,
        revision=plan.revision,
        created_at=plan.created_at,
        created_by=plan.created_by,
        expires_at=plan.expires_at,
        applicable=plan.applicable,
        summary=plan.summary,
        applied_revision=None,
    )


def _summarised(stored: StoredPlan) -> PlanLine:
    return PlanLine.model_validate_json(stored.summary).model_copy(update={"applied_revision": stored.applied_as})


def _people_in(made: Made) -> set[str]:
    found = {part for item in made.differences for part in (item.owner.id, item.device) if part is not None}
    return found | {part for cut in made.cuts for part in (cut.flow.user, cut.flow.device)}


def _plan(call: SignedCall, made: Made, people: People, *, prune: bool) -> Plan:
    plan = made.plan
    actions = [step.action for step in plan.steps]
    gained = {item.owner for item in made.differences if item.device is None and _open(item.gained)}
    lost = {item.owner for item in made.differences if item.device is None and _open(item.lost)}
    return Plan(
        hash=plan.hash,
        revision=plan.revision,
        prune=prune,
        created_at=from_s(call.now),
        created_by=call.actor,
        expires_at=from_s(call.now + operations.LIFE_S),
        applicable=made.applicable,
        summary=PlanSummary(
            create=actions.count("create"),
            change=actions.count("change"),
            remove=actions.count("remove"),
            gained=len(gained),
            lost=len(lost),
            cut=len(made.cuts),
        ),
        changes=[
            PlannedChange(
                action=step.action, kind=step.kind, name=step.name, detail=step.detail, line=step.line or None
            )
            for step in plan.steps[:LINES_MAX]
        ],
        access=[_access(made, item, people) for item in made.differences[:LINES_MAX]],
        cut=[_cut(plan.base, item, people) for item in made.cuts[:LINES_MAX]],
        faults=_faults((item.line, item.detail) for item in plan.problems),
        failed_tests=_faults((item.line, f"{item.text}: {item.detail}") for item in made.failed),
        truncated=max(len(plan.steps), len(made.differences), len(made.cuts)) > LINES_MAX,
        applied_at=None,
        applied_by=None,
        applied_revision=None,
    )


def _faults(items: Iterable[tuple[int, str]]) -> list[PlanFault]:
    return [PlanFault(line=line or None, detail=detail) for line, detail in items]


def _access(made: Made, item: Difference, people: People) -> PlannedAccess:
    before, after = made.plan.base, made.plan.after
    resource = after.resources.get(item.resource) or before.resources.get(item.resource)
    name = people[item.owner.id].name if item.owner.id in people else None
    if item.owner.kind is SubjectKind.SERVICE_ACCOUNT:
        key = ServiceAccountId(item.owner.id)
        account = after.service_accounts.get(key) or before.service_accounts.get(key)
        name = account.name if account is not None else None
    change: Literal["gained", "lost", "changed"] = (
        "gained" if item.before is None else "lost" if item.after is None else "changed"
    )
    return PlannedAccess(
        subject_kind=item.owner.kind.value,
        subject=item.owner.id,
        subject_name=name,
        device=item.device,
        device_name=people[item.device].name if item.device is not None and item.device in people else None,
        resource=item.resource,
        resource_name=resource.name if resource is not None else None,
        change=change,
        gained=Ports.of(item.gained),
        lost=Ports.of(item.lost),
        detail=_detail(made, item),
    )


def _detail(made: Made, item: Difference) -> str:
    old, new = item.before, item.after
    if old is None or new is None:
        return _under(made.plan.base, old) or _under(made.plan.after, new)
    parts = [
        f"address {old.address} → {new.address}" if old.address != new.address else "",
        "another network" if old.network != new.network else "",
    ]
    if old.policies != new.policies:
        was, will_be = _under(made.plan.base, old) or "no policy", _under(made.plan.after, new) or "no policy"
        parts.append(f"{was} → {will_be}")
    return "; ".join(part for part in parts if part)


def _under(state: PolicyState, way: Way | None) -> str:
    if way is None or None in way.policies:
        return ""  # a grant without a policy needs nothing, whatever the others ask for
    names = [state.policies[policy].name for policy in way.policies if policy is not None]
    return f"under {', '.join(sorted(names))}" if names else ""


def _cut(state: PolicyState, item: Cut, people: People) -> PlannedCut:
    flow = item.flow
    resource = None if flow.resource is None else state.resources.get(flow.resource)
    return PlannedCut(
        flow=flow.flow,
        subject=flow.user,
        subject_name=people[flow.user].name if flow.user in people else None,
        device=flow.device,
        device_name=people[flow.device].name if flow.device in people else None,
        resource=flow.resource,
        resource_name=resource.name if resource is not None else None,
        host=str(flow.request.host),
        transport=flow.request.transport.value,
        port=flow.request.port,
        started_at=from_ms(flow.started_ms),
        reason=item.reason.code,
    )


def _open(ports: DomainPorts) -> bool:
    return bool(ports.tcp or ports.udp or ports.icmp)
