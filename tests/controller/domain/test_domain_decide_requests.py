"""Requests for access: who may ask, who may answer, what comes of it, and what it never tells."""

import pytest
from policy_world import START, World, fresh_id

from controller.domain import commands as c
from controller.domain import commands_requests as r
from controller.domain.decide_requests import DURATION_MAX_S, HANDLERS, OPEN_MAX, OPEN_S, open_requests_of
from controller.domain.evaluate import may_reach
from controller.domain.model import SubjectKind
from controller.domain.request_model import RequestStatus
from controller.domain.request_target import meant, parse_target
from protocol.acl.model import Deny
from protocol.ids import AccessRequestId, GrantId, ResourceId, UserId
from protocol.reasons import Reason


def ask(
    world: World, user: UserId, target: str, *, port: int | None = None, at: int = START, duration_s: int = 3600
) -> AccessRequestId:
    """Asks as the product does: the target in canonical form and what it means; returns the open request's id."""
    canonical = parse_target(target)
    request = AccessRequestId(fresh_id("access_request"))
    resource = meant(world.state, canonical, port)
    world.do(r.RequestAccess(request, user, canonical, port, resource, duration_s, at))
    return request


def approve(
    request: AccessRequestId, approver: UserId, *, at: int = START, expires: int = START + 3600, **more: object
) -> r.ApproveAccessRequest:
    return r.ApproveAccessRequest(request, approver, GrantId(fresh_id("grant")), expires, at, **more)  # type: ignore[arg-type]


def test_an_approval_is_a_grant_that_ends_and_both_name_each_other() -> None:
    world = World()
    asker, approver = world.user(), world.user()
    laptop = world.laptop(asker)
    resource = world.resource(world.network(), "db.corp")
    request = ask(world, asker, "db.corp")
    assert isinstance(may_reach(world.state, laptop, resource, START), Deny)

    decided = world.do(approve(request, approver, expires=START + 7200))

    assert [event.TYPE.partition("/")[0] for event in decided] == ["access_request.approved", "grant.created"]
    answered = world.state.access_requests[request]
    assert (answered.answer, answered.answered_by, answered.granted_until) == (
        RequestStatus.APPROVED,
        approver,
        START + 7200,
    )
    assert answered.grant is not None
    grant = world.state.grants[answered.grant]
    assert (grant.subject.kind, grant.subject.id, grant.expires) == (SubjectKind.USER, asker, START + 7200)
    assert not isinstance(may_reach(world.state, laptop, resource, START + 7199), Deny)
    assert isinstance(may_reach(world.state, laptop, resource, START + 7200), Deny)


def test_t16_nobody_answers_his_own_request() -> None:
    world = World()
    asker = world.user()
    world.resource(world.network(), "db.corp")
    request = ask(world, asker, "db.corp")
    assert world.refused(approve(request, asker))[0] is Reason.FORBIDDEN
    assert world.refused(r.DenyAccessRequest(request, asker, START))[0] is Reason.FORBIDDEN


def test_the_same_target_asked_again_is_the_same_request() -> None:
    world = World()
    asker, other = world.user(), world.user()
    first = ask(world, asker, "DB.corp.", port=5432)
    again = AccessRequestId(fresh_id("access_request"))
    assert world.do(r.RequestAccess(again, asker, "db.corp", 5432, None, 60, START)) == ()
    assert ask(world, other, "db.corp", port=5432) != first
    assert [item.id for item in open_requests_of(world.state, asker, START)] == [first]


def test_t10_two_targets_of_one_resource_are_two_requests() -> None:
    """One answer for both would tell that something covers both."""
    world = World()
    asker = world.user()
    world.resource(world.network(), "*.corp")
    one, two = ask(world, asker, "a.corp"), ask(world, asker, "b.corp")
    assert {item.id for item in open_requests_of(world.state, asker, START)} == {one, two}


def test_what_does_not_exist_can_be_asked_for_and_approved_only_with_a_resource() -> None:
    world = World()
    asker, approver = world.user(), world.user()
    request = ask(world, asker, "nowhere.corp")
    assert world.state.access_requests[request].resource is None
    reason, detail = world.refused(approve(request, approver))
    assert reason is Reason.INVALID_INPUT
    assert detail.startswith("resource: ")
    other = world.resource(world.network())
    world.do(approve(request, approver, resource=other))
    assert world.state.access_requests[request].resource == other


def test_t26_open_requests_are_bounded_and_closed_ones_do_not_count() -> None:
    world = World()
    asker = world.user()
    requests = [ask(world, asker, f"host{number}.corp") for number in range(OPEN_MAX)]
    one_more = r.RequestAccess(AccessRequestId(fresh_id("access_request")), asker, "more.corp", None, None, 60, START)
    assert world.refused(one_more)[0] is Reason.LIMIT_EXCEEDED
    world.do(r.WithdrawAccessRequest(requests[0], asker, START))
    world.do(one_more)


def test_a_request_closes_by_itself() -> None:
    world = World()
    asker, approver = world.user(), world.user()
    world.resource(world.network(), "db.corp")
    request = ask(world, asker, "db.corp")
    late = START + OPEN_S
    assert world.state.access_requests[request].status_at(late - 1) is RequestStatus.OPEN
    assert world.state.access_requests[request].status_at(late) is RequestStatus.EXPIRED
    assert world.refused(approve(request, approver, at=late, expires=late + 60))[0] is Reason.CONFLICT
    assert ask(world, asker, "db.corp", at=late) != request


@pytest.mark.parametrize("second", ["approve", "deny", "withdraw"])
@pytest.mark.parametrize("first", ["approve", "deny"])
def test_an_answered_request_is_not_answered_again(first: str, second: str) -> None:
    world = World()
    asker, approver = world.user(), world.user()
    world.resource(world.network(), "db.corp")
    request = ask(world, asker, "db.corp")
    commands = {
        "approve": lambda: approve(request, approver),
        "deny": lambda: r.DenyAccessRequest(request, approver, START),
        "withdraw": lambda: r.WithdrawAccessRequest(request, asker, START),
    }
    world.do(commands[first]())
    assert world.refused(commands[second]())[0] is Reason.CONFLICT


def test_t10_nobody_withdraws_for_another() -> None:
    world = World()
    asker, other = world.user(), world.user()
    request = ask(world, asker, "db.corp")
    assert world.refused(r.WithdrawAccessRequest(request, other, START))[0] is Reason.NOT_FOUND
    world.do(r.WithdrawAccessRequest(request, asker, START))
    assert world.do(r.WithdrawAccessRequest(request, asker, START)) == ()


@pytest.mark.parametrize("expires", [START, START + 59, START + DURATION_MAX_S + 1])
def test_what_is_granted_on_request_has_a_near_end(expires: int) -> None:
    world = World()
    asker, approver = world.user(), world.user()
    world.resource(world.network(), "db.corp")
    request = ask(world, asker, "db.corp")
    assert world.refused(approve(request, approver, expires=expires))[0] is Reason.INVALID_INPUT


@pytest.mark.parametrize(
    ("target", "port", "duration_s"),
    [("", None, 60), ("bad\nname", None, 60), ("a.corp", 0, 60), ("a.corp", 70_000, 60), ("a.corp", None, 59)],
)
def test_bad_input_is_named(target: str, port: int | None, duration_s: int) -> None:
    world = World()
    request = AccessRequestId(fresh_id("access_request"))
    reason, detail = world.refused(r.RequestAccess(request, world.user(), target, port, None, duration_s, START))
    assert reason is Reason.INVALID_INPUT
    assert detail.partition(":")[0] in ("target", "port", "duration_s")


def test_who_is_disabled_or_unknown_asks_for_nothing() -> None:
    world = World()
    asker = world.user()
    world.do(c.DisableUser(asker))
    request = AccessRequestId(fresh_id("access_request"))
    assert world.refused(r.RequestAccess(request, asker, "a.corp", None, None, 60, START))[0] is Reason.USER_DISABLED
    nobody = UserId(fresh_id("user"))
    assert world.refused(r.RequestAccess(request, nobody, "a.corp", None, None, 60, START))[0] is Reason.NOT_FOUND


def test_a_resource_that_is_gone_cannot_be_approved() -> None:
    world = World()
    asker, approver = world.user(), world.user()
    resource = world.resource(world.network(), "db.corp")
    request = ask(world, asker, "db.corp")
    world.do(c.RemoveResource(ResourceId(resource)))
    assert world.refused(approve(request, approver))[0] is Reason.NOT_FOUND


def test_every_command_about_requests_is_decided() -> None:
    commands = {
        value
        for value in vars(r).values()
        if isinstance(value, type) and issubclass(value, c.Command) and value is not c.Command
    }
    assert set(HANDLERS) == commands
