"""Decisions about policies, exclusions, trust and device facts."""

from policy_world import START, World, fresh_id

from controller.domain import commands as c
from controller.domain.commands_policies import (
    ChangePolicy,
    CreateExclusion,
    CreatePolicy,
    RemoveExclusion,
    RemovePolicy,
    ReportDeviceFacts,
    TrustDevice,
    UntrustDevice,
)
from controller.domain.conditions import Conditions
from controller.domain.model import SubjectKind
from protocol.device_facts import DeviceFacts
from protocol.ids import DeviceId, ExclusionId, GrantId, PolicyId, ResourceId
from protocol.reasons import Reason

TRUSTED = Conditions(device_trusted=True)


def new_policy(conditions: Conditions, name: str = "policy") -> CreatePolicy:
    return CreatePolicy(PolicyId(fresh_id("policy")), name, conditions)


def test_names_of_policies_are_unique_and_are_freed() -> None:
    world = World()
    first = new_policy(TRUSTED, "strict")
    world.do(first)
    assert world.refused(new_policy(TRUSTED, "STRICT"))[0] is Reason.ALREADY_EXISTS
    world.do(ChangePolicy(first.policy, name="lax"))
    second = new_policy(TRUSTED, "strict")
    world.do(second)
    world.do(RemovePolicy(second.policy))
    world.do(new_policy(TRUSTED, "strict"))


def test_a_policy_with_grants_stays() -> None:
    world = World()
    policy, user = world.policy(TRUSTED), world.user()
    resource = world.resource(world.network())
    grant = world.grant(user, resource, policy=policy)
    reason, detail = world.refused(RemovePolicy(policy))
    assert (reason, grant in detail) == (Reason.IN_USE, True)
    world.do(c.RemoveUser(user))
    world.do(RemovePolicy(policy))
    gone = c.CreateGrant(GrantId(fresh_id("grant")), SubjectKind.USER, world.user(), resource, None, policy)
    assert world.refused(gone)[0] is Reason.NOT_FOUND
    assert world.refused(ChangePolicy(policy, name="x"))[0] is Reason.NOT_FOUND


def test_an_exclusion_keeps_its_group_and_goes_with_its_user_and_resource() -> None:
    world = World()
    user, group = world.user(), world.group()
    resource, other = world.resource(world.network()), world.resource(world.network())
    kept = world.exclusion(group, resource)
    with_user, with_resource = world.exclusion(user, resource), world.exclusion(group, other)
    assert world.refused(c.RemoveGroup(group))[0] is Reason.IN_USE
    world.do(c.RemoveUser(user))
    world.do(c.RemoveResource(other))
    assert set(world.state.exclusions) == {kept}
    for gone in (with_user, with_resource):
        assert world.refused(RemoveExclusion(gone))[0] is Reason.NOT_FOUND
    world.do(RemoveExclusion(kept))
    world.do(c.RemoveGroup(group))


def test_an_exclusion_needs_a_subject_a_resource_and_a_time() -> None:
    world = World()
    resource, user = world.resource(world.network()), world.user()

    def refused(subject: str, on: ResourceId, expires: int | None = None) -> Reason:
        exclusion = ExclusionId(fresh_id("exclusion"))
        return world.refused(CreateExclusion(exclusion, SubjectKind.USER, subject, on, expires))[0]

    assert refused("nobody", resource) is Reason.NOT_FOUND
    assert refused(user, ResourceId("res_x")) is Reason.NOT_FOUND
    assert refused(user, resource, 10**12) is Reason.INVALID_INPUT


def test_trust_is_said_once() -> None:
    world = World()
    device = world.laptop(world.user())
    assert len(world.do(TrustDevice(device))) == 1
    assert world.do(TrustDevice(device)) == ()
    assert len(world.do(UntrustDevice(device))) == 1
    assert world.do(UntrustDevice(device)) == ()
    assert world.refused(TrustDevice(DeviceId("dev_x")))[0] is Reason.NOT_FOUND


def test_facts_are_written_when_they_change_or_would_grow_too_old() -> None:
    world = World()
    device = world.laptop(world.user())
    facts = DeviceFacts("linux", firewall=True)
    assert len(world.do(ReportDeviceFacts(device, facts, START))) == 1
    assert world.do(ReportDeviceFacts(device, facts, START + 10**6)) == ()
    assert len(world.do(ReportDeviceFacts(device, DeviceFacts("linux"), START))) == 1
    world.policy(Conditions(firewall=True, facts_max_age_s=3600))
    world.policy(Conditions(device_trusted=True, facts_max_age_s=1800))
    assert world.do(ReportDeviceFacts(device, DeviceFacts("linux"), START + 1799)) == ()
    assert len(world.do(ReportDeviceFacts(device, DeviceFacts("linux"), START + 1800))) == 1
    assert world.state.devices[device].facts_s == START + 1800
