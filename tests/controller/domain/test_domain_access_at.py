"""Access as of then: the spans agree with asking the evaluator at every moment there was."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy_commands import commands_in
from policy_world import START, WEB, World

from controller.domain import commands as c
from controller.domain.access_at import (
    Edge,
    Moment,
    Stretch,
    Verdict,
    ask,
    began,
    ends,
    mentioned,
    spans,
    what_reaches,
    who_reaches,
)
from controller.domain.decide import decide
from controller.domain.log import Change
from controller.domain.model import SubjectKind, SubjectRef
from controller.domain.rules import Refusal
from controller.domain.state import PolicyState
from protocol.ids import DeviceId, ResourceId
from protocol.reasons import Reason


def _walk(world: World, pair: tuple[SubjectRef, ResourceId], *, behind: int = 0) -> list[Moment]:
    first = world.changes[behind - 1].after.state if behind else PolicyState()
    stretch = Stretch(first, (pair,))
    for change in world.changes[behind:]:
        stretch.visit(change)
    return stretch.of(pair)


def _user(world: World, device: DeviceId) -> SubjectRef:
    return world.state.devices[device].owner


class TestOneMoment:
    def test_a_group_grant_reaches_each_device_of_each_member(self) -> None:
        world = World()
        ada, grace = world.user(), world.user()
        laptops = {world.laptop(ada), world.laptop(ada), world.laptop(grace)}
        resource = world.resource(world.network())
        grant = world.grant(world.group(ada, grace), resource)
        lines = list(who_reaches(world.state, resource, START))
        assert {line.device for line in lines} == laptops
        assert all(line.answer.grants == (grant,) and line.answer.ports == WEB for line in lines)

    def test_a_device_without_a_session_is_listed_as_denied(self) -> None:
        world = World()
        ada = world.user()
        device = world.device(ada)
        resource = world.resource(world.network())
        world.grant(ada, resource)
        (line,) = who_reaches(world.state, resource, START)
        assert (line.device, line.answer.verdict, line.answer.reason) == (
            device,
            Verdict.DENIED,
            Reason.SESSION_ENDED,
        )

    def test_what_a_user_reaches_comes_from_himself_and_his_groups(self) -> None:
        world = World()
        ada = world.user()
        device, network = world.laptop(ada), world.network()
        one, two, other = (world.resource(network) for _ in range(3))
        world.grant(ada, one)
        world.grant(world.group(ada), two)
        lines = list(what_reaches(world.state, SubjectRef(SubjectKind.USER, ada), START))
        assert {line.resource for line in lines} == {one, two}
        assert other not in {line.resource for line in lines}
        assert all(line.device == device and line.answer.reaches for line in lines)


class TestSpans:
    def test_a_grant_opens_and_its_revocation_closes_and_both_are_cited(self) -> None:
        world = World()
        ada = world.user()
        device, resource = world.laptop(ada), world.resource(world.network())
        grant = world.grant(ada, resource)
        opened = world.changes[-1]
        world.do(c.RevokeGrant(grant))
        closed = world.changes[-1]
        moments = _walk(world, (SubjectRef(SubjectKind.USER, ada), resource))
        found = [span for span in spans(moments, device, resource, START + 100) if span.answer.reaches]
        (span,) = found
        assert span.start == Edge(opened.after.state.at_ms / 1000, opened.position)
        assert span.end == Edge(closed.after.state.at_ms / 1000, closed.position)

    def test_time_alone_ends_a_session_and_no_event_is_cited(self) -> None:
        world = World()
        ada = world.user()
        device, resource = world.device(ada), world.resource(world.network())
        world.session(device, expires=START + 50)
        world.grant(ada, resource)
        moments = _walk(world, (SubjectRef(SubjectKind.USER, ada), resource))
        span = spans(moments, device, resource, START + 100)[-2]
        assert span.answer.reaches
        assert span.end == Edge(START + 50, None)

    def test_what_one_transaction_took_and_gave_back_is_no_break(self) -> None:
        world = World()
        ada = world.user()
        device, resource = world.laptop(ada), world.resource(world.network())
        first = world.grant(ada, resource)
        opened = world.changes[-1]
        world.now_ms += 5000
        world.do(c.RevokeGrant(first))
        world.now_ms -= 1  # the next event carries the same time: it is of the same transaction
        world.grant(ada, resource)
        moments = _walk(world, (SubjectRef(SubjectKind.USER, ada), resource))
        start, exact = began(moments, device, resource, START + 20)
        assert exact
        assert start == Edge(opened.after.state.at_ms / 1000, opened.position)

    def test_a_stretch_that_begins_with_access_says_so(self) -> None:
        world = World()
        ada = world.user()
        device, resource = world.laptop(ada), world.resource(world.network())
        world.grant(ada, resource)
        pair = (SubjectRef(SubjectKind.USER, ada), resource)
        assert began(_walk(world, pair), device, resource, START + 9)[1]
        assert not began(_walk(world, pair, behind=len(world.changes)), device, resource, START + 9)[1]

    def test_open_ended_access_ends_with_the_session(self) -> None:
        world = World()
        ada = world.user()
        device, resource = world.device(ada), world.resource(world.network())
        world.session(device, expires=START + 500)
        world.grant(ada, resource)
        moments = _walk(world, (SubjectRef(SubjectKind.USER, ada), resource))
        assert ends(moments, device, resource, START + 10) == Edge(START + 500, None)

    def test_a_service_account_has_no_end(self) -> None:
        world = World()
        account = world.service_account()
        device, resource = world.device(account), world.resource(world.network())
        world.grant(account, resource)
        moments = _walk(world, (SubjectRef(SubjectKind.SERVICE_ACCOUNT, account), resource))
        assert ends(moments, device, resource, START + 10) is None


def _random_world(data: st.DataObject) -> World:
    world = World()
    for command in data.draw(st.lists(commands_in(world), min_size=20, max_size=60)):
        world.now_ms += data.draw(st.sampled_from([-1, 0, 0, 700, 5_000, 40_000]))
        decided = decide(world.state, command)
        if isinstance(decided, Refusal):
            world.now_ms = max(world.now_ms, world.state.at_ms)
            continue
        for event in decided:
            world.append(event)
    return world


def _times(changes: list[Change]) -> list[float]:
    events = [change.after.state.at_ms / 1000 for change in changes]
    return sorted({*events, *range(START - 20, START + 130)})


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_spans_agree_with_the_evaluator_at_every_moment(data: st.DataObject) -> None:
    """The reference asks the evaluator at each event and each second, whatever the event mentions."""
    world = _random_world(data)
    devices = {device: item.owner for change in world.changes for device, item in change.after.state.devices.items()}
    resources = {resource for change in world.changes for resource in change.after.state.resources}
    until = START + 130
    for device, owner in devices.items():
        for resource in resources:
            moments = _walk(world, (owner, resource))
            found = spans(moments, device, resource, until)
            for now in _times(world.changes):
                state = PolicyState()
                for change in world.changes:
                    if change.after.state.at_ms / 1000 > now:
                        break
                    state = change.after.state
                if state.at_ms / 1000 > now or now >= until:
                    continue
                truth = ask(state, device, resource, now)
                held = [
                    span
                    for span in found
                    if (span.start is None or span.start.at <= now) and (span.end is None or now < span.end.at)
                ]
                assert held[-1].answer.verdict is truth.verdict
                assert held[-1].answer.grants == truth.grants
                if truth.reaches:
                    _check_edges(found, moments, device, resource, now)


def _check_edges(found, moments, device, resource, now) -> None:  # type: ignore[no-untyped-def]
    """`began` and `ends`, found from a moment outwards, are the edges of the run of spans around it."""
    index = max(i for i, span in enumerate(found) if span.start is None or span.start.at <= now)
    first = last = index
    while first and found[first - 1].answer.reaches:
        first -= 1
    while last + 1 < len(found) and found[last + 1].answer.reaches:
        last += 1
    start, exact = began(moments, device, resource, now)
    assert (start.at if exact else None) == (found[first].start.at if found[first].start else None)
    end = ends(moments, device, resource, now)
    if found[last].end is not None:
        assert end is not None
        assert end.at == found[last].end.at


def test_ids_in_lists_are_mentioned_as_well() -> None:
    world = World()
    network = world.network()
    (event,) = world.do(c.ChangeNetworkEgress(network, ("10.0.0.1",)))
    assert mentioned(event) == {network, "10.0.0.1"}
