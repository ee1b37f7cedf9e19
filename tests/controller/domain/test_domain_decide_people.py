"""Rules of users, groups, service accounts, devices, sessions and grants."""

import pytest
from policy_world import FAR, World, fresh_id, fresh_key

from controller.domain import commands as c
from controller.domain.events import UserRoleChanged
from controller.domain.model import Role, SubjectKind
from protocol.ids import DeviceId, GrantId, GroupId, ServiceAccountId, SessionId, UserId
from protocol.reasons import Reason


def test_t16_the_last_owner_stays_owner() -> None:
    world = World()
    owner = world.user(Role.OWNER)
    world.user(Role.ADMIN)
    for command in (c.ChangeUserRole(owner, Role.ADMIN), c.DisableUser(owner), c.RemoveUser(owner)):
        assert world.refused(command)[0] is Reason.LAST_OWNER


def test_t16_a_disabled_owner_does_not_count() -> None:
    world = World()
    first, second = world.user(Role.OWNER), world.user(Role.OWNER)
    world.do(c.DisableUser(second))
    assert world.refused(c.RemoveUser(first))[0] is Reason.LAST_OWNER
    world.do(c.EnableUser(second))
    world.do(c.RemoveUser(first))
    assert world.refused(c.DisableUser(second))[0] is Reason.LAST_OWNER


def test_a_disabled_owner_may_go_while_another_one_is_there() -> None:
    world = World()
    world.user(Role.OWNER)
    gone = world.user(Role.OWNER)
    world.do(c.DisableUser(gone))
    world.do(c.RemoveUser(gone))
    assert gone not in world.state.users


def test_what_is_already_so_makes_no_event() -> None:
    world = World()
    user = world.user()
    group = world.group(user)
    account = world.service_account()
    assert world.do(c.ChangeUserRole(user, Role.MEMBER)) == ()
    assert world.do(c.EnableUser(user)) == ()
    assert world.do(c.AddGroupMember(group, user)) == ()
    assert world.do(c.RemoveGroupMember(group, world.user())) == ()
    assert world.do(c.RenameGroup(group, world.state.groups[group].name)) == ()
    assert world.do(c.EnableServiceAccount(account)) == ()
    world.do(c.DisableUser(user))
    assert world.do(c.DisableUser(user)) == ()
    world.do(c.DisableServiceAccount(account))
    assert world.do(c.DisableServiceAccount(account)) == ()


def test_roles_change() -> None:
    world = World()
    user = world.user()
    assert world.do(c.ChangeUserRole(user, Role.ADMIN)) == (UserRoleChanged(user, Role.ADMIN),)
    assert world.state.users[user].role is Role.ADMIN


@pytest.mark.parametrize(
    "command",
    [
        c.ChangeUserRole(UserId("usr_x"), Role.OWNER),
        c.DisableUser(UserId("usr_x")),
        c.EnableUser(UserId("usr_x")),
        c.RemoveUser(UserId("usr_x")),
        c.RenameGroup(GroupId("grp_x"), "x"),
        c.RemoveGroup(GroupId("grp_x")),
        c.AddGroupMember(GroupId("grp_x"), UserId("usr_x")),
        c.RemoveGroupMember(GroupId("grp_x"), UserId("usr_x")),
        c.DisableServiceAccount(ServiceAccountId("svc_x")),
        c.EnableServiceAccount(ServiceAccountId("svc_x")),
        c.RemoveServiceAccount(ServiceAccountId("svc_x")),
        c.RevokeDevice(DeviceId("dev_x")),
        c.EndSession(SessionId("ses_x")),
        c.RevokeGrant(GrantId("gra_x")),
    ],
)
def test_unknown_ids_are_not_found_by_name(command: c.Command) -> None:
    reason, detail = World().refused(command)
    assert reason is Reason.NOT_FOUND
    assert "_x" in detail


def test_a_detail_never_repeats_control_characters() -> None:
    reason, detail = World().refused(c.RemoveUser(UserId("usr_\x1b[31m\n" + "y" * 500)))
    assert reason is Reason.NOT_FOUND
    assert detail.isprintable()
    assert len(detail) < 200


def test_unknown_parts_of_a_command_are_not_found() -> None:
    world = World()
    group, user = world.group(), world.user()
    resource = world.resource(world.network())
    grant = GrantId(fresh_id("grant"))
    for kind in SubjectKind:
        assert world.refused(c.CreateGrant(grant, kind, "nobody", resource))[0] is Reason.NOT_FOUND
    missing = c.CreateGrant(grant, SubjectKind.USER, user, world.resource(world.network()))
    world.do(c.RemoveResource(missing.resource))
    assert world.refused(missing)[0] is Reason.NOT_FOUND
    assert world.refused(c.AddGroupMember(group, UserId("usr_x")))[0] is Reason.NOT_FOUND


def test_one_key_is_one_living_device() -> None:
    world = World()
    user, key = world.user(), fresh_key()
    first = world.device(user, key)
    again = c.RegisterDevice(DeviceId(fresh_id("device")), SubjectKind.USER, user, key, "linux")
    reason, detail = world.refused(again)
    assert reason is Reason.ALREADY_EXISTS
    assert first in detail
    world.do(c.RevokeDevice(first))
    world.do(again)


def test_groups_own_no_devices_and_platforms_are_words() -> None:
    world = World()
    group, user = world.group(), world.user()
    device = DeviceId(fresh_id("device"))
    assert (
        world.refused(c.RegisterDevice(device, SubjectKind.GROUP, group, fresh_key(), "linux"))[0]
        is Reason.INVALID_INPUT
    )
    for platform in ("", "x" * 65, "a\nb", "ä"):
        wrong = c.RegisterDevice(device, SubjectKind.USER, user, fresh_key(), platform)
        assert world.refused(wrong)[0] is Reason.INVALID_INPUT


def test_a_session_starts_only_for_the_owner_of_the_device() -> None:
    world = World()
    user, other = world.user(), world.user()
    device = world.device(user)
    session = SessionId(fresh_id("session"))
    assert world.refused(c.StartSession(session, device, other, FAR))[0] is Reason.FORBIDDEN
    assert world.refused(c.StartSession(session, device, user, -1))[0] is Reason.INVALID_INPUT
    world.do(c.DisableUser(user))
    assert world.refused(c.StartSession(session, device, user, FAR))[0] is Reason.USER_DISABLED


def test_a_service_account_has_no_session() -> None:
    world = World()
    device = world.device(world.service_account())
    session = c.StartSession(SessionId(fresh_id("session")), device, world.user(), FAR)
    assert world.refused(session)[0] is Reason.FORBIDDEN


def test_a_new_session_replaces_the_old_one() -> None:
    world = World()
    device = world.device(world.user())
    first, second = world.session(device), world.session(device)
    assert first not in world.state.sessions
    assert world.state.session_of[device] == second
    assert world.refused(c.EndSession(first))[0] is Reason.NOT_FOUND


def test_a_grant_may_end() -> None:
    world = World()
    user, resource = world.user(), world.resource(world.network())
    grant = world.grant(user, resource, expires=FAR)
    assert world.state.grants[grant].expires == FAR
    wrong = c.CreateGrant(GrantId(fresh_id("grant")), SubjectKind.USER, user, resource, 10**12)
    assert world.refused(wrong)[0] is Reason.INVALID_INPUT
