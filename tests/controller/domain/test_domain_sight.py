"""What of an event each reader is told (T-10)."""

import pytest
from policy_world import FAR, WEB, World, fresh_id

from controller.domain import commands as c
from controller.domain import commands_tokens as t
from controller.domain.model import Role
from controller.domain.sight import ids_told, kind_of
from controller.domain.standing import Standing, standing_of
from protocol.ids import ApiTokenId, GrantId


def standing(world: World, actor: str) -> Standing:
    found = standing_of(world.state, actor)
    assert found is not None
    return found


def told(world: World, actor: str) -> tuple[str, ...] | None:
    """What ``actor`` is told of the last event."""
    change = world.changes[-1]
    return ids_told(change.after.state, change.before, standing(world, actor), change.event)


def test_a_kind_is_a_type_without_its_version() -> None:
    world = World()
    world.network()
    assert kind_of(world.changes[-1].event) == "network.created"


@pytest.mark.parametrize("role", list(Role))
def test_t10_places_are_told_to_those_who_read_places(role: Role) -> None:
    world = World()
    reader = world.user(role)
    network = world.network()
    may = role in (Role.OWNER, Role.ADMIN, Role.NETWORK_ADMIN, Role.AUDITOR)
    assert told(world, reader) == ((network,) if may else None)


def test_t10_of_a_grant_each_sees_the_part_that_he_may_read() -> None:
    world = World()
    network_admin, approver = world.user(Role.NETWORK_ADMIN), world.user(Role.ACCESS_APPROVER)
    member, other = world.user(Role.MEMBER), world.user(Role.MEMBER)
    resource = world.resource(world.network(), "wiki.corp.internal", WEB)
    grant = world.grant(member, resource)
    assert told(world, network_admin) == (grant, resource), "not whose it is"
    assert told(world, approver) == (grant, member, resource)
    assert told(world, member) == (member,)
    assert told(world, other) is None
    world.do(c.RevokeGrant(GrantId(grant)))
    assert told(world, member) is None, "the event names the grant alone"


def test_t10_what_was_removed_was_somebodys() -> None:
    world = World()
    member, other = world.user(Role.MEMBER), world.user(Role.MEMBER)
    device = world.device(member)
    world.do(c.RevokeDevice(device))
    assert device not in world.state.devices
    assert told(world, member) == (device,)
    assert told(world, other) is None
    token = ApiTokenId(fresh_id("api_token"))
    world.do(t.CreateApiToken(token, member, ("grants:read",), FAR))
    assert told(world, token) is None, "the token itself may not read what is its owner's"
    world.do(t.RevokeApiToken(token))
    assert told(world, member) == (token,)


def test_the_audit_trail_shows_also_what_names_nothing() -> None:
    world = World()
    auditor, member = world.user(Role.AUDITOR), world.user(Role.MEMBER)
    world.do(c.RaiseEpoch(2))
    assert told(world, auditor) == ()
    assert told(world, member) is None
