"""From a document to commands: what it names becomes as written, what it does not name stays unless pruned."""

from plan_world import apply_to, exclude, plan_of, policy
from policy_world import START, WEB, World

from controller.domain.conditions import Conditions
from controller.domain.decide_policies import RemovePolicy
from controller.domain.desired_export import desired_of
from controller.domain.desired_text import write_document
from controller.domain.model import Role, SubjectKind, SubjectRef
from controller.domain.reconcile import Ids
from protocol.ids import is_id

OFFICE = """
networks:
  - name: office
resources:
  - {name: wiki, network: office, address: wiki.corp.internal, ports: {tcp: [443]}}
groups:
  - name: engineers
    members: [ada@corp.example]
service_accounts:
  - name: ci
grants:
  - {to: "group:engineers", resource: wiki}
  - {to: "service-account:ci", resource: wiki, expires: 2030-01-01T00:00:00Z}
"""


def _world() -> tuple[World, dict[str, object]]:
    world = World()
    people = {"ada@corp.example": world.user(), "grace@corp.example": world.user()}
    return world, people  # type: ignore[return-value]


def _summary(plan) -> list[str]:  # type: ignore[no-untyped-def]
    return [f"{step.action} {step.kind} {step.name} {step.detail}".strip() for step in plan.steps]


class TestApplying:
    def test_an_empty_controller_gets_everything(self) -> None:
        world, people = _world()
        plan = plan_of(world, OFFICE, people)
        assert _summary(plan) == [
            "create network office",
            "create resource wiki wiki.corp.internal in office",
            "create group engineers",
            "change group engineers add ada@corp.example",
            "create service_account ci",
            "create grant group:engineers → wiki",
            "create grant service-account:ci → wiki until 2030-01-01T00:00:00Z",
        ]
        apply_to(world, plan)
        ada = SubjectRef(SubjectKind.USER, str(people["ada@corp.example"]))
        device = world.laptop(ada.id)  # type: ignore[arg-type]
        assert device in world.state.devices
        assert plan_of(world, OFFICE, people).steps == ()

    def test_what_a_document_does_not_name_stays(self) -> None:
        world, people = _world()
        apply_to(world, plan_of(world, OFFICE, people))
        grants = len(world.state.grants)
        plan = plan_of(world, "networks: [{name: lab}]\ngrants: []", people)
        assert _summary(plan) == ["create network lab"]
        assert len(plan.after.grants) == grants

    def test_pruning_removes_it_in_an_order_that_works(self) -> None:
        world, people = _world()
        apply_to(world, plan_of(world, OFFICE, people))
        empty = "networks: []\nresources: []\ngroups: []\nservice_accounts: []\ngrants: []\npolicies: []"
        plan = plan_of(world, empty, people, prune=True)
        assert not plan.problems
        after = plan.after
        for things in (after.networks, after.resources, after.groups, after.service_accounts, after.grants):
            assert not things
        assert after.users == world.state.users

    def test_pruning_leaves_sections_alone_that_are_not_written(self) -> None:
        world, people = _world()
        apply_to(world, plan_of(world, OFFICE, people))
        plan = plan_of(world, "service_accounts: []", people, prune=True)
        assert _summary(plan) == ["remove service_account ci"]

    def test_a_subject_and_resource_that_are_named_get_exactly_the_grants_named(self) -> None:
        world, people = _world()
        apply_to(world, plan_of(world, OFFICE, people))
        longer = 'grants:\n  - {to: "service-account:ci", resource: wiki, expires: 2031-01-01T00:00:00Z}'
        plan = plan_of(world, longer, people)
        assert _summary(plan) == [
            "remove grant service-account:ci → wiki until 2030-01-01T00:00:00Z",
            "create grant service-account:ci → wiki until 2031-01-01T00:00:00Z",
        ]

    def test_members_become_as_written_and_absent_ones_are_left_alone(self) -> None:
        world, people = _world()
        apply_to(world, plan_of(world, OFFICE, people))
        other = plan_of(world, "groups: [{name: engineers, members: [grace@corp.example]}]", people)
        assert _summary(other) == [
            "change group engineers add grace@corp.example",
            f"change group engineers remove {people['ada@corp.example']}",
        ]
        assert plan_of(world, "groups: [{name: engineers}]", people).steps == ()

    def test_policies_change_before_and_go_after_the_grants_under_them(self) -> None:
        world, people = _world()
        apply_to(world, plan_of(world, OFFICE, people))
        under = (
            "policies:\n  - {name: staff, conditions: {device_trusted: true}}\n"
            'grants:\n  - {to: "group:engineers", resource: wiki, policy: staff}'
        )
        apply_to(world, plan_of(world, under, people))
        assert [grant.policy is not None for grant in world.state.grants.values()].count(True) == 1
        plan = plan_of(world, "policies: []\ngrants: []", people, prune=True)
        assert not plan.problems
        assert not plan.after.policies
        assert isinstance(plan.steps[-1].command, RemovePolicy)

    def test_exclusions_come_and_go(self) -> None:
        world, people = _world()
        apply_to(world, plan_of(world, OFFICE, people))
        apply_to(world, plan_of(world, "exclusions:\n  - {who: user:ada@corp.example, resource: wiki}", people))
        assert len(world.state.exclusions) == 1
        plan = plan_of(world, "exclusions: []", people, prune=True)
        assert not plan.after.exclusions

    def test_a_resource_moves_out_of_the_way_of_a_new_one(self) -> None:
        world, people = _world()
        apply_to(world, plan_of(world, OFFICE, people))
        swapped = (
            "resources:\n  - {name: new, network: office, address: wiki.corp.internal}\n"
            "  - {name: wiki, network: office, address: old.corp.internal}"
        )
        plan = plan_of(world, swapped, people)
        assert not plan.problems
        assert {str(item.address) for item in plan.after.resources.values()} == {
            "wiki.corp.internal",
            "old.corp.internal",
        }

    def test_an_owner_is_made_before_the_last_one_goes(self) -> None:
        world, people = _world()
        first = world.user(Role.OWNER)
        ada = people["ada@corp.example"]
        text = f"users:\n  - {{user: {first}, role: member}}\n  - {{user: {ada}, role: owner}}"
        plan = plan_of(world, text, people)
        assert not plan.problems
        assert plan.after.users[first].role is Role.MEMBER


class TestProblems:
    def test_unknown_names_are_all_named_with_their_lines(self) -> None:
        world, people = _world()
        text = (
            "resources:\n  - {name: a, network: nowhere, address: a.b}\n"
            "groups:\n  - {name: g, members: [nobody@corp.example]}\n"
            "grants:\n  - {to: group:x, resource: y, policy: z}"
        )
        found = [(item.line, item.detail) for item in plan_of(world, text, people).problems]
        assert (2, "there is no network 'nowhere'") in found
        assert (4, "nobody has the e-mail address or id 'nobody@corp.example'; create the account first") in found
        assert {line for line, _ in found} == {2, 4, 6}
        assert len([line for line, _ in found if line == 6]) == 3

    def test_a_name_that_stands_twice_is_refused_whatever_its_case(self) -> None:
        world, people = _world()
        (problem,) = plan_of(world, "groups: [{name: ops}, {name: OPS}]", people).problems
        assert "twice" in problem.detail

    def test_what_the_document_prunes_cannot_be_granted(self) -> None:
        world, people = _world()
        apply_to(world, plan_of(world, OFFICE, people))
        text = 'resources: []\ngrants:\n  - {to: "group:engineers", resource: wiki}'
        (problem,) = plan_of(world, text, people, prune=True).problems
        assert "this document would remove it" in problem.detail

    def test_a_network_with_connectors_is_not_pruned(self) -> None:
        world, people = _world()
        world.connector(world.network("office"))
        (problem,) = plan_of(world, "networks: []", people, prune=True).problems
        assert problem.detail.startswith("remove network office: It is still in use.")


class TestExport:
    def test_an_export_applies_to_nothing(self) -> None:
        world, people = _world()
        apply_to(world, plan_of(world, OFFICE, people))
        staff = policy(world, "staff", Conditions(device_trusted=True))
        assert staff in world.state.policies
        (wiki,) = world.state.resources
        exclude(world, str(people["grace@corp.example"]), wiki, expires=START + 60)
        addresses = {str(user): address for address, user in people.items()}
        document = write_document(desired_of(world.state, addresses))
        for prune in (False, True):
            plan = plan_of(world, document, people, prune=prune)
            assert (plan.steps, plan.problems) == ((), ())
        assert "ada@corp.example" in document

    def test_erased_people_go_by_their_id(self) -> None:
        world, people = _world()
        apply_to(world, plan_of(world, OFFICE, people))
        document = write_document(desired_of(world.state, {}))
        plan = plan_of(world, document, {}, prune=True)
        assert (plan.steps, plan.problems) == ((), ())


def test_ids_of_one_seed_are_the_same_again_and_all_different() -> None:
    one, again, other = Ids(b"a"), Ids(b"a"), Ids(b"b")
    ids = [one.new("grant") for _ in range(5)]
    assert ids == [again.new("grant") for _ in range(5)]
    assert len({*ids, other.new("grant")}) == 6
    assert all(is_id(item, "grant") for item in ids)


def test_ports_that_are_not_named_are_closed() -> None:
    world, people = _world()
    network = world.network("office")
    world.resource(network, "wiki.corp.internal", WEB, "wiki")
    plan = plan_of(world, "resources: [{name: wiki, network: office, address: wiki.corp.internal}]", people)
    assert _summary(plan) == ["change resource wiki ports"]
