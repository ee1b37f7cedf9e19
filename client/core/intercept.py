"""Everything that the TUN device delivers, in one machine.

The shell reads a frame and calls ``forward``; on False it calls ``handle`` and carries out the commands. It calls ``tick``
at ``deadline``. All of it is total: whatever the bytes are, nothing is raised (T-58).
"""

from collections import Counter
from collections.abc import Mapping

from client.core.addresses import AddressPlan
from client.core.classify import Classifier
from client.core.commands import Command, WriteFrame
from client.core.flows import Turn
from client.core.icmp import EchoTable
from client.core.tcp_intercept import TcpIntercept
from client.core.udp import UdpTable
from client.packet.build import framed, time_exceeded
from client.packet.model import Echo, PacketDrop, TcpSegment, UdpDatagram
from client.packet.parse import parse
from client.packet.vnet import OFFSET
from protocol.limits import UDP_IDLE_S


class Interceptor:
    """``tcp``, ``udp`` and ``icmp`` take the daemon's answers; ``dropped`` counts packets by reason (T-35)."""

    def __init__(
        self,
        classifier: Classifier,
        plan: AddressPlan,
        listen_ports: Mapping[int, int],
        *,
        udp_idle_s: float = UDP_IDLE_S,
    ) -> None:
        """``listen_ports``: by IP version (4, 6), the port of the listener on A. ``udp_idle_s``: see ``AssociationTable``."""
        turns = {4: Turn(plan.own_v4.packed, plan.peer_v4.packed, listen_ports[4])}
        probes = {plan.probe_v4.packed}
        if plan.own_v6 is not None and plan.peer_v6 is not None and plan.probe_v6 is not None and 6 in listen_ports:
            turns[16] = Turn(plan.own_v6.packed, plan.peer_v6.packed, listen_ports[6])
            probes.add(plan.probe_v6.packed)
        self._hops = {length: turn.peer for length, turn in turns.items()}
        self.tcp = TcpIntercept(classifier, turns, frozenset(probes))
        self.udp = UdpTable(classifier, udp_idle_s)
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
        hop = self._hops.get(len(packet.source))
        if hop is None:
            self.dropped[PacketDrop.PROTOCOL_UNKNOWN] += 1
            return []
        if _hops_left(frame) <= 1 and not (isinstance(packet, Echo) and packet.reply):
            # What a router would do: `traceroute` shows N as the first hop and the resource as the next one.
            return [WriteFrame(framed(time_exceeded(frame[OFFSET:], hop)))]
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


def _hops_left(frame: bytes) -> int:
    """TTL or hop limit of a packet that was parsed."""
    return frame[OFFSET + 8] if frame[OFFSET] >> 4 == 4 else frame[OFFSET + 7]
