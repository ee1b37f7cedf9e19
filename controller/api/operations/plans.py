"""Making and applying plans over the store.

A plan is kept as its document and seed, not as commands: to apply it, it is made again inside the write transaction, on the
state that it will change, and must have the hash that was approved. Nothing else can be applied under that name.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from controller.api.problems import FieldError
from controller.api.services import Services
from controller.domain.desired import Desired
from controller.domain.desired_export import desired_of
from controller.domain.desired_text import read_document_untrusted, write_document
from controller.domain.plan import Plan, fold_plan, plan_hash
from controller.domain.plan_access import Cut, Difference, Failed, OpenFlow, cuts, differences, unmet
from controller.domain.reconcile import Ids, People, Step
from controller.domain.reconcile_access import reconcile
from controller.domain.state import PolicyState
from controller.domain.undo import Past, inverse
from controller.domain.yaml_text import DocumentError
from controller.store import Connection, Unit, credentials, plans, records
from controller.store import events as stored_events
from controller.store.plans import StoredPlan
from controller.store.record_rows import StoredRecord
from protocol.acl.model import Request, Transport
from protocol.acl.names import parse_host
from protocol.errors import LocalError, RefusedError
from protocol.ids import UserId
from protocol.reasons import Reason
from runtime.entropy import token_bytes

LIFE_S: Final = 24 * 3600
"""How long a plan can be applied."""
TURN_S: Final = 20.0
"""How long a plan waits for the one before it."""
FLOWS_MAX: Final = 20_000
"""Open connections that are looked at."""


@dataclass(frozen=True, slots=True)
class Made:
    """A plan with everything that it would change."""

    plan: Plan
    seed: bytes
    differences: tuple[Difference, ...]
    cuts: tuple[Cut, ...]
    failed: tuple[Failed, ...]

    @property
    def applicable(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.plan.problems and not self.failed


@dataclass(frozen=True, slots=True)
class Draft:
    """A stored document and what it says; or, of a plan that takes an event back, the steps in place of both."""

    document: str
    desired: Desired | None
    undo: tuple[Step, ...] = ()


async def make(services: Services, document: str, *, prune: bool, actor: str, now: float) -> Made:
    """Compares a document with the policy of this moment. Raises FieldError naming the line, LocalError(UNAVAILABLE)."""
    async with _turn(services):
        desired = await asyncio.to_thread(_read, document)
        async with services.store.read() as connection:
            people = await _people(connection, desired)
            flows = await _open_flows(connection)
        state, seed = services.state, token_bytes(32)
        return await asyncio.to_thread(_make, state, desired, people, flows, seed, prune, actor, now)


async def make_undo(services: Services, position: int, *, actor: str, now: float) -> Made:
    """Works out what takes an event back. Raises RefusedError: NOT_FOUND; CONFLICT or IN_USE where that cannot be."""
    async with _turn(services):
        seed, state = token_bytes(32), services.state
        step = await _inverse(services, position, seed, state)
        async with services.store.read() as connection:
            flows = await _open_flows(connection)
        made = await asyncio.to_thread(_fold, state, (step,), flows, seed, actor, now)
    if made.plan.problems:
        raise RefusedError(Reason.CONFLICT, made.plan.problems[0].detail)
    if not made.plan.steps:
        raise RefusedError(Reason.CONFLICT, "this is so already")
    return made


async def _inverse(services: Services, position: int, seed: bytes, state: PolicyState) -> Step:
    async with services.store.read() as connection:
        found = await stored_events.page(connection, before=position + 1, limit=1)
    if not found or found[0].position != position:
        raise RefusedError(Reason.NOT_FOUND)
    before = await services.history.head_at(position - 1)
    return inverse(Past.of(found[0].event, before.state, state), Ids(seed))


async def read_ahead(services: Services, digest: str) -> Draft | None:
    """Reads the document of a plan before the unit that applies it, as others cannot write meanwhile.

    None when the plan cannot be applied anyway; the unit says why. Raises FieldError, LocalError(UNAVAILABLE).
    """
    async with services.store.read() as connection:
        stored = await plans.get(connection, digest)
    if stored is None or stored.applied_as is not None or stored.base != services.state.position:
        return None
    async with _turn(services):
        if stored.undoes is not None:
            seed = base64.b64decode(stored.seed)
            return Draft("", None, (await _inverse(services, stored.undoes, seed, services.state),))
        return Draft(stored.document, await asyncio.to_thread(_read, stored.document))


async def apply(unit: Unit, stored: StoredPlan, draft: Draft | None = None) -> int:
    """Appends exactly what was approved; returns the revision that it made.

    Raises:
        RefusedError: CONFLICT when the log has moved or the plan was applied before; PLAN_REFUSED when it has faults, or its
            document means something else by now; FORBIDDEN when the actor may not give one of its commands.
    """
    if stored.applied_as is not None:
        raise RefusedError(Reason.CONFLICT, f"this plan was applied as revision {stored.applied_as}")
    if unit.position != stored.base:
        raise RefusedError(Reason.CONFLICT, f"the log moved from revision {stored.base} to {unit.position}")
    made = await _made_again(unit, stored, draft)
    if not made.applicable:
        first = made.plan.problems[0].detail if made.plan.problems else made.failed[0].text
        raise RefusedError(Reason.PLAN_REFUSED, first)
    if made.plan.hash != stored.hash:
        raise RefusedError(Reason.PLAN_REFUSED, "an e-mail address in it belongs to somebody else by now")
    for step in made.plan.steps:
        await unit.execute(step.command)
    # What was appended is what was approved: commands were decided twice, and must have led to the same events.
    if plan_hash(made.plan.base, [change.event for change in unit.changes]) != stored.hash:
        raise LocalError(Reason.INTERNAL, "a plan led to other events than it showed")
    await plans.mark_applied(unit.connection, stored.hash, by=unit.actor, at=unit.now, revision=unit.position)
    return int(unit.position)


async def _made_again(unit: Unit, stored: StoredPlan, draft: Draft | None) -> Made:
    seed = base64.b64decode(stored.seed)
    if stored.undoes is not None:
        steps = () if draft is None else draft.undo
        return await asyncio.to_thread(_fold, unit.state, steps, (), seed, unit.actor, unit.now, effects=False)
    if draft is not None and draft.document == stored.document and draft.desired is not None:
        desired = draft.desired
    else:
        desired = await asyncio.to_thread(_read, stored.document)
    people = await _people(unit.connection, desired)
    return await asyncio.to_thread(
        _make, unit.state, desired, people, (), seed, stored.prune, unit.actor, unit.now, effects=False
    )


def stored_plan(
    made: Made,
    document: str,
    *,
    prune: bool,
    body: str,
    summary: str,
    actor: str,
    now: float,
    undoes: int | None = None,
) -> StoredPlan:
    """The form in which a plan waits for its approval."""
    return StoredPlan(
        hash=made.plan.hash,
        base=int(made.plan.revision),
        seed=base64.b64encode(made.seed).decode(),
        prune=prune,
        document=document,
        body=body,
        summary=summary,
        created_by=actor,
        created_at=now,
        expires=now + LIFE_S,
        undoes=undoes,
    )


async def export(services: Services) -> tuple[int, str]:
    """Returns a revision and the policy at it as a document."""
    state = services.state
    async with services.store.read() as connection:
        personal = await credentials.get_many(connection, state.users)
    addresses = {user: item.email for user, item in personal.items() if item.email is not None}
    return int(state.position), await asyncio.to_thread(lambda: write_document(desired_of(state, addresses)))


@asynccontextmanager
async def _turn(services: Services) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(TURN_S):
            await services.planning.acquire()
    except TimeoutError as exc:
        raise LocalError(Reason.UNAVAILABLE, "too many plans at once") from exc
    try:
        yield
    finally:
        services.planning.release()


def _make(
    state: PolicyState,
    desired: Desired,
    people: People,
    flows: Sequence[OpenFlow],
    seed: bytes,
    prune: bool,
    actor: str,
    now: float,
    *,
    effects: bool = True,
) -> Made:
    steps = reconcile(state, desired, people, Ids(seed), prune=prune)
    plan = fold_plan(state, steps.steps, steps.problems, actor=actor)
    failed = tuple(unmet(plan, desired.expect, people, now))
    return _with_effects(plan, flows, seed, now, failed, effects=effects)


def _fold(
    state: PolicyState,
    steps: Sequence[Step],
    flows: Sequence[OpenFlow],
    seed: bytes,
    actor: str,
    now: float,
    *,
    effects: bool = True,
) -> Made:
    return _with_effects(fold_plan(state, steps, (), actor=actor), flows, seed, now, (), effects=effects)


def _with_effects(
    plan: Plan, flows: Sequence[OpenFlow], seed: bytes, now: float, failed: tuple[Failed, ...], *, effects: bool
) -> Made:
    if not effects:
        return Made(plan, seed, (), (), failed)
    return Made(plan, seed, tuple(differences(plan, now)), tuple(cuts(plan, flows, now)), failed)


def _read(document: str) -> Desired:
    try:
        return read_document_untrusted(document)
    except DocumentError as exc:
        raise FieldError("document", str(exc)) from exc


async def _people(connection: Connection, desired: Desired) -> dict[str, UserId]:
    return await credentials.find_many_by_email(connection, desired.people())


async def _open_flows(connection: Connection) -> list[OpenFlow]:
    found = [_flow(item) for item in await records.open_flows(connection, limit=FLOWS_MAX)]
    return [flow for flow in found if flow is not None]


def _flow(item: StoredRecord) -> OpenFlow | None:
    record = item.record
    try:
        transport = Transport(record.transport)
        request = Request(parse_host(record.host), transport, None if transport is Transport.ICMP else record.port)
    except (LocalError, ValueError):
        return None  # reported by a connector: what is no host is nothing to judge
    return OpenFlow(record.flow, record.device, record.user, record.resource, request, record.started_ms)
