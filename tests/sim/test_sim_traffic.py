"""A small world in one process: applications, the client's packet machine, a link that loses, delays and repeats, the
connector's decision, a policy that changes, and a clock that only this test moves.

Beside it runs a reference model that knows nothing of indexes, tokens or packets: a table of who may reach what. Held against it:

    nothing is asked for, dialled or kept open that the model forbids to whoever does it, by what it has been told so far;
    what the model allows is reached, or the application is told that it is not: nobody waits for ever. Datagrams promise no
    answer; they are forgotten once they are idle.
"""

import ipaddress
from dataclasses import dataclass
from typing import NamedTuple

from client_packets import ACK, APP, RST, World
from client_policy import entry, index
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from packet_reference import Tcp, echo, udp

from client.core.association import Association
from client.core.association_table import AssociationTable
from client.core.commands import (
    AbandonFlow,
    AskAccess,
    CloseAssociation,
    Command,
    OpenAssociation,
    ReportDenial,
    WriteFrame,
)
from client.core.flows import FlowState, TcpFlow
from client.core.reevaluate import reevaluate
from client.packet.model import TcpFlag, TcpSegment
from client.packet.parse import parse
from protocol.acl.decide import decide_both
from protocol.acl.match import AclIndex
from protocol.acl.model import Permit, PortRange, Ports, Transport
from protocol.limits import HOLD_DEADLINE_S, UDP_IDLE_S
from protocol.reasons import Reason


class Place(NamedTuple):
    """A destination, as an application thinks of it."""

    host: str
    transport: str
    port: int


# --- The reference model: by hand, not by the code that is looked at --------------------------------------------------

COVERS: dict[int, frozenset[Place]] = {
    1: frozenset({Place("10.99.1.5", "tcp", 80), Place("10.99.1.5", "tcp", 443)}),
    2: frozenset({Place("10.99.2.5", "udp", 53), Place("10.99.2.5", "tcp", 80)}),
    3: frozenset({Place("fd99::5", "tcp", 443), Place("fd99::5", "udp", 53), Place("fd99::5", "icmp", 0)}),
    4: frozenset({Place("10.99.1.5", "tcp", 443), Place("10.99.1.5", "icmp", 0)}),
}
PLACES = sorted(
    set().union(*COVERS.values())
    | {Place("10.99.1.5", "udp", 80), Place("10.99.2.5", "tcp", 22), Place("10.99.9.9", "tcp", 80)}
)
EVERYBODY = frozenset(COVERS)


def allowed(granted: frozenset[int], place: Place) -> bool:
    return any(place in COVERS[number] for number in granted)


# --- The same as the product has it ----------------------------------------------------------------------------------

ENTRIES = {
    1: entry("10.99.1.0/24", number=1, ports=Ports(tcp=(PortRange(80, 80), PortRange(443, 443)))),
    2: entry("10.99.2.5", number=2, ports=Ports(tcp=(PortRange(80, 80),), udp=(PortRange(53, 53),))),
    3: entry("fd99::/64", number=3, ports=Ports(tcp=(PortRange(443, 443),), udp=(PortRange(53, 53),), icmp=True)),
    4: entry("10.99.1.5", number=4, ports=Ports(tcp=(PortRange(443, 443),), icmp=True)),
}


def acl(granted: frozenset[int]) -> AclIndex:
    return index(*(ENTRIES[number] for number in sorted(granted)))


@dataclass(eq=False)
class Attempt:
    """One connection of an application, from its first packet to its end."""

    place: Place
    port: int
    packet: bytes
    told: bool = False
    """An error came back for it."""
    flow: TcpFlow | Association | None = None
    asked: bool = False
    """Its opening is on the way to the connector, or its answer back."""
    dialled: bool = False
    over: bool = False


NEWS = ("config", "token", "snapshot")


class Traffic(RuleBasedStateMachine):
    """Rules are what may happen in any order; news is what the controller has said and somebody has not heard yet."""

    def __init__(self) -> None:
        super().__init__()
        self.granted = self.at_client = self.at_connector = self.in_token = EVERYBODY
        self.world = World(acl(EVERYBODY))
        self.attempts: list[Attempt] = []
        self.upward: list[Attempt] = []
        self.downward: list[tuple[Attempt, Reason | None]] = []
        self.next_port = 20_000

    # The policy

    @rule(number=st.sampled_from(sorted(COVERS)))
    def grant_or_revoke(self, number: int) -> None:
        self.granted ^= {number}

    @rule(what=st.sampled_from(NEWS))
    def news_arrive(self, what: str) -> None:
        match what:
            case "config":
                self.at_connector = self.granted
            case "token":
                self.in_token = self.granted
            case _:
                self.at_client = self.granted
                self.world.classifier.use(acl(self.at_client))
                live = [(each, each.flow.target) for each in self.attempts if each.dialled and each.flow is not None]
                for attempt, reason in reevaluate(live, self.world.classifier.index, 1_800_000_000.0):
                    self.end(attempt, reason)
        if what != "snapshot":
            for attempt in self.attempts:
                if attempt.dialled and not allowed(self.at_connector & self.in_token, attempt.place):
                    self.end(attempt, Reason.ACCESS_REVOKED)

    # Applications

    @rule(place=st.sampled_from(PLACES))
    def begin(self, place: Place) -> None:
        self.next_port += 1
        version = ipaddress.ip_address(place.host).version
        source = APP[version]
        match place.transport:
            case "tcp":
                packet = Tcp(source, place.host, self.next_port, place.port, flags=int(TcpFlag.SYN)).frame()[10:]
            case "udp":
                packet = udp(source, place.host, self.next_port, place.port, b"question")
            case _:
                packet = echo(source, place.host, self.next_port, 1, b"ping")
        attempt = Attempt(place, self.next_port, packet)
        self.attempts.append(attempt)
        self.send(attempt)
        # The client asks for what it believes to be allowed, and for nothing else; the rest it refuses at once.
        assert attempt.asked == allowed(self.at_client, place)
        assert attempt.told != attempt.asked

    @rule(place=st.sampled_from(PLACES))
    def connect(self, place: Place) -> None:
        """All of it at once, as on a good day: what everybody allows is open then."""
        self.begin(place)
        attempt = self.attempts[-1]
        if attempt.asked:
            self.upward.remove(attempt)
            self.hear(attempt, self.decide(attempt))
        everywhere = self.at_client & self.at_connector & self.in_token
        assert (attempt.dialled and not attempt.over) or attempt.told
        assert not allowed(everywhere, place) or not attempt.told

    @precondition(lambda self: any(not each.over for each in self.attempts))
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """A retransmitted SYN, or another datagram, must not ask a second time; after a refusal it is a new attempt."""
        attempt = data.draw(st.sampled_from([each for each in self.attempts if not each.over]))
        waiting, asks = len(self.upward), 1 if attempt.flow is None else 0
        self.send(attempt)
        assert len(self.upward) <= waiting + asks

    @precondition(lambda self: self.open_tcp())
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        """The application resets its connection."""
        attempt = data.draw(st.sampled_from(self.open_tcp()))
        segment = Tcp(APP[self.version(attempt)], attempt.place.host, attempt.port, attempt.place.port, flags=RST | ACK)
        attempt.over = attempt.told = True
        self.carry_out(attempt, self.world.send_packet(segment.frame()[10:]))
        self.hang_up(attempt)

    # The link and the connector

    @precondition(lambda self: self.upward)
    @rule(data=st.data(), fate=st.sampled_from(["arrives", "arrives", "is lost", "arrives twice"]))
    def opening(self, data: st.DataObject, fate: str) -> None:
        attempt = data.draw(st.sampled_from(self.upward))
        self.upward.remove(attempt)
        if fate == "is lost":
            return
        reason = self.decide(attempt)
        self.downward += [(attempt, reason)] * (2 if fate == "arrives twice" else 1)

    @precondition(lambda self: self.downward)
    @rule(data=st.data(), lost=st.booleans())
    def answer(self, data: st.DataObject, lost: bool) -> None:
        answer = data.draw(st.sampled_from(self.downward))
        self.downward.remove(answer)
        attempt, reason = answer
        if lost:
            # A tunnel that loses something is lost as a whole: each of its streams hears of it.
            self.end(attempt, Reason.TUNNEL_LOST)
        else:
            self.hear(attempt, reason)

    def decide(self, attempt: Attempt) -> Reason | None:
        assert attempt.flow is not None
        token, config = acl(self.in_token), acl(self.at_connector)
        verdict = decide_both(token, config, attempt.flow.target.request, 1_800_000_000.0)
        reason = None if isinstance(verdict, Permit) else verdict.reason
        # Nothing is dialled that both do not allow, and nothing is refused that both do.
        both = any(attempt.place in COVERS[number] for number in self.in_token & self.at_connector)
        assert (reason is None) == both
        return reason

    def hear(self, attempt: Attempt, reason: Reason | None) -> None:
        """The client's end of it, as the gateway does: judged once more before anything flows."""
        flow, now = attempt.flow, self.world.now
        if flow is None or attempt.over or attempt.dialled:
            return
        attempt.asked = False
        endings = reevaluate([(attempt, flow.target)], self.world.classifier.index, 1_800_000_000.0)
        if reason is None and endings:
            reason = endings[0].reason
        if reason is not None:
            self.end(attempt, reason)
            return
        attempt.dialled = True
        if isinstance(flow, TcpFlow):
            released = self.world.interceptor.tcp.release(flow, now)
            self.carry_out(attempt, released)
            if released:
                assert self.world.interceptor.tcp.accepted(flow.port, now) is flow
        else:
            self.carry_out(attempt, self.table(flow).opened(flow))
        # A config that came meanwhile counts for what is opened under the older one.
        if not allowed(self.at_connector & self.in_token, attempt.place):
            self.end(attempt, Reason.ACCESS_REVOKED)

    # Time

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, HOLD_DEADLINE_S, UDP_IDLE_S]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds
        for command in self.world.interceptor.tick(self.world.now):
            match command:
                case AbandonFlow(flow, _):
                    for attempt in self.attempts:
                        if attempt.flow is flow:
                            attempt.over = True
                case CloseAssociation(association, _):
                    for attempt in self.attempts:
                        if attempt.flow is association:
                            attempt.over = attempt.told = True
                case WriteFrame(frame):
                    self.note(frame)
        for attempt in self.attempts:
            if isinstance(attempt.flow, Association) and attempt.flow.state.value == "ended":
                attempt.over = attempt.told = True

    # Always

    @invariant()
    def nothing_is_open_that_its_ends_know_to_be_forbidden(self) -> None:
        for attempt in self.attempts:
            if attempt.dialled and not attempt.over:
                assert allowed(self.at_client, attempt.place)
                assert allowed(self.at_connector & self.in_token, attempt.place)

    def teardown(self) -> None:
        """In the end everybody hears everything: what is open is allowed, and nobody was left waiting."""
        for what in NEWS:
            self.news_arrive(what)
        for attempt in tuple(self.upward):
            self.downward.append((attempt, self.decide(attempt)))
        self.upward.clear()
        for attempt, reason in self.downward:
            self.hear(attempt, reason)
        self.time_passes(HOLD_DEADLINE_S + 1)
        for attempt in self.attempts:
            is_open = attempt.dialled and not attempt.over
            assert not is_open or allowed(self.granted, attempt.place)
            assert is_open or attempt.told or isinstance(attempt.flow, Association), attempt
        assert self.world.interceptor.tcp.held_count == 0
        self.time_passes(UDP_IDLE_S + 1)
        for attempt in self.attempts:
            assert attempt.over or isinstance(attempt.flow, TcpFlow) or attempt.flow is None, attempt

    # Inside

    def open_tcp(self) -> list[Attempt]:
        return [each for each in self.attempts if isinstance(each.flow, TcpFlow) and not each.over]

    def version(self, attempt: Attempt) -> int:
        return ipaddress.ip_address(attempt.place.host).version

    def table(self, association: Association) -> AssociationTable:
        udp_table, icmp_table = self.world.interceptor.udp, self.world.interceptor.icmp
        return udp_table if association.target.transport is Transport.UDP else icmp_table

    def send(self, attempt: Attempt) -> None:
        self.carry_out(attempt, self.world.send_packet(attempt.packet))

    def carry_out(self, attempt: Attempt, commands: "tuple[Command, ...] | list[Command]") -> None:
        for command in commands:
            match command:
                case AskAccess(flow):
                    assert attempt.flow is None
                    attempt.flow, attempt.asked = flow, True
                    self.upward.append(attempt)
                case OpenAssociation(association):
                    attempt.flow, attempt.asked, attempt.over, attempt.told = association, True, False, False
                    attempt.dialled = False
                    self.upward.append(attempt)
                case AbandonFlow():
                    attempt.over = True
                case WriteFrame(frame):
                    self.note(frame)
                case ReportDenial(denial):
                    assert not allowed(self.at_client, attempt.place), denial

    def end(self, attempt: Attempt, reason: Reason) -> None:
        """The client ends a flow, because it was refused, cut or lost."""
        flow = attempt.flow
        if flow is None or attempt.over:
            return
        if isinstance(flow, TcpFlow):
            if attempt.dialled and flow.state is FlowState.OPEN:
                # The accepted socket is reset: that is the kernel's RST.
                self.world.interceptor.tcp.closed(flow, self.world.now)
                attempt.told = True
            else:
                self.carry_out(attempt, self.world.interceptor.tcp.refuse(flow, reason, self.world.now))
        else:
            self.carry_out(attempt, self.table(flow).refuse(flow, reason, self.world.now))
        attempt.over = True

    def hang_up(self, attempt: Attempt) -> None:
        """The application's socket is gone: its other end follows."""
        if isinstance(attempt.flow, TcpFlow) and attempt.flow.state is FlowState.OPEN:
            self.world.interceptor.tcp.closed(attempt.flow, self.world.now)

    def note(self, frame: bytes) -> None:
        """Something is written into the device: an error tells whoever it is about."""
        packet = parse(frame[10:])
        if isinstance(packet, TcpSegment):
            if packet.flags & TcpFlag.RST:
                for attempt in self.attempts:
                    if attempt.place.transport == "tcp" and attempt.port == packet.destination_port:
                        attempt.told = True
            return
        raw = frame[10:]
        start = 20 if raw[0] >> 4 == 4 else 40
        if raw[9 if start == 20 else 6] not in (1, 58) or raw[start] not in (1, 3):
            return
        quoted = raw[start + 8 :]
        inner = 20 if quoted[0] >> 4 == 4 else 40
        for attempt in self.attempts:
            place = 4 if attempt.place.transport == "icmp" else 0
            if int.from_bytes(quoted[inner + place : inner + place + 2], "big") == attempt.port:
                attempt.told = True


TestTraffic = Traffic.TestCase
TestTraffic.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
