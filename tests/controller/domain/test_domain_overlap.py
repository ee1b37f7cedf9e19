"""What overlaps, and that an exclusion takes all of it away, in every answer."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_world import plan_of
from policy_world import START, World

from controller.domain import commands as c
from controller.domain.access_at import Stretch, Verdict, ask, spans
from controller.domain.affected import affected_by
from controller.domain.commands_policies import RemoveExclusion
from controller.domain.desired_text import read_document_untrusted
from controller.domain.evaluate import acl_for_device, explain, may_reach
from controller.domain.losses import Loss, losses_by, losses_of
from controller.domain.model import SubjectKind, SubjectRef
from controller.domain.overlap import overlaps, ports_overlap
from controller.domain.plan_access import OpenFlow, cuts, unmet, ways
from protocol.acl.decide import decide
from protocol.acl.match import AclIndex
from protocol.acl.model import (
    Acl,
    AddressPattern,
    CidrPattern,
    Deny,
    Entry,
    NamePattern,
    Permit,
    PortRange,
    Ports,
    Request,
    Resource,
    Transport,
)
from protocol.acl.names import parse_host, parse_pattern
from protocol.ids import ExclusionId, NetworkId, ResourceId
from protocol.reasons import Reason

NOW = START + 0.5
SSH = Ports(tcp=(PortRange(22, 22),))

labels = st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=3).map(tuple)
names = st.builds(lambda wild, rest: NamePattern(("*", *rest) if wild else rest), st.booleans(), labels)
cidrs = st.builds(
    lambda six, offset, bits: parse_pattern(
        f"{(IPv6Address if six else IPv4Address)((offset >> bits) << bits)}/{(128 if six else 32) - bits}"
    ),
    st.booleans(),
    st.integers(0, 7),
    st.integers(0, 3),
)
patterns: st.SearchStrategy[AddressPattern] = st.one_of(names, cidrs)
ranges = st.lists(
    st.tuples(st.integers(1, 5), st.integers(0, 2)).map(lambda item: PortRange(item[0], item[0] + item[1])), max_size=2
).map(tuple)
ports_values = st.builds(Ports, ranges, ranges, st.booleans())


def _covers(pattern: AddressPattern, other: AddressPattern) -> bool:
    """Whether the matcher finds ``pattern`` for a host that stands for ``other``."""
    resource = Resource(ResourceId("res_x"), "x", NetworkId("net_x"), pattern, Ports(), 60)
    index = AclIndex(Acl((Entry(resource),)))
    if isinstance(other, CidrPattern):
        return bool(index.match(other.network.network_address))
    return bool(index.match(str(other).replace("*", "deep.er")))


@given(patterns, patterns)
def test_patterns_overlap_when_the_matcher_finds_both_for_one_host(one: AddressPattern, other: AddressPattern) -> None:
    assert overlaps(one, other) is overlaps(other, one)
    assert overlaps(one, one)
    assert overlaps(one, other) is (_covers(one, other) or _covers(other, one))


@given(ports_values, ports_values)
def test_ports_overlap_when_one_port_is_in_both(one: Ports, other: Ports) -> None:
    def opened(ports: Ports) -> set[tuple[str, int]]:
        found = {("tcp", port) for item in ports.tcp for port in range(item.first, item.last + 1)}
        found |= {("udp", port) for item in ports.udp for port in range(item.first, item.last + 1)}
        return found | ({("icmp", 0)} if ports.icmp else set())

    assert ports_overlap(one, other) is bool(opened(one) & opened(other))


class Office:
    """A laptop whose user may reach payroll and something else, and an exclusion from payroll."""

    def __init__(self, payroll: str, other: str, *, other_ports: Ports | None = None, far: bool = False) -> None:
        self.world = World()
        self.user = self.world.user()
        self.owner = SubjectRef(SubjectKind.USER, self.user)
        self.device = self.world.laptop(self.user)
        network = self.world.network("office")
        self.payroll = self.world.resource(network, payroll, name="payroll")
        there = self.world.network() if far else network
        ports = other_ports or Ports(tcp=(PortRange(1, 65535),))
        self.other = self.world.resource(there, other, ports, name="other")
        self.place = there
        self.world.grant(self.user, self.payroll)
        self.world.grant(self.user, self.other)

    def exclude(self) -> ExclusionId:
        return self.world.exclusion(self.user, self.payroll)

    def reached(self) -> set[ResourceId]:
        return {entry.resource.id for entry in acl_for_device(self.world.state, self.device, NOW).entries}


OVERLAPPING = [
    ("payroll.corp.internal", "*.corp.internal"),
    ("*.pay.corp.internal", "*.corp.internal"),
    ("*.corp.internal", "wiki.corp.internal"),
    ("10.1.2.3", "10.0.0.0/8"),
    ("10.1.0.0/16", "10.0.0.0/8"),
    ("10.0.0.0/8", "10.1.2.3"),
    ("2001:db8::1", "2001:db8::/32"),
]


@pytest.mark.parametrize(
    ("payroll", "other", "far"),
    [
        ("payroll.corp.internal", "payroll.corp.internal", True),
        ("10.1.2.3", "10.1.2.3", True),
        *((*pair, far) for pair in OVERLAPPING for far in (False, True)),
    ],
)
def test_an_exclusion_takes_whatever_overlaps(payroll: str, other: str, far: bool) -> None:
    office = Office(payroll, other, far=far)
    exclusion = office.exclude()
    state, device = office.world.state, office.device
    assert acl_for_device(state, device, NOW) == Acl()
    assert may_reach(state, device, office.payroll, NOW) == Deny(Reason.EXCLUDED, office.payroll)
    assert may_reach(state, device, office.other, NOW) == Deny(Reason.EXCLUDED, office.other)
    assert ask(state, device, office.other, NOW).verdict is Verdict.DENIED
    assert ways(state, office.owner, NOW) == {}
    for address in (payroll, other):
        host = parse_host(address.replace("*", "deep").partition("/")[0])
        found = explain(state, device, Request(host, Transport.TCP, 443), NOW)
        assert isinstance(found.decision, Deny)
        assert found.decision.reason is Reason.EXCLUDED
        assert [failure.detail for failure in found.missing] == [f"the end of the exclusion {exclusion}"]
    office.world.do(RemoveExclusion(exclusion))
    assert office.reached() == {office.payroll, office.other}


@pytest.mark.parametrize(
    ("other", "ports"),
    [
        ("*.corp.internal", SSH),
        ("*.corp.internal", Ports(udp=(PortRange(443, 443),), icmp=True)),
        ("*.payroll.corp.internal", None),
        ("*.orp.internal", None),
        ("10.0.0.0/8", None),
    ],
)
def test_an_exclusion_leaves_what_shares_no_host_or_port(other: str, ports: Ports | None) -> None:
    office = Office("payroll.corp.internal", other, other_ports=ports)
    office.exclude()
    assert office.reached() == {office.other}


def test_who_has_only_the_wide_grant_loses_it_and_reads_why() -> None:
    world = World()
    user = world.user()
    device, network = world.laptop(user), world.network()
    payroll, wide = world.resource(network, "payroll.corp.internal"), world.resource(network, "*.corp.internal")
    world.grant(user, wide)
    world.exclusion(world.group(user), payroll)
    request = Request("payroll.corp.internal", Transport.TCP, 443)
    assert explain(world.state, device, request, NOW).decision == Deny(Reason.EXCLUDED, wide)


def test_t36_an_exclusion_cuts_off_whatever_overlaps() -> None:
    office = Office("payroll.corp.internal", "*.corp.internal", far=True)
    before = office.world.state
    office.exclude()
    after, event = office.world.state, office.world.changes[-1].event
    losses = losses_by(before, after, event, office.device, NOW)
    assert losses == losses_of(before, after, office.device, was=NOW, now=NOW)
    assert Loss(office.device, office.other, frozenset((office.place,)), Reason.EXCLUDED) in losses
    assert {loss.resource for loss in losses} == {office.payroll, office.other}


@pytest.mark.parametrize("moved", ["payroll", "other"])
def test_t36_what_comes_to_overlap_is_cut_off(moved: str) -> None:
    world = World()
    user = world.user()
    device, network = world.laptop(user), world.network()
    payroll, other = world.resource(network, "10.1.2.3"), world.resource(network, "10.9.0.0/16")
    world.grant(user, other)
    world.exclusion(user, payroll)
    before = world.state
    stretch = Stretch(before, [(SubjectRef(SubjectKind.USER, user), other)])
    assert isinstance(may_reach(before, device, other, NOW), Entry)
    change = {
        "payroll": c.ChangeResource(payroll, address="10.9.2.3"),
        "other": c.ChangeResource(other, address="10.0.0.0/8"),
    }
    world.do(change[moved])
    happened = world.changes[-1]
    assert device in affected_by(before, world.state, happened.event).devices
    losses = losses_by(before, world.state, happened.event, device, NOW)
    assert losses == (Loss(device, other, frozenset((network,)), Reason.EXCLUDED),)
    stretch.visit(happened)
    pair = (SubjectRef(SubjectKind.USER, user), other)
    found = spans(stretch.of(pair), device, other, START + 60)
    assert [span.answer.verdict for span in found] == [Verdict.PERMITTED, Verdict.DENIED]


def test_a_plan_agrees() -> None:
    office = Office("payroll.corp.internal", "*.corp.internal")
    people = {"ada@corp.example": office.user}
    text = "exclusions:\n  - {who: user:ada@corp.example, resource: payroll}"
    plan = plan_of(office.world, text, people)
    request = Request("wiki.corp.internal", Transport.TCP, 443)
    flow = OpenFlow("flw", office.device, office.user, office.other, request, START * 1000)
    assert [cut.reason for cut in cuts(plan, [flow], NOW)] == [Reason.EXCLUDED]
    expected = "\nexpect:\n  - 'ada@corp.example cannot reach other'\n  - 'ada@corp.example cannot reach payroll'\n"
    assert not list(unmet(plan, read_document_untrusted(text + expected).expect, people, NOW))


@settings(deadline=None)
@given(patterns, patterns, patterns, ports_values, ports_values, ports_values, st.integers(1, 7))
def test_nothing_inside_the_excluded_is_permitted(
    excluded: AddressPattern,
    first: AddressPattern,
    second: AddressPattern,
    ports: Ports,
    first_ports: Ports,
    second_ports: Ports,
    port: int,
) -> None:
    world = World()
    user = world.user()
    device = world.laptop(user)
    taken = world.resource(world.network(), str(excluded), ports)
    for pattern, opened in ((first, first_ports), (second, second_ports), (excluded, ports)):
        world.grant(user, world.resource(world.network(), str(pattern), opened))
    world.exclusion(user, taken)
    acl = acl_for_device(world.state, device, NOW)
    config = AclIndex(Acl((Entry(world.state.resources[taken]),)))
    for pattern in (excluded, first, second):
        host = parse_host(str(pattern).replace("*", "a").partition("/")[0])
        for transport in Transport:
            request = Request(host, transport, None if transport is Transport.ICMP else port)
            if isinstance(decide(config, request, NOW), Permit):
                assert isinstance(decide(acl, request, NOW), Deny)
