"""A connection through the interceptor: held, turned around, refused, given up (C10, C20)."""

import pytest
from client_packets import ACK, APP, LISTEN_PORTS, PEER, RST, SERVER, SYN, SYN_ACK, World, icmp_codes, written
from client_policy import entry, index, tcp_ports
from packet_reference import Tcp, packed

from client.core.classify import Denial
from client.core.commands import AbandonFlow, AskAccess, Command, ReportDenial, WriteFrame
from client.core.flows import LINGER_S, FlowState, Turn
from client.core.tcp_intercept import TcpIntercept
from client.packet.model import TcpFlag, TcpSegment
from client.packet.parse import parse
from protocol.acl.model import Transport
from protocol.limits import HALF_OPEN_S, HELD_FLOWS_MAX, HOLD_DEADLINE_S
from protocol.reasons import Reason

VERSIONS = [4, 6]


@pytest.fixture
def world() -> World:
    return World()


def reset_of(commands: tuple[object, ...]) -> TcpSegment:
    segment = written(commands)[-1]  # type: ignore[arg-type]
    assert isinstance(segment, TcpSegment)
    assert segment.flags & TcpFlag.RST
    return segment


@pytest.mark.parametrize("version", VERSIONS)
def test_syn_is_held_and_asked_for_once(world: World, version: int) -> None:
    commands = world.send(world.segment(version))
    assert [type(command) for command in commands] == [AskAccess]
    assert world.send(world.segment(version, sequence=1000, options=bytes(4))) == ()
    assert world.interceptor.tcp.held_count == 1
    flow = world.hold(version, port=50001)
    assert str(flow.target.host) == SERVER[version]
    assert (flow.target.transport, flow.target.port) == (Transport.TCP, 443)


@pytest.mark.parametrize("version", VERSIONS)
def test_released_syn_goes_to_our_listener(world: World, version: int) -> None:
    flow = world.hold(version)
    newest = world.segment(version, sequence=5, options=bytes(4), needs_csum=True)
    world.send(newest)
    (command,) = world.interceptor.tcp.release(flow, world.now)
    expected = newest.turned(PEER[version], flow.port, APP[version], LISTEN_PORTS[version])
    assert command == WriteFrame(expected.frame())
    assert world.interceptor.tcp.held_count == 0
    assert world.interceptor.tcp.open_count == 1
    assert world.interceptor.tcp.release(flow, world.now) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_both_directions_are_turned_around(world: World, version: int) -> None:
    flow = world.hold(version)
    world.interceptor.tcp.release(flow, world.now)
    syn_ack = world.answer(flow, flags=SYN_ACK)
    back = (SERVER[version], 443, APP[version], 50000)
    assert world.send(syn_ack) == (WriteFrame(syn_ack.turned(*back).frame()),)
    there = (PEER[version], flow.port, APP[version], LISTEN_PORTS[version])
    for flags, payload in ((ACK, b""), (ACK | TcpFlag.PSH, b"x" * 3000), (ACK | TcpFlag.FIN, b"")):
        segment = world.segment(version, flags=int(flags), payload=payload, needs_csum=True, gso_size=1448)
        assert world.send(segment) == (WriteFrame(segment.turned(*there).frame()),)
        segment = world.answer(flow, flags=int(flags), payload=payload)
        assert world.send(segment) == (WriteFrame(segment.turned(*back).frame()),)


@pytest.mark.parametrize("version", VERSIONS)
def test_data_of_a_known_flow_takes_the_fast_path(world: World, version: int) -> None:
    world.open(version)
    frame = bytearray(world.segment(version, flags=ACK, payload=b"data").frame())
    assert world.interceptor.forward(frame, len(frame))
    for flags in (SYN, RST | ACK):
        frame = bytearray(world.segment(version, flags=flags).frame())
        before = bytes(frame)
        assert not world.interceptor.forward(frame, len(frame))
        assert frame == before


@pytest.mark.parametrize("version", VERSIONS)
def test_fast_path_leaves_everything_else_alone(world: World, version: int) -> None:
    flow = world.open(version)
    known = world.segment(version, flags=ACK).frame()
    other_protocol = bytearray(known)
    other_protocol[19 if version == 4 else 16] = 17
    unknown = world.segment(version, port=1, flags=ACK).frame()
    frames = [bytearray(frame) for frame in (other_protocol, unknown, known[:-1], known[:10], b"\x99" * 80)]
    if version == 4:
        fragment, last_fragment, options = bytearray(known), bytearray(known), bytearray(known)
        fragment[16] |= 0x20
        last_fragment[17] = 5
        options[10] = 0x46
        frames += [fragment, last_fragment, options]
    for frame in frames:
        before = bytes(frame)
        assert not world.interceptor.forward(frame, len(frame))
        assert frame == before
    assert flow.state is FlowState.OPEN


def test_accepted_socket_belongs_to_its_flow(world: World) -> None:
    flow = world.hold()
    tcp = world.interceptor.tcp
    tcp.release(flow, world.now)
    assert tcp.accepted(flow.port + 1, world.now) is None
    assert tcp.accepted(flow.port, world.now) is flow
    assert tcp.accepted(flow.port, world.now) is None


def test_policy_refusal_is_icmp_and_reset_at_once() -> None:
    world = World(
        index(entry("10.99.0.0/16", ports=tcp_ports(443)), entry("fd99::/64", number=2, ports=tcp_ports(443)))
    )
    for version, code in ((4, (3, 13)), (6, (1, 1))):
        commands = world.send(world.segment(version, to_port=22, sequence=9))
        assert icmp_codes(commands) == [code]
        assert reset_of(commands[:-1]).acknowledgement == 10
        report = commands[-1]
        assert isinstance(report, ReportDenial)
        assert isinstance(report.denial, Denial)
        assert (report.denial.reason, report.denial.port) == (Reason.PORT_NOT_ALLOWED, 22)
    assert world.interceptor.tcp.held_count == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_refused_by_the_resource_is_a_reset(world: World, version: int) -> None:
    flow = world.hold(version)
    commands = tuple(world.interceptor.tcp.refuse(flow, Reason.CONNECTION_REFUSED, world.now))
    assert icmp_codes(commands) == []
    segment = reset_of(commands)
    assert (segment.source, segment.destination) == (packed(SERVER[version]), packed(APP[version]))
    assert flow.state is FlowState.ENDED
    assert world.interceptor.tcp.refuse(flow, Reason.TIMEOUT, world.now) == []
    assert world.interceptor.tcp.release(flow, world.now) == []
    assert world.hold(version) is not flow  # the application may try again


def test_unreachable_host_is_said(world: World) -> None:
    commands = tuple(world.interceptor.tcp.refuse(world.hold(), Reason.HOST_UNREACHABLE, world.now))
    assert icmp_codes(commands) == [(3, 1)]
    reset_of(commands)


def test_application_that_resets_gives_up_the_hold(world: World) -> None:
    flow = world.hold()
    assert world.send(world.segment(flags=RST)) == (AbandonFlow(flow, Reason.CANCELLED),)
    assert world.interceptor.tcp.release(flow, world.now) == []
    assert world.send(world.segment(flags=RST)) == ()


def test_other_segments_of_a_held_flow_are_dropped(world: World) -> None:
    world.hold()
    assert world.send(world.segment(flags=ACK)) == ()
    assert world.interceptor.tcp.held_count == 1


def test_application_that_resets_a_half_open_flow_gives_it_up(world: World) -> None:
    flow = world.hold()
    world.interceptor.tcp.release(flow, world.now)
    reset = world.segment(flags=RST)
    commands = world.send(reset)
    turned = reset.turned(PEER[4], flow.port, APP[4], LISTEN_PORTS[4])
    assert commands == (WriteFrame(turned.frame()), AbandonFlow(flow, Reason.CANCELLED))
    assert world.interceptor.tcp.accepted(flow.port, world.now) is None


def test_reset_of_an_open_flow_passes_and_leaves_the_end_to_the_socket(world: World) -> None:
    flow = world.open()
    assert len(world.send(world.segment(flags=RST))) == 1
    assert flow.state is FlowState.OPEN


def test_hold_deadline_refuses(world: World) -> None:
    flow = world.hold()
    assert world.interceptor.deadline() == (world.now + HOLD_DEADLINE_S, "hold")
    assert world.interceptor.tick(world.now + HOLD_DEADLINE_S - 0.1) == []
    commands = tuple(world.interceptor.tick(world.now + HOLD_DEADLINE_S))
    assert icmp_codes(commands) == [(3, 1)]
    assert commands[-1] == AbandonFlow(flow, Reason.TIMEOUT)
    reset_of(commands[:-1])


def test_handshake_that_never_ends_is_given_up(world: World) -> None:
    flow = world.hold()
    world.interceptor.tcp.release(flow, world.now)
    assert world.interceptor.tick(world.now + HALF_OPEN_S) == [AbandonFlow(flow, Reason.CANCELLED)]


def test_quiet_flow_lives_for_ever(world: World) -> None:
    flow = world.open()
    world.now += 30 * 24 * 3600
    assert world.interceptor.tick(world.now) == []
    assert len(world.send(world.segment(flags=ACK, payload=b"still here"))) == 1
    assert flow.state is FlowState.OPEN


def test_closed_flow_lingers_for_late_segments(world: World) -> None:
    flow = world.open()
    world.interceptor.tcp.closed(flow, world.now)
    world.interceptor.tcp.closed(flow, world.now)
    assert len(written(world.send(world.answer(flow, flags=ACK | TcpFlag.FIN)))) == 1
    world.now += LINGER_S
    world.interceptor.tick(world.now)
    reset_of(world.send(world.answer(flow, flags=ACK)))


def test_port_is_used_again_while_the_old_flow_lingers(world: World) -> None:
    old = world.open()
    world.interceptor.tcp.closed(old, world.now)
    new = world.hold()
    assert new is not old
    assert old.state is FlowState.ENDED
    reset_of(world.send(world.answer(old, flags=ACK)))
    world.interceptor.tcp.release(new, world.now)
    assert world.interceptor.tcp.accepted(new.port, world.now) is new


def test_syn_on_a_live_flow_goes_to_the_kernel(world: World) -> None:
    flow = world.open()
    syn = world.segment(sequence=77)
    expected = syn.turned(PEER[4], flow.port, APP[4], LISTEN_PORTS[4])
    assert world.send(syn) == (WriteFrame(expected.frame()),)


@pytest.mark.parametrize("version", VERSIONS)
def test_segments_of_nobody_are_reset(world: World, version: int) -> None:
    segment = reset_of(world.send(world.segment(version, flags=ACK, acknowledgement=99)))
    assert segment.sequence == 99
    assert world.send(world.segment(version, flags=RST | ACK)) == ()


def test_refused_after_release_resets_the_accepted_socket(world: World) -> None:
    tcp = world.interceptor.tcp
    flow = world.hold()
    tcp.release(flow, world.now)
    assert tcp.refuse(flow, Reason.TUNNEL_LOST, world.now) == []
    assert tcp.accepted(flow.port, world.now) is None
    late_reset = world.answer(flow, flags=RST)
    assert len(written(world.send(late_reset))) == 1  # what resets the socket still reaches the application


def test_refused_after_release_and_never_accepted_ends_silently(world: World) -> None:
    tcp = world.interceptor.tcp
    flow = world.hold()
    tcp.release(flow, world.now)
    tcp.refuse(flow, Reason.TUNNEL_LOST, world.now)
    assert world.interceptor.tick(world.now + HALF_OPEN_S) == []


def test_too_many_held_flows_are_refused_and_the_old_ones_kept(world: World) -> None:
    for number in range(HELD_FLOWS_MAX):
        world.hold(port=1024 + number)
    commands = world.send(world.segment(port=60000))
    reset_of(commands[:-1])
    report = commands[-1]
    assert isinstance(report, ReportDenial)
    assert report.denial.reason is Reason.LIMIT_EXCEEDED
    assert world.interceptor.tcp.held_count == HELD_FLOWS_MAX


def handle(tcp: TcpIntercept, segment: Tcp) -> list[Command]:
    frame = segment.frame()
    parsed = parse(frame[10:])
    assert isinstance(parsed, TcpSegment)
    return tcp.handle(parsed, frame, 1000.0)


def test_too_many_open_flows_are_refused(world: World) -> None:
    turns = {4: Turn(packed(APP[4]), packed(PEER[4]), LISTEN_PORTS[4])}
    tcp = TcpIntercept(world.classifier, turns, frozenset({packed("100.96.0.3")}), flows_max=2)
    flows = []
    for port in (1, 2, 3):
        (command,) = handle(tcp, world.segment(port=port))
        assert isinstance(command, AskAccess)
        flows.append(command.flow)
    assert [len(tcp.release(flow, world.now)) for flow in flows[:2]] == [1, 1]
    commands = tuple(tcp.release(flows[2], world.now))
    assert commands[-1] == AbandonFlow(flows[2], Reason.LIMIT_EXCEEDED)
    reset_of(commands[:-1])
    assert tcp.open_count == 2
    # The self-test's probe is refused like everybody.
    reset_of(tuple(handle(tcp, Tcp(APP[4], "100.96.0.3", 50000, 9, flags=SYN))))
    assert tcp.open_count == 2


@pytest.mark.parametrize(("version", "probe"), [(4, "100.96.0.3"), (6, "fd6f:7374:6961::3")])
def test_probe_is_turned_around_without_asking(world: World, version: int, probe: str) -> None:
    syn = Tcp(APP[version], probe, 50000, 9, flags=SYN)
    (segment,) = written(world.send(syn))
    assert isinstance(segment, TcpSegment)
    assert segment.destination_port == LISTEN_PORTS[version]
    assert world.interceptor.tcp.probes_seen == 1
    assert world.interceptor.tcp.accepted(segment.source_port, world.now) is None
    # The reset of the accepted socket still finds its way back to the self-test.
    reset = Tcp(APP[version], PEER[version], LISTEN_PORTS[version], segment.source_port, flags=RST)
    assert len(written(world.send(reset))) == 1


def test_probe_that_is_reset_or_never_accepted_is_forgotten(world: World) -> None:
    world.send(Tcp(APP[4], "100.96.0.3", 50000, 9, flags=SYN))
    assert len(world.send(Tcp(APP[4], "100.96.0.3", 50000, 9, flags=RST))) == 1
    world.send(Tcp(APP[4], "100.96.0.3", 50001, 9, flags=SYN))
    assert world.interceptor.tick(world.now + HALF_OPEN_S) == []


def test_flow_keeps_its_synthetic_name_until_its_end(world: World) -> None:
    world.classifier.use(index(entry("db.internal")))
    item = world.pool.assign("db.internal", world.now)
    ends = []
    for number, end in enumerate(("refuse", "reset", "deadline", "half_open", "late_refuse", "closed")):
        syn = Tcp(APP[4], str(item.v4), 50000 + number, 5432, flags=SYN)
        (command,) = world.send(syn)
        assert isinstance(command, AskAccess)
        ends.append((end, command.flow, syn))
    assert item.flows == 6
    tcp = world.interceptor.tcp
    for end, flow, syn in ends:
        if end == "refuse":
            tcp.refuse(flow, Reason.CONNECTION_REFUSED, world.now)
        elif end == "reset":
            world.send(Tcp(syn.source, syn.destination, syn.source_port, syn.destination_port, flags=RST))
        elif end != "deadline":
            tcp.release(flow, world.now)
        if end == "late_refuse":
            tcp.refuse(flow, Reason.TUNNEL_LOST, world.now)
            tcp.accepted(flow.port, world.now)
        if end == "closed":
            tcp.accepted(flow.port, world.now)
            tcp.closed(flow, world.now)
    assert item.flows == 2
    world.interceptor.tick(world.now + HOLD_DEADLINE_S)
    world.interceptor.tick(world.now + HALF_OPEN_S)
    assert item.flows == 0
