"""One association: a UDP 5-tuple, or the echo messages of one ``ping`` (address pair and identifier)."""

from collections import deque
from enum import Enum

from client.core.classify import Target
from client.packet.build import UdpTemplate
from protocol.limits import DATAGRAM_QUEUE


class AssociationState(Enum):
    """Life of an association."""

    OPENING = "opening"
    OPEN = "open"
    ENDED = "ended"


class Association:
    """``outgoing`` holds datagrams for the connector, as the stream carries them behind their 2-byte length.

    For udp that is the payload, for icmp identifier, sequence number and payload. It holds at most DATAGRAM_QUEUE; the
    oldest is dropped first and counted in ``dropped``. The daemon takes from its left end.
    """

    __slots__ = ("dropped", "key", "last_used", "outgoing", "sample", "source_port", "state", "target", "template")

    def __init__(self, key: bytes, target: Target, source_port: int, now: float) -> None:
        self.key = key
        self.target = target
        self.source_port = source_port
        """UDP source port, or ICMP identifier."""
        self.outgoing: deque[bytes] = deque(maxlen=DATAGRAM_QUEUE)
        self.dropped = 0
        self.state = AssociationState.OPENING
        self.last_used = now
        self.sample = b""
        """Beginning of the newest packet from the application: what an ICMP error has to quote."""
        self.template: UdpTemplate | None = None
        """udp only, from the first reply on: its packets but for the payload."""

    def queue(self, datagram: bytes) -> bool:
        """Appends a datagram; True when the queue was empty."""
        outgoing = self.outgoing
        if len(outgoing) == DATAGRAM_QUEUE:
            self.dropped += 1
        outgoing.append(datagram)
        return len(outgoing) == 1
