"""Total parser of IP packets: any bytes give a packet or a typed reason to drop, never an exception (T-35, T-58).

Fragments, IPv4 options and IPv6 extension headers are refused rather than interpreted: a port that another machine would
reassemble differently is not a port that a policy can decide about. Checksums are not verified: the packets come from
this host's own kernel, which may have left them unfinished on purpose (``NEEDS_CSUM``).
"""

from struct import Struct
from typing import Final

from client.packet.checksum import Buffer
from client.packet.model import ICMP, ICMPV6, TCP, UDP, Echo, Packet, PacketDrop, TcpSegment, UdpDatagram

_TCP: Final = Struct("!HHIIBB")
_UDP: Final = Struct("!HHH")
_ECHO: Final = Struct("!BBHHH")
_ECHO_REQUEST: Final = {ICMP: 8, ICMPV6: 128}
_ECHO_REPLY: Final = {ICMP: 0, ICMPV6: 129}
_EXTENSION_HEADERS: Final = frozenset({0, 43, 44, 50, 51, 60, 135, 139, 140, 253, 254})
"""IANA's list of IPv6 extension header types; 59 ("no next header") carries nothing and is an unknown protocol."""


def parse(packet: Buffer) -> Packet | PacketDrop:
    """Parses one IP packet (without the vnet header)."""
    if len(packet) == 0:
        return PacketDrop.TRUNCATED
    view = memoryview(packet)
    version = view[0] >> 4
    if version == 4:
        return _parse_v4(view)
    if version == 6:
        return _parse_v6(view)
    return PacketDrop.NOT_IP


def _parse_v4(view: memoryview) -> Packet | PacketDrop:
    if len(view) < 20:
        return PacketDrop.TRUNCATED
    header = (view[0] & 15) * 4
    total = view[2] << 8 | view[3]
    if header < 20 or total < header:
        return PacketDrop.MALFORMED
    if total > len(view):
        return PacketDrop.TRUNCATED
    if header > 20:
        return PacketDrop.IP_OPTIONS
    if view[6] & 0x3F or view[7]:
        return PacketDrop.FRAGMENT
    source, destination = bytes(view[12:16]), bytes(view[16:20])
    if destination[0] >= 224 or source[0] >= 224 or source[0] == 0:
        return PacketDrop.MULTICAST
    return _parse_transport(view[20:total], view[9], source, destination, icmp=ICMP)


def _parse_v6(view: memoryview) -> Packet | PacketDrop:
    if len(view) < 40:
        return PacketDrop.TRUNCATED
    total = 40 + (view[4] << 8 | view[5])
    if total > len(view):
        return PacketDrop.TRUNCATED
    if view[6] == 44:
        return PacketDrop.FRAGMENT
    if view[6] in _EXTENSION_HEADERS:
        return PacketDrop.EXTENSION_HEADER
    source, destination = bytes(view[8:24]), bytes(view[24:40])
    if destination[0] == 0xFF or source[0] == 0xFF or not any(source):
        return PacketDrop.MULTICAST
    return _parse_transport(view[40:total], view[6], source, destination, icmp=ICMPV6)


def _parse_transport(
    view: memoryview, protocol: int, source: bytes, destination: bytes, *, icmp: int
) -> Packet | PacketDrop:
    if protocol == TCP:
        return _parse_tcp(view, source, destination)
    if protocol == UDP:
        return _parse_udp(view, source, destination)
    if protocol == icmp:
        return _parse_icmp(view, source, destination, icmp)
    return PacketDrop.PROTOCOL_UNKNOWN


def _parse_tcp(view: memoryview, source: bytes, destination: bytes) -> TcpSegment | PacketDrop:
    if len(view) < 20:
        return PacketDrop.TRUNCATED
    source_port, destination_port, sequence, acknowledgement, offset, flags = _TCP.unpack_from(view)
    header = (offset >> 4) * 4
    if header < 20 or source_port == 0 or destination_port == 0:
        return PacketDrop.MALFORMED
    if header > len(view):
        return PacketDrop.TRUNCATED
    return TcpSegment(
        source, destination, source_port, destination_port, sequence, acknowledgement, flags, len(view) - header
    )


def _parse_udp(view: memoryview, source: bytes, destination: bytes) -> UdpDatagram | PacketDrop:
    if len(view) < 8:
        return PacketDrop.TRUNCATED
    source_port, destination_port, length = _UDP.unpack_from(view)
    if length < 8 or source_port == 0 or destination_port == 0:
        return PacketDrop.MALFORMED
    if length > len(view):
        return PacketDrop.TRUNCATED
    return UdpDatagram(source, destination, source_port, destination_port, bytes(view[8:length]))


def _parse_icmp(view: memoryview, source: bytes, destination: bytes, icmp: int) -> Echo | PacketDrop:
    if len(view) < 8:
        return PacketDrop.TRUNCATED
    kind, code, _, identifier, sequence = _ECHO.unpack_from(view)
    if code != 0 or kind not in (_ECHO_REQUEST[icmp], _ECHO_REPLY[icmp]):
        return PacketDrop.ICMP_OTHER
    reply = kind == _ECHO_REPLY[icmp]
    return Echo(source, destination, identifier, sequence, bytes(view[8:]), reply)
