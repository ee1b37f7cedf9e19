"""What a packet can be. Addresses are packed bytes (4 or 16), so that they serve as dictionary keys without conversion."""

from dataclasses import dataclass
from enum import Enum, IntFlag
from typing import Final

TCP: Final = 6
UDP: Final = 17
ICMP: Final = 1
ICMPV6: Final = 58


class TcpFlag(IntFlag):
    """RFC 9293 section 3.1."""

    FIN = 1
    SYN = 2
    RST = 4
    PSH = 8
    ACK = 16
    URG = 32


class PacketDrop(Enum):
    """Why a packet is not looked at any further. Each is a counter (T-35, T-58)."""

    TRUNCATED = "truncated"
    """Shorter than its own headers say."""
    NOT_IP = "not_ip"
    MALFORMED = "malformed"
    IP_OPTIONS = "ip_options"
    """IPv4 options; among them source routing."""
    FRAGMENT = "fragment"
    EXTENSION_HEADER = "extension_header"
    """IPv6 with anything between the fixed header and the transport."""
    PROTOCOL_UNKNOWN = "protocol_unknown"
    ICMP_OTHER = "icmp_other"
    """ICMP that is not echo."""
    MULTICAST = "multicast"
    """Group or broadcast destination, or a source that nobody can answer."""


_SYN: Final = int(TcpFlag.SYN)
_OPENING: Final = int(TcpFlag.SYN | TcpFlag.ACK | TcpFlag.RST)


@dataclass(frozen=True, slots=True)
class TcpSegment:
    """``length`` is the sequence space that the payload takes (without SYN and FIN)."""

    source: bytes
    destination: bytes
    source_port: int
    destination_port: int
    sequence: int
    acknowledgement: int
    flags: int
    length: int

    @property
    def opens(self) -> bool:
        """A first segment of a connection: SYN and neither ACK nor RST."""
        return self.flags & _OPENING == _SYN


@dataclass(frozen=True, slots=True)
class UdpDatagram:
    """One datagram, or several of the same flow when the frame is a ``GSO_UDP_L4`` super-packet."""

    source: bytes
    destination: bytes
    source_port: int
    destination_port: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Echo:
    """An ICMP or ICMPv6 echo message; ``reply`` tells the two types apart."""

    source: bytes
    destination: bytes
    identifier: int
    sequence: int
    payload: bytes
    reply: bool


Packet = TcpSegment | UdpDatagram | Echo


def endpoints(source: bytes, destination: bytes, source_port: int, destination_port: int) -> bytes:
    """Returns the 12 (IPv4) or 36 (IPv6) bytes that name a flow.

    They are laid out as in the packet itself, where addresses and ports lie side by side when there are no options, so
    that the key of a flow is one slice and its rewriting one slice assignment.
    """
    return source + destination + source_port.to_bytes(2, "big") + destination_port.to_bytes(2, "big")
