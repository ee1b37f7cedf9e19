"""What takes an event back, and what does not (T-16)."""

from dataclasses import replace
from typing import Any

import pytest
from policy_world import WEB, World

from controller.domain import commands as c
from controller.domain import commands_policies as k
from controller.domain.conditions import Conditions
from controller.domain.model import Role
from controller.domain.reconcile import Ids
from controller.domain.state import PolicyState
from controller.domain.undo import Past, inverse
from protocol.errors import RefusedError
from protocol.ids import GrantId, GroupId, ResourceId
from protocol.reasons import Reason

TRUSTED = Conditions(device_trusted=True)
KINDS = """
    grant grant_gone exclusion exclusion_gone policy policy_changed policy_gone member member_gone group group_renamed network
    network_renamed egress network_gone resource resource_changed user_disabled account_disabled account_enabled trusted untrusted
"""


def take_back(world: World, steps_ago: int = 1) -> None:
    """Takes the last event back, or one before."""
    change = world.changes[-steps_ago]
    world.do(inverse(Past.of(change.event, change.before, world.state), Ids(b"seed")).command)


def shape(state: PolicyState) -> Any:
    """The policy without the ids of what can be made anew."""
    grants = {replace(item, id=GrantId(""), created_ms=0) for item in state.grants.values()}
    exclusions = {(item.subject, item.resource, item.expires) for item in state.exclusions.values()}
    policies = {(item.name, item.conditions) for item in state.policies.values()}
    networks = {(item.name, item.egress_allow) for item in state.networks.values()}
    resources = {replace(item, id=ResourceId("")) for item in state.resources.values()}
    members = {group: frozenset(users) for group, users in state.members.items()}
    trusted = {item.id for item in state.devices.values() if item.trusted}
    disabled = {item.id for item in (*state.users.values(), *state.service_accounts.values()) if item.disabled}
    groups = {(item.id, item.name) for item in state.groups.values()}
    return grants, exclusions, policies, networks, resources, members, trusted, disabled, groups


@pytest.mark.parametrize(
    "kind",
    KINDS.split(),
)
def test_t16_what_is_taken_back_is_as_it_was(kind: str) -> None:
    world = World()
    network, user = world.network(), world.user()
    account, resource = world.service_account(), world.resource(network, "wiki.internal", WEB)
    device, group, policy = world.device(user), world.group(), world.policy(TRUSTED)
    empty = world.network()
    if kind == "account_enabled":
        world.do(c.DisableServiceAccount(account))
    if kind == "untrusted":
        world.do(k.TrustDevice(device))
    if kind == "member_gone":
        world.group_member(group, user)
    if kind == "grant_gone":
        grant = world.grant(user, resource)
    if kind == "exclusion_gone":
        exclusion = world.exclusion(user, resource)
    before = shape(world.state)
    match kind:
        case "grant":
            world.grant(user, resource)
        case "grant_gone":
            world.do(c.RevokeGrant(grant))
        case "exclusion":
            world.exclusion(user, resource)
        case "exclusion_gone":
            world.do(k.RemoveExclusion(exclusion))
        case "policy":
            world.policy(Conditions(mfa_max_age_s=60))
        case "policy_changed":
            world.do(k.ChangePolicy(policy, "other name", Conditions(mfa_max_age_s=60)))
        case "policy_gone":
            world.do(k.RemovePolicy(policy))
        case "member":
            world.group_member(group, user)
        case "member_gone":
            world.do(c.RemoveGroupMember(group, user))
        case "group":
            world.do(c.CreateGroup(GroupId("grp_AAAAAAAAAAAAAAAAAAAAAA"), "a new one"))
        case "group_renamed":
            world.do(c.RenameGroup(group, "another"))
        case "network":
            world.network()
        case "network_renamed":
            world.do(c.RenameNetwork(network, "another"))
        case "egress":
            world.do(c.ChangeNetworkEgress(network, ("127.0.0.1",)))
        case "network_gone":
            world.do(c.RemoveNetwork(empty))
        case "resource":
            world.resource(network, "new.internal", WEB)
        case "resource_changed":
            world.do(c.ChangeResource(resource, name="another", address="other.internal", lease_s=7200))
        case "user_disabled":
            world.do(c.DisableUser(user))
        case "account_disabled":
            world.do(c.DisableServiceAccount(account))
        case "account_enabled":
            world.do(c.EnableServiceAccount(account))
        case "trusted":
            world.do(k.TrustDevice(device))
        case "untrusted":
            world.do(k.UntrustDevice(device))
    assert shape(world.state) != before
    take_back(world)
    assert shape(world.state) == before


def refused(world: World, steps_ago: int) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        take_back(world, steps_ago)
    return caught.value


def test_t16_what_was_built_on_since_stays() -> None:
    world = World()
    policy = world.policy(TRUSTED)
    world.do(k.ChangePolicy(policy, "second"))
    world.do(k.ChangePolicy(policy, "third"))
    assert "changed again" in refused(world, 2).detail
    world.do(k.RemovePolicy(policy))
    assert "removed since" in refused(world, 2).detail
    user, resource = world.user(), world.resource(world.network())
    world.grant(user, resource)
    assert refused(world, 2).reason is Reason.IN_USE
    world.do(c.RevokeGrant(next(iter(world.state.grants))))
    assert refused(world, 2).reason is Reason.CONFLICT


def test_what_has_no_plain_inverse_says_so() -> None:
    world = World()
    user = world.user(Role.OWNER)
    for command in (c.RaiseEpoch(2), c.SetUserPassword(user), c.RemoveConnector(world.connector(world.network()))):
        world.do(command)
        error = refused(world, 1)
        assert error.reason is Reason.CONFLICT
        assert "no plain inverse" in error.detail
