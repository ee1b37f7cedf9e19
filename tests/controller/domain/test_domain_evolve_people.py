"""What ends with people, groups, service accounts and devices."""

from policy_world import World

from controller.domain import commands as c
from protocol.reasons import Reason


def test_a_removed_user_takes_along_devices_sessions_memberships_and_grants() -> None:
    world = World()
    user = world.user()
    group = world.group(user)
    device = world.laptop(user)
    resource = world.resource(world.network())
    own, shared = world.grant(user, resource), world.grant(group, resource)
    world.do(c.RemoveUser(user))
    state = world.state
    assert not state.devices
    assert not state.sessions
    assert not state.members
    assert own not in state.grants
    assert shared in state.grants
    assert state.former_agents[device].reason is Reason.DEVICE_REVOKED


def test_a_removed_group_takes_along_its_grants_only() -> None:
    world = World()
    user = world.user()
    group = world.group(user)
    device = world.laptop(user)
    world.grant(group, world.resource(world.network()))
    world.do(c.RemoveGroup(group))
    assert not world.state.grants
    assert not world.state.groups_of
    assert device in world.state.devices


def test_a_removed_service_account_takes_along_its_devices_and_grants() -> None:
    world = World()
    account = world.service_account("ci")
    device = world.device(account)
    world.grant(account, world.resource(world.network()))
    world.do(c.RemoveServiceAccount(account))
    assert not world.state.grants
    assert device in world.state.former_agents
    world.service_account("CI")


def test_a_disabled_user_keeps_what_is_his() -> None:
    world = World()
    user = world.user()
    device = world.laptop(user)
    world.do(c.DisableUser(user))
    assert device in world.state.devices
    assert device in world.state.session_of
    world.do(c.EnableUser(user))
    assert not world.state.users[user].disabled


def test_an_ended_session_leaves_the_device() -> None:
    world = World()
    device = world.laptop(world.user())
    world.do(c.EndSession(world.state.session_of[device]))
    assert device in world.state.devices
    assert not world.state.session_of


def test_a_renamed_group_frees_its_old_name() -> None:
    world = World()
    group = world.group(name="dev")
    world.do(c.RenameGroup(group, "ops"))
    world.group(name="dev")
    assert world.state.groups[group].name == "ops"
