"""Folds of policies, exclusions, trust and facts."""

from policy_world import START, World

from controller.domain.commands_policies import (
    ChangePolicy,
    RemoveExclusion,
    RemovePolicy,
    ReportDeviceFacts,
    TrustDevice,
    UntrustDevice,
)
from controller.domain.conditions import Conditions
from controller.domain.model import SubjectKind, SubjectRef
from protocol.device_facts import DeviceFacts

TRUSTED = Conditions(device_trusted=True)


def test_a_policy_is_there_by_id_and_by_name() -> None:
    world = World()
    policy = world.policy(TRUSTED)
    created = world.state.policies[policy]
    assert (created.conditions, created.created_ms) == (TRUSTED, world.now_ms)
    world.do(ChangePolicy(policy, name="strict", conditions=Conditions(mfa_max_age_s=60)))
    changed = world.state.policies[policy]
    assert (changed.name, changed.conditions.mfa_max_age_s) == ("strict", 60)
    assert changed.created_ms == created.created_ms
    assert [key for key in world.state.names if key[0] == "policy"] == [("policy", "strict")]
    world.do(RemovePolicy(policy))
    assert not world.state.policies
    assert not [key for key in world.state.names if key[0] == "policy"]


def test_an_exclusion_is_found_from_both_ends_and_leaves_nothing() -> None:
    world = World()
    user, resource = world.user(), world.resource(world.network())
    exclusion = world.exclusion(user, resource, expires=START + 5)
    subject = SubjectRef(SubjectKind.USER, user)
    assert exclusion in world.state.exclusions_of[subject]
    assert exclusion in world.state.exclusions_on[resource]
    world.do(RemoveExclusion(exclusion))
    assert not (world.state.exclusions or world.state.exclusions_of or world.state.exclusions_on)  # noqa: PT018


def test_trust_and_facts_belong_to_the_device() -> None:
    world = World()
    device = world.laptop(world.user())
    world.do(TrustDevice(device))
    world.do(ReportDeviceFacts(device, DeviceFacts("linux"), START))
    known = world.state.devices[device]
    assert (known.trusted, known.facts, known.facts_s) == (True, DeviceFacts("linux"), START)
    world.do(UntrustDevice(device))
    assert world.state.devices[device].trusted is False
    assert world.state.devices[device].facts == DeviceFacts("linux")
