"""TCP of the TUN device: the fast path that turns packets around, and the life of a connection around it.

    SYN for a resource    -> held, AskAccess            (C10; nothing leaves the host)
    release(flow)         -> the held SYN goes to our listener; the kernel does the rest (C20)
    refuse(flow, reason)  -> ICMP error and reset: connect() fails at once
    accepted(port)        -> which flow is the socket that our listener has just accepted?
    closed(flow)          -> the socket is gone; the flow lingers

``forward`` is called for every frame first. It touches only packets of known flows, by one dictionary lookup; everything
that may change the state of a flow (SYN, RST, unknown) is left to ``handle``.
"""

from collections.abc import Mapping
from struct import Struct
from typing import Final

from client.core.classify import Classifier, Denial
from client.core.commands import AbandonFlow, AskAccess, Command, ReportDenial, WriteFrame
from client.core.flows import Flow, FlowState, FlowTable, TcpFlow, Turn
from client.core.hold import HoldTable
from client.core.refusal import refuse_tcp
from client.packet.build import framed, tcp_reset
from client.packet.model import TCP, TcpFlag, TcpSegment, endpoints
from client.packet.parse import parse
from client.packet.rewrite import V4_MIN_FRAME, V6_MIN_FRAME
from client.packet.vnet import OFFSET
from protocol.acl.model import Transport
from protocol.errors import LocalError
from protocol.limits import FLOWS_MAX
from protocol.reasons import Reason

_SYN_OR_RST: Final = int(TcpFlag.SYN | TcpFlag.RST)
_RST: Final = int(TcpFlag.RST)
_key_v4: Final = Struct("12s").unpack_from
_key_v6: Final = Struct("36s").unpack_from


class TcpIntercept:
    """All intercepted TCP connections.

    Args:
        classifier: judges destinations.
        turns: by length of a packed address (4, 16): where that IP version is turned around.
        probes: packed addresses of the self-test; connections there are turned around without asking anybody.
        flows_max: more half-open and open flows are refused.
    """

    def __init__(
        self,
        classifier: Classifier,
        turns: Mapping[int, Turn],
        probes: frozenset[bytes] = frozenset(),
        *,
        flows_max: int = FLOWS_MAX,
    ) -> None:
        self._classifier = classifier
        self._turns = turns
        self._probes = probes
        self._flows: FlowTable[Flow] = FlowTable(flows_max=flows_max)
        self._holds: HoldTable[TcpFlow] = HoldTable()
        self._rewrites = self._flows.rewrites
        self.probes_seen = 0
        """SYNs to a probe address: the self-test's packets that reached us."""

    @property
    def open_count(self) -> int:
        """Half-open and open flows."""
        return len(self._flows)

    @property
    def held_count(self) -> int:
        """Flows that wait for a verdict."""
        return len(self._holds)

    def forward(self, frame: bytearray, length: int) -> bool:
        """Turns a frame of a known flow around, in place; True: write its first ``length`` bytes back as they are.

        False says nothing about the frame but that ``handle`` has to look at it; it is untouched then.
        """
        if length < V4_MIN_FRAME:
            return False
        first = frame[10]
        if first == 0x45:  # IPv4 without options
            if frame[19] != TCP or frame[43] & _SYN_OR_RST or frame[16] & 0x3F or frame[17]:
                return False
            rewrite = self._rewrites.get(_key_v4(frame, 22)[0])
        elif first >> 4 == 6:
            if length < V6_MIN_FRAME or frame[16] != TCP or frame[63] & _SYN_OR_RST:
                return False
            rewrite = self._rewrites.get(_key_v6(frame, 18)[0])
        else:
            return False
        if rewrite is None:
            return False
        rewrite.apply(frame)
        return True

    def handle(self, segment: TcpSegment, frame: bytes, now: float) -> list[Command]:
        """Deals with a frame that ``forward`` left; ``segment`` is its parsed packet."""
        key = endpoints(segment.source, segment.destination, segment.source_port, segment.destination_port)
        flow = self._flows.find(key)
        if flow is not None and flow.state is FlowState.LINGERING and segment.opens:
            self._flows.remove(flow)  # the application uses the port again
            flow = None
        rewrite = self._rewrites.get(key)
        if rewrite is not None:
            turned = bytearray(frame)
            rewrite.apply(turned)
            commands: list[Command] = [WriteFrame(bytes(turned))]
            if flow is not None and segment.flags & _RST and flow.state is FlowState.HALF_OPEN:
                self._flows.remove(flow)
                commands += self._given_up(flow, now)
            return commands
        held = self._holds.find(key)
        if held is not None:
            return self._handle_held(held, segment, frame, now)
        if segment.opens:
            return self._handle_new(key, segment, frame, now)
        if segment.flags & _RST:
            return []
        return [WriteFrame(framed(tcp_reset(segment)))]  # of a flow that is over, for example of an earlier daemon

    def release(self, flow: TcpFlow, now: float) -> list[Command]:
        """The resource has accepted: lets the held SYN go. Without effect when the flow is not held any more."""
        frame = self._holds.take(flow)
        if frame is None:
            return []
        return self._turn(flow, frame, now)

    def refuse(self, flow: TcpFlow, reason: Reason, now: float) -> list[Command]:
        """Ends a flow that is held, or released and not yet accepted. An accepted one is ended by resetting its socket."""
        if flow.state is FlowState.HALF_OPEN:
            # The application may be connected already: only the reset of the accepted socket reaches it for certain.
            flow.refused = True
            self._uncount(flow, now)
            return []
        frame = self._holds.take(flow)
        if frame is None:
            return []
        flow.state = FlowState.ENDED
        self._uncount(flow, now)
        return _refusal(frame, reason)

    def accepted(self, port: int, now: float) -> TcpFlow | None:
        """Returns the flow of the socket that our listener accepted from (N, ``port``).

        None: reset the socket (SO_LINGER 0, close). It is the self-test's, a refused flow's or nobody's. The caller has
        checked that the peer's address is N.
        """
        flow = self._flows.accepted(port)
        if isinstance(flow, TcpFlow) and not flow.refused:
            return flow
        if flow is not None:
            self._flows.closed(flow, now)
        return None

    def closed(self, flow: TcpFlow, now: float) -> None:
        """The accepted socket of ``flow`` is closed. Harmless when said twice."""
        self._flows.closed(flow, now)
        self._uncount(flow, now)

    def tick(self, now: float) -> list[Command]:
        """Ends what is over by time."""
        commands: list[Command] = []
        for held in self._holds.expired(now):
            commands += self.refuse(held, Reason.TIMEOUT, now)
            commands.append(AbandonFlow(held, Reason.TIMEOUT))
        for flow in self._flows.tick(now):
            commands += self._given_up(flow, now)
        return commands

    def deadline(self) -> tuple[float, str] | None:
        """When ``tick`` has something to do next."""
        return min((each for each in (self._holds.deadline(), self._flows.deadline()) if each), default=None)

    def _handle_held(self, flow: TcpFlow, segment: TcpSegment, frame: bytes, now: float) -> list[Command]:
        if segment.opens:
            self._holds.retransmitted(flow.key, frame)
            return []
        if segment.flags & _RST:
            self._holds.take(flow)
            flow.state = FlowState.ENDED
            return self._given_up(flow, now)
        return []

    def _handle_new(self, key: bytes, segment: TcpSegment, frame: bytes, now: float) -> list[Command]:
        if segment.destination in self._probes:
            self.probes_seen += 1
            return self._turn(Flow(key), frame, now)
        target = self._classifier.classify(segment.destination, Transport.TCP, segment.destination_port, now)
        if isinstance(target, Denial):
            return [*_refusal(frame, target.reason), ReportDenial(target)]
        if self._holds.full:
            denial = Denial(target.host, Transport.TCP, target.port, Reason.LIMIT_EXCEEDED, target.resource)
            return [*_refusal(frame, Reason.LIMIT_EXCEEDED), ReportDenial(denial)]
        flow = TcpFlow(key, target)
        self._holds.hold(flow, frame, now)
        self._classifier.begin(target)
        return [AskAccess(flow)]

    def _turn(self, flow: Flow, frame: bytes, now: float) -> list[Command]:
        try:
            rewrite = self._flows.open(flow, self._turns[(len(flow.key) - 4) // 2], now)
        except LocalError as exc:
            commands = _refusal(frame, exc.reason)
            if isinstance(flow, TcpFlow):
                flow.state = FlowState.ENDED
                self._uncount(flow, now)
                commands.append(AbandonFlow(flow, exc.reason))
            return commands
        turned = bytearray(frame)
        rewrite.apply(turned)
        return [WriteFrame(bytes(turned))]

    def _given_up(self, flow: Flow, now: float) -> list[Command]:
        if not isinstance(flow, TcpFlow) or flow.refused:
            return []
        self._uncount(flow, now)
        return [AbandonFlow(flow, Reason.CANCELLED)]

    def _uncount(self, flow: TcpFlow, now: float) -> None:
        if flow.counted:
            flow.counted = False
            self._classifier.end(flow.target, now)


def _refusal(frame: bytes, reason: Reason) -> list[Command]:
    packet = frame[OFFSET:]
    segment = parse(packet)
    assert isinstance(segment, TcpSegment)
    return [WriteFrame(each) for each in refuse_tcp(packet, segment, reason)]
