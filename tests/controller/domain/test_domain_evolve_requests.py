"""What the state keeps of requests for access: bounded for each user, nothing of users who are gone."""

from policy_world import START, World, fresh_id

from controller.domain import commands as c
from controller.domain import commands_requests as r
from controller.domain.evolve_requests import KEPT_MAX
from controller.domain.state import PolicyState
from protocol.ids import AccessRequestId, UserId


def ask(world: World, user: UserId, target: str) -> AccessRequestId:
    request = AccessRequestId(fresh_id("access_request"))
    world.do(r.RequestAccess(request, user, target, None, None, 60, START))
    return request


def test_of_each_user_the_newest_are_kept() -> None:
    world = World()
    asker, other = world.user(), world.user()
    others = ask(world, other, "other.corp")
    first = ask(world, asker, "first.corp")
    for number in range(KEPT_MAX + 5):
        world.do(r.WithdrawAccessRequest(ask(world, asker, f"host{number}.corp"), asker, START))
    assert len(world.state.requests_of[asker]) == KEPT_MAX
    assert first in world.state.access_requests, "an open one stays"
    assert others in world.state.access_requests
    assert len(world.state.access_requests) == KEPT_MAX + 1


def test_a_user_who_is_gone_leaves_no_requests() -> None:
    world = World()
    asker = world.user()
    ask(world, asker, "a.corp")
    world.do(c.RemoveUser(asker))
    assert world.state.access_requests == PolicyState().access_requests
    assert asker not in world.state.requests_of
