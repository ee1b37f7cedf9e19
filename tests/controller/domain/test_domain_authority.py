"""Roles, checked against the state that the command changes (T-16)."""

import pytest
from policy_world import FAR, World, fresh_id, fresh_key

from controller.domain import commands as c
from controller.domain.authority import refusal_for
from controller.domain.model import Role, SubjectKind
from protocol.ids import DeviceId, Epoch, NetworkId, SessionId, UserId
from protocol.reasons import Reason


def may(world: World, actor: str, command: c.Command) -> bool:
    refusal = refusal_for(world.state, actor, command)
    assert refusal is None or refusal.reason is Reason.FORBIDDEN
    return refusal is None


def new_network() -> c.Command:
    return c.CreateNetwork(NetworkId(fresh_id("network")), "x")


def test_deny_by_default() -> None:
    world = World()
    member, gone = world.user(), UserId(fresh_id("user"))
    assert not may(world, member, new_network())
    assert not may(world, gone, new_network())
    admin = world.user(Role.ADMIN)
    assert may(world, admin, new_network())
    world.do(c.DisableUser(admin))
    assert not may(world, admin, new_network())


def test_what_is_no_person_has_no_role() -> None:
    world = World()
    for actor in ("cli", "system", "con_x", "dev_x"):
        assert may(world, actor, new_network())


def test_t16_an_admin_never_becomes_an_owner() -> None:
    world = World()
    owner, admin, member = world.user(Role.OWNER), world.user(Role.ADMIN), world.user()
    for command in (
        c.ChangeUserRole(admin, Role.OWNER),
        c.ChangeUserRole(member, Role.ADMIN),
        c.CreateUser(UserId(fresh_id("user")), Role.OWNER),
        c.CreateUser(UserId(fresh_id("user")), Role.ADMIN),
        c.DisableUser(owner),
        c.RemoveUser(owner),
        c.RemoveUser(admin),
        c.RaiseEpoch(Epoch(3)),
        c.DistrustSigningKey("kid"),
    ):
        assert not may(world, admin, command), command
        assert may(world, owner, command), command
    assert may(world, admin, c.RemoveUser(member))
    assert may(world, admin, c.CreateUser(UserId(fresh_id("user")), Role.MEMBER))
    assert may(world, admin, c.RemoveUser(UserId("usr_unknown")))


def test_t16_a_password_is_set_by_its_owner_or_from_above() -> None:
    world = World()
    owner, admin, other, member = world.user(Role.OWNER), world.user(Role.ADMIN), world.user(Role.ADMIN), world.user()
    for actor in (owner, admin, member):
        assert may(world, actor, c.SetUserPassword(actor))
    for target, actors in {owner: set(), other: {owner}, member: {owner, admin}}.items():
        for actor in {owner, admin, member} - {target}:
            assert may(world, actor, c.SetUserPassword(target)) is (actor in actors)


def test_t16_enrolment_tokens_are_handed_out_by_staff() -> None:
    world = World()
    connector, admin, member = world.connector(world.network()), world.user(Role.ADMIN), world.user()
    command = c.IssueEnrolment("connector", connector)
    assert may(world, admin, command)
    assert not may(world, member, command)
    world.do(c.ChangeUserRole(admin, Role.MEMBER))
    assert not may(world, admin, command)


@pytest.mark.parametrize("role", list(Role))
def test_nobody_signs_in_for_somebody_else(role: Role) -> None:
    world = World()
    actor, other = world.user(role), world.user()
    mine, theirs = world.device(actor), world.device(other)

    def register(user: UserId) -> c.Command:
        return c.RegisterDevice(DeviceId(fresh_id("device")), SubjectKind.USER, user, fresh_key(), "linux")

    def start(device: DeviceId, user: UserId) -> c.Command:
        return c.StartSession(SessionId(fresh_id("session")), device, user, FAR)

    assert may(world, actor, register(actor))
    assert not may(world, actor, register(other))
    assert may(world, actor, start(mine, actor))
    assert not may(world, actor, start(theirs, other))


def test_a_member_ends_only_what_is_his() -> None:
    world = World()
    member, other, admin = world.user(), world.user(), world.user(Role.ADMIN)
    mine, theirs = world.laptop(member), world.laptop(other)
    sessions = world.state.session_of
    assert may(world, member, c.RevokeDevice(mine))
    assert not may(world, member, c.RevokeDevice(theirs))
    assert may(world, member, c.EndSession(sessions[mine]))
    assert not may(world, member, c.EndSession(sessions[theirs]))
    assert not may(world, member, c.EndSession(SessionId("ses_x")))
    assert may(world, admin, c.RevokeDevice(theirs))
    assert may(world, admin, c.EndSession(sessions[theirs]))
