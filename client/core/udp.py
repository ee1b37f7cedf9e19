"""UDP of the TUN device: packet by packet, an association per 5-tuple (C21)."""

from collections.abc import Sequence
from typing import Final

from client.core.association import Association, AssociationState
from client.core.association_table import QUOTE_BYTES, AssociationTable
from client.core.classify import Classifier
from client.core.commands import Command, WriteFrame
from client.packet.build import UdpTemplate
from client.packet.model import UDP, UdpDatagram, endpoints
from client.packet.vnet import GSO_UDP_L4, OFFSET, parse_vnet
from protocol.acl.model import Transport
from protocol.datagrams import bursts
from protocol.limits import ASSOCIATIONS_MAX, UDP_IDLE_S

BURST_DATAGRAMS: Final = 64
"""What Linux takes in one super-packet (UDP_MAX_SEGMENTS of include/linux/udp.h before 6.9)."""


class UdpTable(AssociationTable):
    """All UDP associations.

    Attributes:
        super_packets: the device takes several datagrams in one frame (USO). Whoever sees it refuse one takes this back.
    """

    def __init__(
        self, classifier: Classifier, idle_s: float = UDP_IDLE_S, *, associations_max: int = ASSOCIATIONS_MAX
    ) -> None:
        super().__init__(classifier, Transport.UDP, idle_s, associations_max=associations_max)
        self.super_packets = False

    def handle_known(self, frame: bytes, now: float) -> list[Command] | None:
        """Takes a frame that is a whole datagram of a known association; None: somebody has to parse it."""
        length = len(frame)
        if length >= OFFSET + 28 and frame[10] == 0x45:
            if frame[19] != UDP or frame[16] & 0x3F or frame[17]:
                return None
            start, key = OFFSET + 20, frame[22:34]
            end = OFFSET + (frame[12] << 8 | frame[13])
        elif length >= OFFSET + 48 and frame[10] >> 4 == 6 and frame[16] == UDP:
            start, key = OFFSET + 40, frame[18:54]
            end = start + (frame[14] << 8 | frame[15])
        else:
            return None
        association = self.find(key)
        said = frame[start + 4] << 8 | frame[start + 5]
        if association is None or end > length or end - start != said or said < 8:
            return None
        quote = frame[OFFSET : OFFSET + QUOTE_BYTES]
        payload = frame[start + 8 : end]
        return self.queue(association, [payload] if frame[1] != GSO_UDP_L4 else _split(payload, frame), quote, now)

    def handle(self, datagram: UdpDatagram, frame: bytes, now: float) -> list[Command]:
        """Takes a packet from an application; a super-packet (USO) is taken apart into its datagrams."""
        key = endpoints(datagram.source, datagram.destination, datagram.source_port, datagram.destination_port)
        ports = (datagram.source_port, datagram.destination_port)
        return self.receive(key, datagram.destination, ports, _split(datagram.payload, frame), frame[OFFSET:], now)

    def reply(self, association: Association, payload: bytes, now: float) -> list[Command]:
        """See AssociationTable."""
        template = association.template or _template_of(association)
        if association.state is not AssociationState.OPEN or len(payload) > template.payload_max:
            return []
        association.last_used = now
        return [WriteFrame(template.frame(payload))]

    def replies(self, association: Association, datagrams: Sequence[bytes], now: float) -> list[Command]:
        """As ``reply``, for datagrams that came together: equal ones travel in one frame where the device takes that."""
        if not self.super_packets or len(datagrams) == 1:
            return super().replies(association, datagrams, now)
        template = association.template or _template_of(association)
        commands: list[Command] = []
        for burst in bursts(datagrams, BURST_DATAGRAMS, template.payload_max):
            if len(burst) == 1:
                commands += self.reply(association, burst[0], now)
            elif association.state is AssociationState.OPEN:
                association.last_used = now
                commands.append(WriteFrame(template.super_frame(burst)))
        return commands


def _template_of(association: Association) -> UdpTemplate:
    key = association.key
    half = (len(key) - 4) // 2
    port = int.from_bytes(key[-2:], "big")
    association.template = UdpTemplate(key[half : 2 * half], key[:half], port, association.source_port)
    return association.template


def _split(payload: bytes, frame: bytes) -> list[bytes]:
    if frame[1] != GSO_UDP_L4:
        return [payload]
    vnet = parse_vnet(frame)
    if vnet is None or vnet.gso_size == 0:
        return [payload]
    size = vnet.gso_size
    return [payload[start : start + size] for start in range(0, len(payload), size)] or [payload]
