"""Everything that the TUN device delivers, in one machine.

The shell reads a frame and calls ``forward``; on False it calls ``handle`` and carries out the commands. It calls ``tick``
at ``deadline``. All of it is total: whatever the bytes are, nothing is raised (T-58).
"""

from collections import Counter
from collections.abc import Mapping

from client.core.addresses import AddressPlan
from client.core.classify import Classifier
from client.core.commands import Command
from client.core.flows import Turn
from client.core.icmp import EchoTable
from client.core.tcp_intercept import TcpIntercept
from client.core.udp import UdpTable
from client.packet.model import PacketDrop, TcpSegment, UdpDatagram
from client.packet.parse import parse
from client.packet.vnet import OFFSET


class Interceptor:
    """``tcp``, ``udp`` and ``icmp`` take the daemon's answers; ``dropped`` counts packets by reason (T-35)."""

    def __init__(self, classifier: Classifier, plan: AddressPlan, listen_ports: Mapping[int, int]) -> None:
        """``listen_ports``: by IP version (4, 6), the port of the listener on A."""
        turns = {4: Turn(plan.own_v4.packed, plan.peer_v4.packed, listen_ports[4])}
        probes = {plan.probe_v4.packed}
        if plan.own_v6 is not None and plan.peer_v6 is not None and plan.probe_v6 is not None and 6 in listen_ports:
            turns[16] = Turn(plan.own_v6.packed, plan.peer_v6.packed, listen_ports[6])
            probes.add(plan.probe_v6.packed)
        self._versions = frozenset(turns)
        self.tcp = TcpIntercept(classifier, turns, frozenset(probes))
        self.udp = UdpTable(classifier)
        self.icmp = EchoTable(classifier)
        self.dropped: Counter[PacketDrop] = Counter()
        self.forward = self.tcp.forward

    def handle(self, frame: bytes, now: float) -> list[Command]:
        """Takes a frame that ``forward`` left."""
        known = self.udp.handle_known(frame, now)
        if known is not None:
            return known
        packet = parse(memoryview(frame)[OFFSET:])
        if isinstance(packet, PacketDrop):
            self.dropped[packet] += 1
            return []
        if len(packet.source) not in self._versions:
            self.dropped[PacketDrop.PROTOCOL_UNKNOWN] += 1
            return []
        if isinstance(packet, TcpSegment):
            return self.tcp.handle(packet, frame, now)
        if isinstance(packet, UdpDatagram):
            return self.udp.handle(packet, frame, now)
        return self.icmp.handle(packet, frame, now)

    def tick(self, now: float) -> list[Command]:
        """Ends what is over by time."""
        return [*self.tcp.tick(now), *self.udp.tick(now), *self.icmp.tick(now)]

    def deadline(self) -> tuple[float, str] | None:
        """When ``tick`` has something to do next."""
        waiting = (self.tcp.deadline(), self.udp.deadline(), self.icmp.deadline())
        return min((each for each in waiting if each), default=None)
