"""What the packet machine asks the daemon to do. It returns them in order; the daemon carries them out in that order."""

from dataclasses import dataclass

from client.core.association import Association
from client.core.classify import Denial
from client.core.flows import TcpFlow
from protocol.reasons import Reason


@dataclass(frozen=True, slots=True)
class WriteFrame:
    """Write this frame (vnet header and packet) into the TUN device."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class AskAccess:
    """A connection is held (C10): open a stream to ``flow.target``, then call ``release`` or ``refuse`` with it."""

    flow: TcpFlow


@dataclass(frozen=True, slots=True)
class AbandonFlow:
    """Stop working for this flow: the application gave up, or the time for it is over. Its packets are dealt with."""

    flow: TcpFlow
    reason: Reason


@dataclass(frozen=True, slots=True)
class OpenAssociation:
    """Open a udp or icmp stream to ``association.target``, then call ``opened`` or ``refuse`` with it."""

    association: Association


@dataclass(frozen=True, slots=True)
class SendDatagrams:
    """An open association's empty ``outgoing`` queue has got something: send it, oldest first, as credit permits.

    That may wait until all packets that are there have been handled, so that datagrams travel together, but not if ``urgent``:
    then the queue is half full.
    """

    association: Association
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class CloseAssociation:
    """End the association's stream; the table has forgotten it."""

    association: Association
    reason: Reason


@dataclass(frozen=True, slots=True)
class ReportDenial:
    """Something was refused on this host before any connector was asked: count it and show it to the user."""

    denial: Denial


Command = WriteFrame | AskAccess | AbandonFlow | OpenAssociation | SendDatagrams | CloseAssociation | ReportDenial
