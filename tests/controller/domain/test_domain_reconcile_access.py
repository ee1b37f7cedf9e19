"""The round trip: whatever there is, its export applies to nothing, and applies elsewhere to the same."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plan_world import apply_to, plan_of, random_world
from policy_world import World

from controller.domain import commands as c
from controller.domain.desired_export import desired_of
from controller.domain.desired_text import read_document_untrusted, write_document


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_export_and_apply_are_a_round_trip(data: st.DataObject) -> None:
    world = random_world(data)
    document = write_document(desired_of(world.state, {}))
    for prune in (False, True):
        plan = plan_of(world, document, prune=prune)
        assert (plan.steps, plan.problems) == ((), ())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_a_document_makes_any_policy_the_one_that_it_describes(data: st.DataObject) -> None:
    """Applied with pruning to another policy of the same people, the export of the first is the export of the second."""
    wanted, other = random_world(data), World()
    for user in wanted.state.users.values():
        other.do(c.CreateUser(user.id, user.role))
    elsewhere = other.network("elsewhere")
    other.grant(other.group(name="others"), other.resource(elsewhere, "x.internal", name="x"))
    document = write_document(desired_of(wanted.state, {}))
    if any(user.disabled for user in wanted.state.users.values()):
        document = document.replace("disabled: true", "disabled: false")
    plan = plan_of(other, document, prune=True)
    apply_to(other, plan)
    assert desired_of(other.state, {}) == read_document_untrusted(document)


def test_equal_grants_are_counted() -> None:
    world = World()
    user = world.user()
    resource = world.resource(world.network())
    world.grant(user, resource)
    world.grant(user, resource)
    desired = desired_of(world.state, {})
    assert desired.grants is not None
    assert len(desired.grants) == 2
    once = f'grants:\n  - {{to: "user:{user}", resource: {world.state.resources[resource].name}}}'
    assert [step.action for step in plan_of(world, once).steps] == ["remove"]
