"""Associations: opened by a datagram, ended by silence, refusal or their stream."""

import pytest
from client_packets import World, icmp_codes, opened
from client_policy import entry, index, tcp_ports

from client.core.association import AssociationState
from client.core.association_table import REFUSAL_MEMORY_S
from client.core.commands import CloseAssociation, OpenAssociation, ReportDenial, SendDatagrams
from client.core.udp import UdpTable
from protocol.limits import ASSOCIATIONS_MAX, QUIET_S, UDP_IDLE_S
from protocol.reasons import Reason


@pytest.fixture
def world() -> World:
    return World()


def test_first_datagram_opens_and_later_ones_queue(world: World) -> None:
    association = opened(world.send_udp(b"one")).association
    assert world.send_udp(b"two") == ()
    assert world.interceptor.udp.opened(association) == [SendDatagrams(association)]
    assert list(association.outgoing) == [b"one", b"two"]
    assert world.interceptor.udp.opened(association) == []


def test_open_association_wakes_the_sender_once(world: World) -> None:
    association = opened(world.send_udp(b"one")).association
    association.outgoing.clear()
    assert world.interceptor.udp.opened(association) == []
    assert world.send_udp(b"two") == (SendDatagrams(association),)
    assert world.send_udp(b"three") == ()
    association.outgoing.clear()
    assert world.send_udp(b"four") == (SendDatagrams(association),)


@pytest.mark.parametrize(("version", "code"), [(4, (3, 3)), (6, (1, 4))])
def test_refusal_is_an_icmp_error_and_remembered_for_a_moment(
    world: World, version: int, code: tuple[int, int]
) -> None:
    udp = world.interceptor.udp
    association = opened(world.send_udp(b"one", version)).association
    assert icmp_codes(udp.refuse(association, Reason.CONNECTION_REFUSED, world.now)) == [code]
    assert udp.refuse(association, Reason.CONNECTION_REFUSED, world.now) == []
    assert association.state is AssociationState.ENDED
    assert icmp_codes(world.send_udp(b"again", version)) == [code]
    assert len(udp) == 0
    world.now += REFUSAL_MEMORY_S
    world.interceptor.tick(world.now)
    assert opened(world.send_udp(b"again", version)).association is not association


def test_refusals_that_are_remembered_are_bounded(world: World) -> None:
    udp = world.interceptor.udp
    for number in range(5000):
        association = opened(world.send_udp(b"", port=1000 + number)).association
        udp.refuse(association, Reason.CONNECTION_REFUSED, world.now)
    assert isinstance(world.send_udp(b"", port=1000)[0], OpenAssociation)  # forgotten
    assert icmp_codes(world.send_udp(b"", port=5999)) == [(3, 3)]


def test_policy_refusal_is_reported() -> None:
    world = World(index(entry("10.99.0.0/16", ports=tcp_ports(443))))
    commands = world.send_udp(b"one")
    assert icmp_codes(commands) == [(3, 13)]
    report = commands[-1]
    assert isinstance(report, ReportDenial)
    assert report.denial.reason is Reason.PROTOCOL_NOT_ALLOWED


def test_another_idle_time_counts_for_open_associations_too(world: World) -> None:
    udp = world.interceptor.udp
    quiet = opened(world.send_udp(b"one")).association
    world.now += 50
    busy = opened(world.send_udp(b"one", port=1001)).association
    udp.set_idle(60.0)
    assert udp.deadline() == (quiet.last_used + 60, "udp_idle")
    world.now += 10
    assert udp.tick(world.now) == [CloseAssociation(quiet, Reason.NORMAL)]
    udp.set_idle(600.0)
    world.now += 500
    assert udp.tick(world.now) == []
    assert busy.state is not AssociationState.ENDED


def test_closed_association_opens_anew(world: World) -> None:
    association = opened(world.send_udp(b"one")).association
    world.interceptor.udp.close(association, world.now)
    world.interceptor.udp.close(association, world.now)
    assert opened(world.send_udp(b"two")).association is not association


def test_silence_in_both_directions_ends_it(world: World) -> None:
    udp = world.interceptor.udp
    association = opened(world.send_udp(b"one")).association
    udp.opened(association)
    start = world.now
    assert world.interceptor.deadline() == (start + UDP_IDLE_S, "udp_idle")
    world.now = start + UDP_IDLE_S - 1
    udp.reply(association, b"answer", world.now)
    assert world.interceptor.tick(start + UDP_IDLE_S) == []
    assert world.interceptor.deadline() == (start + 2 * UDP_IDLE_S - 1, "udp_idle")
    assert world.interceptor.tick(start + 2 * UDP_IDLE_S) == [CloseAssociation(association, Reason.NORMAL)]
    assert world.interceptor.deadline() is None
    assert udp.refuse(association, Reason.TUNNEL_LOST, world.now) == []


def test_ended_associations_do_not_pile_up(world: World) -> None:
    udp = world.interceptor.udp
    kept = opened(world.send_udp(b"", port=999)).association
    for number in range(4000):
        udp.close(opened(world.send_udp(b"", port=1000 + number)).association, world.now)
    ended = [each for each in world.interceptor.tick(world.now + UDP_IDLE_S) if isinstance(each, CloseAssociation)]
    assert [each.association for each in ended] == [kept]
    assert udp.deadline() is None


def test_bound_on_associations(world: World) -> None:
    table = UdpTable(world.classifier, 10.0, associations_max=1)
    packet = bytes([0x45]) + bytes(11) + bytes([10, 0, 0, 1]) + bytes([10, 99, 0, 5]) + bytes(8)
    destination = packet[16:20]
    assert isinstance(table.receive(b"1" * 12, destination, (1, 2), [b""], packet, 0.0)[0], OpenAssociation)
    commands = table.receive(b"2" * 12, destination, (3, 2), [b""], packet, 0.0)
    report = commands[-1]
    assert isinstance(report, ReportDenial)
    assert report.denial.reason is Reason.LIMIT_EXCEEDED
    assert len(table) == 1


def test_when_there_are_too_many_a_quiet_one_makes_room(world: World) -> None:
    table = UdpTable(world.classifier)
    table._max = 3
    world.interceptor.udp = table
    first = opened(world.send_udp(b"", port=1001)).association
    world.now += QUIET_S
    for port in (1002, 1003):
        opened(world.send_udp(b"", port=port))
    commands = world.send_udp(b"", port=1004)
    assert commands[0] == CloseAssociation(first, Reason.NORMAL)
    assert isinstance(commands[1], OpenAssociation)
    assert first.state is AssociationState.ENDED
    assert len(table) == 3


def test_associations_in_use_are_not_ended_for_a_new_one(world: World) -> None:
    table = UdpTable(world.classifier)
    table._max = 2
    world.interceptor.udp = table
    for port in (1001, 1002):
        opened(world.send_udp(b"", port=port))
    commands = world.send_udp(b"", port=1003)
    assert icmp_codes(commands) == [(3, 1)]
    report = commands[-1]
    assert isinstance(report, ReportDenial)
    assert report.denial.reason is Reason.LIMIT_EXCEEDED
    assert len(table) == 2


@pytest.mark.parametrize(
    ("count", "most"), [(2_000, 250), pytest.param(65_000, ASSOCIATIONS_MAX, marks=pytest.mark.soak)]
)
def test_associations_over_time_leave_nothing_behind(world: World, count: int, most: int) -> None:
    udp = world.interceptor.udp
    udp._max = most
    for number in range(count):
        association = opened(world.send_udp(b"?", port=1024 + number % 60_000)).association
        udp.opened(association)
        world.now += 2 * QUIET_S / most
        world.interceptor.tick(world.now)
    assert len(udp) == most
    world.now += 2 * UDP_IDLE_S
    world.interceptor.tick(world.now)
    world.now += 2 * UDP_IDLE_S
    world.interceptor.tick(world.now)
    assert len(udp) == 0
    assert udp.deadline() is None
