"""What a restored state allows that a later one did not (F-26)."""

from policy_world import World

from controller.domain import commands as c
from controller.domain.model import Role
from controller.domain.resurrected import Trace, compare


def test_f26_everything_that_was_taken_away_is_named_and_what_came_back_is_not() -> None:
    world = World()
    owner, ada, eve, joe = (world.user(role) for role in (Role.OWNER, Role.MEMBER, Role.MEMBER, Role.MEMBER))
    group = world.group(ada, eve)
    device = world.device(eve)
    restored, position = world.state, world.state.position
    world.do(c.DisableUser(ada))
    world.do(c.DisableUser(joe))
    world.do(c.EnableUser(joe))
    world.do(c.RevokeDevice(device))
    world.do(c.RemoveGroupMember(group, eve))
    world.do(c.ChangeUserRole(owner, Role.OWNER))
    world.user()
    tail: dict[str, tuple[Trace, ...]] = {}
    for change in world.changes:
        if change.position > position:
            trace = Trace(change.position, change.event.TYPE, "cli", change.after.state.at_ms)
            tail[change.event.stream] = (*tail.get(change.event.stream, ()), trace)
    tail[str(joe)] = (*tail[str(joe)], Trace(99, "user.personal_data_erased/1", str(owner), 7))
    found = compare(restored, world.state, tail)
    assert [(item.kind, item.id, item.what) for item in found] == [
        ("user", ada, "was disabled"),
        ("device", device, "was removed, revoked or ended"),
        ("group", group, f"{eve} was taken out"),
        ("user", joe, "personal data was erased"),
    ]
    assert [item.trace.type for item in found if item.trace] == [
        "user.disabled/1",
        "device.revoked/1",
        "group.member_removed/1",
        "user.personal_data_erased/1",
    ]
    assert compare(restored, restored, {}) == []
