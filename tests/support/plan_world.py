"""Plans over a World: documents folded as the controller folds them, and worlds that hold everything there is to say."""

from collections.abc import Mapping

from hypothesis import strategies as st
from policy_commands import commands_in
from policy_world import World, fresh_id

from controller.domain import commands as c
from controller.domain.commands_policies import CreateExclusion, CreatePolicy
from controller.domain.conditions import Conditions
from controller.domain.decide import decide
from controller.domain.desired import Desired
from controller.domain.desired_text import read_document_untrusted
from controller.domain.model import SubjectKind
from controller.domain.plan import Plan, fold_plan
from controller.domain.reconcile import Ids
from controller.domain.reconcile_access import reconcile
from controller.domain.rules import Refusal
from protocol.ids import ExclusionId, PolicyId, ResourceId, UserId


def plan_of(
    world: World,
    document: str | Desired,
    people: Mapping[str, UserId] | None = None,
    *,
    prune: bool = False,
    actor: str = "cli",
    seed: bytes | None = None,
) -> Plan:
    """Makes the plan that the controller would make."""
    desired = read_document_untrusted(document) if isinstance(document, str) else document
    made = reconcile(world.state, desired, people or {}, Ids(seed or str(world.state.position).encode()), prune=prune)
    return fold_plan(world.state, made.steps, made.problems, actor=actor)


def apply_to(world: World, plan: Plan) -> None:
    """Appends what the plan would append."""
    assert not plan.problems, plan.problems
    for change in plan.changes:
        world.append(change.event)


def policy(world: World, name: str, conditions: Conditions) -> PolicyId:
    """Creates a policy."""
    made = PolicyId(fresh_id("policy"))
    world.do(CreatePolicy(made, name, conditions))
    return made


def exclude(world: World, subject: str, resource: ResourceId, *, expires: int | None = None) -> ExclusionId:
    """Creates an exclusion."""
    made = ExclusionId(fresh_id("exclusion"))
    kinds = {"usr": SubjectKind.USER, "grp": SubjectKind.GROUP, "svc": SubjectKind.SERVICE_ACCOUNT}
    world.do(CreateExclusion(made, kinds[subject[:3]], subject, resource, expires))
    return made


def random_world(data: st.DataObject) -> World:
    """A world after random commands, with policies and exclusions among them."""
    world = World()
    for command in data.draw(st.lists(commands_in(world), min_size=10, max_size=60)):
        decided = decide(world.state, command)
        for event in () if isinstance(decided, Refusal) else decided:
            world.append(event)
    if data.draw(st.booleans()):
        conditions = data.draw(st.sampled_from([Conditions(device_trusted=True), Conditions(sources=("10.0.0.0/8",))]))
        made = policy(world, "staff", conditions)
        for grant in list(world.state.grants.values())[:2]:
            world.do(
                c.CreateGrant(
                    c.GrantId(fresh_id("grant")), grant.subject.kind, grant.subject.id, grant.resource, None, made
                )
            )
    for grant in list(world.state.grants.values())[: data.draw(st.integers(0, 2))]:
        exclude(world, grant.subject.id, grant.resource)
    return world
