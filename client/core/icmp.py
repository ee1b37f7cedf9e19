"""ICMP echo of the TUN device: one association per address pair and identifier, which is one ``ping`` (C21).

A datagram of the stream is the 2-byte identifier, the 2-byte sequence number and the payload (``protocol.streams``).
"""

from client.core.association import Association, AssociationState
from client.core.association_table import AssociationTable
from client.core.classify import Classifier
from client.core.commands import Command, WriteFrame
from client.packet.build import echo, framed
from client.packet.model import Echo, endpoints
from client.packet.vnet import OFFSET
from protocol.acl.model import Transport
from protocol.limits import ECHO_ASSOCIATIONS_MAX, ICMP_IDLE_S


class EchoTable(AssociationTable):
    """All echo associations."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__(classifier, Transport.ICMP, ICMP_IDLE_S, associations_max=ECHO_ASSOCIATIONS_MAX)

    def handle(self, message: Echo, frame: bytes, now: float) -> list[Command]:
        """Takes an echo request from an application; replies of applications are of no use to anybody."""
        if message.reply:
            return []
        key = endpoints(message.source, message.destination, message.identifier, 0)
        datagram = message.identifier.to_bytes(2, "big") + message.sequence.to_bytes(2, "big") + message.payload
        return self.receive(key, message.destination, (message.identifier, None), [datagram], frame[OFFSET:], now)

    def reply(self, association: Association, datagram: bytes, now: float) -> list[Command]:
        """Returns the packet that brings the connector's echo reply to the application.

        The identifier is the association's own, whatever the datagram says.
        """
        if association.state is not AssociationState.OPEN or not 4 <= len(datagram) <= 65000:
            return []
        association.last_used = now
        half = (len(association.key) - 4) // 2
        source, destination = association.key[half : 2 * half], association.key[:half]
        sequence = int.from_bytes(datagram[2:4], "big")
        packet = echo(source, destination, association.source_port, sequence, datagram[4:], reply=True)
        return [WriteFrame(framed(packet))]
