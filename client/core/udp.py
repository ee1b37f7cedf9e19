"""UDP of the TUN device: packet by packet, an association per 5-tuple (C21)."""

from typing import Final

from client.core.association import Association, AssociationState
from client.core.association_table import AssociationTable
from client.core.classify import Classifier
from client.core.commands import Command, WriteFrame
from client.packet.build import framed, udp_datagram
from client.packet.model import UdpDatagram, endpoints
from client.packet.vnet import GSO_UDP_L4, OFFSET, parse_vnet
from protocol.acl.model import Transport
from protocol.limits import UDP_IDLE_S

_REPLY_MAX: Final = {4: 65535 - 28, 16: 65535 - 8}
"""Payload bytes that fit, by length of an address."""


class UdpTable(AssociationTable):
    """All UDP associations."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__(classifier, Transport.UDP, UDP_IDLE_S)

    def handle(self, datagram: UdpDatagram, frame: bytes, now: float) -> list[Command]:
        """Takes a packet from an application; a super-packet (USO) is taken apart into its datagrams."""
        key = endpoints(datagram.source, datagram.destination, datagram.source_port, datagram.destination_port)
        ports = (datagram.source_port, datagram.destination_port)
        return self.receive(key, datagram.destination, ports, _split(datagram.payload, frame), frame[OFFSET:], now)

    def reply(self, association: Association, payload: bytes, now: float) -> list[Command]:
        """Returns the packet that brings a datagram of the connector to the application."""
        key = association.key
        half = (len(key) - 4) // 2
        if association.state is not AssociationState.OPEN or len(payload) > _REPLY_MAX[half]:
            return []
        association.last_used = now
        source_port = int.from_bytes(key[-2:], "big")
        packet = udp_datagram(key[half : 2 * half], key[:half], source_port, association.source_port, payload)
        return [WriteFrame(framed(packet))]


def _split(payload: bytes, frame: bytes) -> list[bytes]:
    vnet = parse_vnet(frame)
    if vnet is None or vnet.gso_type != GSO_UDP_L4 or vnet.gso_size == 0:
        return [payload]
    size = vnet.gso_size
    return [payload[start : start + size] for start in range(0, len(payload), size)] or [payload]
