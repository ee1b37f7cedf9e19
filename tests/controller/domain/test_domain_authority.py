"""Roles, checked against the state that the command changes (T-16)."""

import sys

import pytest
from policy_world import FAR, PIN, World, fresh_id, fresh_key

from controller.domain import commands as c
from controller.domain import commands_personal as pd
from controller.domain import commands_policies as k
from controller.domain import commands_tokens as t
from controller.domain import decide as decisions
from controller.domain.authority import RULES, refusal_for
from controller.domain.model import Role, SubjectKind
from controller.domain.permissions import TOKEN_SCOPES, Permission
from protocol.ids import ApiTokenId, DeviceId, Epoch, NetworkId, SessionId, UserId
from protocol.reasons import Reason


def may(world: World, actor: str, command: c.Command) -> bool:
    refusal = refusal_for(world.state, actor, command)
    assert refusal is None or refusal.reason is Reason.FORBIDDEN
    return refusal is None


def new_network() -> c.Command:
    return c.CreateNetwork(NetworkId(fresh_id("network")), "x")


def token(world: World, owner: UserId, *scopes: Permission) -> ApiTokenId:
    made = ApiTokenId(fresh_id("api_token"))
    world.do(t.CreateApiToken(made, owner, tuple(item.value for item in scopes), FAR))
    return made


def commands() -> list[type[c.Command]]:
    """Every command that is decided, and every one that was merely declared in a module of the domain."""
    modules = [module for name, module in sys.modules.items() if name.startswith("controller.domain.")]
    declared = {each for module in modules for each in vars(module).values() if isinstance(each, type)}
    found = {kind for kind in declared if issubclass(kind, c.Command)} - {c.Command}
    return sorted({*decisions._HANDLERS, *found}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", commands(), ids=lambda kind: kind.__name__)
def test_t16_every_command_has_a_permission(kind: type[c.Command]) -> None:
    assert kind in RULES, f"{kind.__name__}: say in controller/domain/authority.py which permission it needs"


def test_t16_a_command_without_a_rule_is_given_by_nobody() -> None:
    class Paint(c.Command):
        pass

    world = World()
    assert not may(world, world.user(Role.OWNER), Paint())


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
        pd.RenameUser(owner),
        pd.ErasePersonalData(owner),
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


def test_t16_a_device_is_signed_out_revoked_and_trusted_by_its_owner_or_from_above() -> None:
    world = World()
    owner, admin, other, member = world.user(Role.OWNER), world.user(Role.ADMIN), world.user(Role.ADMIN), world.user()
    guard = token(world, owner, Permission.DEVICES_WRITE)
    allowed = {
        owner: {owner, guard},
        admin: {owner, admin},
        other: {owner, other},
        member: {owner, admin, other, member, guard},
    }
    for holder, actors in allowed.items():
        device = world.laptop(holder)
        session = world.state.session_of[device]
        for command in (c.RevokeDevice(device), c.EndSession(session), k.TrustDevice(device), k.UntrustDevice(device)):
            for actor in (owner, admin, other, member, guard):
                permitted = {*actors} - {member} if isinstance(command, k.TrustDevice | k.UntrustDevice) else actors
                assert may(world, actor, command) is (actor in permitted), (holder, actor, command)
    of_service = world.device(world.service_account())
    assert may(world, admin, c.RevokeDevice(of_service))
    assert may(world, guard, c.RevokeDevice(of_service))
    assert may(world, guard, k.TrustDevice(of_service))


# --- roles between admin and member ----------------------------------------------------------------------------------


def test_each_role_gives_the_commands_of_its_area() -> None:
    world = World()
    network = world.network()
    resource, member = world.resource(network), world.user()
    wanted = {
        new_network(): {Role.NETWORK_ADMIN},
        c.IssueEnrolment("connector", world.connector(network)): {Role.NETWORK_ADMIN},
        c.IssueEnrolment("relay", world.relay()): {Role.NETWORK_ADMIN},
        c.RemoveResource(resource): {Role.NETWORK_ADMIN},
        c.IssueEnrolment("service", world.service_account()): set[Role](),
        c.IssueEnrolment("kettle", "con_x"): set[Role](),
        c.RevokeGrant(world.grant(member, resource)): set[Role](),
        c.DisableUser(member): set[Role](),
        c.EnrolConnector(world.connector(network), fresh_key(), PIN): set[Role](),
    }
    for role in (Role.NETWORK_ADMIN, Role.ACCESS_APPROVER, Role.AUDITOR, Role.MEMBER):
        actor = world.user(role)
        for command, roles in wanted.items():
            assert may(world, actor, command) is (role in roles), (role, command)


def test_t16_a_role_is_given_by_who_stands_above_it() -> None:
    world = World()
    admin, other = world.user(Role.ADMIN), world.user(Role.ADMIN)
    for role in set(Role) - {Role.OWNER, Role.ADMIN}:
        assert may(world, admin, c.ChangeUserRole(world.user(), role))
        assert may(world, admin, c.CreateUser(UserId(fresh_id("user")), role))
    for target in (admin, other):
        assert not may(world, admin, c.ChangeUserRole(target, Role.MEMBER))
    for role in set(Role) - {Role.OWNER, Role.ADMIN}:
        actor = world.user(role)
        for wanted in Role:
            assert not may(world, actor, c.ChangeUserRole(actor, wanted))
            assert not may(world, actor, c.CreateUser(UserId(fresh_id("user")), wanted))


# --- API tokens ------------------------------------------------------------------------------------------------------


def test_t16_a_token_gives_what_its_scopes_name_and_its_owner_could() -> None:
    world = World()
    owner, member = world.user(Role.OWNER), world.user()
    narrow = token(world, owner, Permission.NETWORKS_WRITE)
    idle = token(world, member, *TOKEN_SCOPES)
    assert may(world, narrow, new_network())
    assert not may(world, narrow, c.RemoveRelay(world.relay()))
    assert not may(world, narrow, c.DisableUser(member))
    assert not may(world, idle, new_network())
    world.do(c.ChangeUserRole(world.user(Role.OWNER), Role.OWNER))
    world.do(c.ChangeUserRole(owner, Role.AUDITOR))
    assert not may(world, narrow, new_network())


def test_t16_a_token_never_makes_a_credential() -> None:
    world = World()
    owner, member = world.user(Role.OWNER), world.user()
    actor = token(world, owner, *TOKEN_SCOPES)
    device = world.device(owner)
    for command in (
        t.CreateApiToken(ApiTokenId(fresh_id("api_token")), owner, ("self:read",), FAR),
        c.SetUserPassword(owner),
        c.SetUserPassword(member),
        c.RegisterDevice(DeviceId(fresh_id("device")), SubjectKind.USER, owner, fresh_key(), "linux"),
        c.StartSession(SessionId(fresh_id("session")), device, owner, FAR),
    ):
        assert not may(world, actor, command), command
        assert may(world, owner, command), command


def test_t16_a_token_gives_nobody_more_than_a_member_has() -> None:
    world = World()
    owner, auditor, member = world.user(Role.OWNER), world.user(Role.AUDITOR), world.user()
    actor = token(world, owner, *TOKEN_SCOPES)
    for role in set(Role) - {Role.MEMBER}:
        for command in (c.CreateUser(UserId(fresh_id("user")), role), c.ChangeUserRole(member, role)):
            assert not may(world, actor, command), command
            assert may(world, owner, command), command
    assert may(world, actor, c.CreateUser(UserId(fresh_id("user")), Role.MEMBER))
    assert may(world, actor, c.ChangeUserRole(auditor, Role.MEMBER))


def test_t16_nobody_makes_a_token_beyond_himself_or_for_another() -> None:
    world = World()
    owner, auditor = world.user(Role.OWNER), world.user(Role.AUDITOR)

    def create(actor: UserId, owner: UserId, *scopes: str) -> bool:
        return may(world, actor, t.CreateApiToken(ApiTokenId(fresh_id("api_token")), owner, scopes, FAR))

    assert create(auditor, auditor, "audit:read", "grants:read")
    assert not create(auditor, auditor, "audit:read", "grants:write")
    assert not create(owner, auditor, "audit:read")


def test_a_token_is_revoked_by_its_owner_or_from_above() -> None:
    world = World()
    owner, admin, other, member = world.user(Role.OWNER), world.user(Role.ADMIN), world.user(Role.ADMIN), world.user()
    of_member, of_admin = token(world, member, Permission.SELF_READ), token(world, admin, Permission.SELF_READ)
    for actor in (owner, admin, member):
        assert may(world, actor, t.RevokeApiToken(of_member))
    assert not may(world, world.user(), t.RevokeApiToken(of_member))
    assert not may(world, world.user(Role.AUDITOR), t.RevokeApiToken(of_member))
    assert may(world, admin, t.RevokeApiToken(of_admin))
    assert may(world, owner, t.RevokeApiToken(of_admin))
    assert not may(world, other, t.RevokeApiToken(of_admin))


@pytest.mark.parametrize("end", [c.DisableUser, c.RemoveUser])
def test_t16_a_token_ends_with_its_owner(end: type[c.DisableUser] | type[c.RemoveUser]) -> None:
    world = World()
    admin = world.user(Role.ADMIN)
    actor = token(world, admin, Permission.NETWORKS_WRITE)
    assert may(world, actor, new_network())
    world.do(end(admin))
    assert not may(world, actor, new_network())
    assert not world.state.api_tokens
    assert not world.state.api_tokens_of
    if end is c.DisableUser:
        world.do(c.EnableUser(admin))
        assert not may(world, actor, new_network())
