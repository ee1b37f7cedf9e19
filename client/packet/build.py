"""Packets that the client makes itself: resets, ICMP errors, echo replies, datagrams.

Every function returns one IP packet with complete checksums and without a vnet header; ``framed`` puts an empty one in
front. Only ``UdpTemplate``, for the many datagrams of one flow, makes whole frames and leaves a checksum to the kernel.
"""

from collections.abc import Sequence
from enum import Enum
from struct import Struct
from typing import Final

from client.packet.checksum import Buffer, checksum, fold, ones_sum, pseudo_header_sum
from client.packet.model import ICMP, ICMPV6, TCP, UDP, TcpFlag, TcpSegment
from client.packet.vnet import GSO_NONE, GSO_UDP_L4, NEEDS_CSUM, NO_OFFLOAD, VnetHeader

_TTL: Final = 64
_IPV4: Final = Struct("!BBHHHBBH4s4s")
_IPV6: Final = Struct("!IHBB16s16s")
_TCP: Final = Struct("!HHIIBBHHH")
_UDP: Final = Struct("!HHHH")
_UDP_FRAME_V4: Final = Struct("!10s" + _IPV4.format[1:] + _UDP.format[1:])
_UDP_FRAME_V6: Final = Struct("!10s" + _IPV6.format[1:] + _UDP.format[1:])
_UDP_VNET_V4: Final = VnetHeader(NEEDS_CSUM, GSO_NONE, 0, 0, 20, 6).encode()
_UDP_VNET_V6: Final = VnetHeader(NEEDS_CSUM, GSO_NONE, 0, 0, 40, 6).encode()
_ICMP: Final = Struct("!BBHI")
_ECHO: Final = Struct("!BBHHH")
_ICMP_QUOTE_V4: Final = 576 - 20 - 8
"""RFC 1812 section 4.3.2.3: as much of the original as fits into 576 bytes."""
_ICMP_QUOTE_V6: Final = 1280 - 40 - 8
"""RFC 4443 section 3.1: as much as fits into the minimum MTU."""


class Unreachable(Enum):
    """Destination unreachable: (code in ICMP (RFC 792, RFC 1812), code in ICMPv6 (RFC 4443))."""

    NETWORK = (0, 0)
    HOST = (1, 3)
    PORT = (3, 4)
    PROHIBITED = (13, 1)


def framed(packet: bytes) -> bytes:
    """Returns the frame that writes ``packet`` as it is."""
    return NO_OFFLOAD + packet


def ip_packet(source: bytes, destination: bytes, protocol: int, payload: bytes) -> bytes:
    """Returns an IPv4 or IPv6 packet (by the length of the addresses) around a finished transport payload."""
    if len(source) == 4:
        header = _IPV4.pack(0x45, 0, 20 + len(payload), 0, 0x4000, _TTL, protocol, 0, source, destination)
        return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + payload
    return _IPV6.pack(0x60000000, len(payload), protocol, _TTL, source, destination) + payload


def tcp_reset(segment: TcpSegment) -> bytes:
    """Returns the reset that RFC 9293 section 3.5.2 (group 1) prescribes as the answer to ``segment``.

    To a SYN it is RST|ACK acknowledging it, which makes ``connect()`` fail at once with ECONNREFUSED. Never call it for a
    segment that is itself a reset.
    """
    if segment.flags & TcpFlag.ACK:
        sequence, acknowledgement, flags = segment.acknowledgement, 0, int(TcpFlag.RST)
    else:
        taken = segment.length + bool(segment.flags & TcpFlag.SYN) + bool(segment.flags & TcpFlag.FIN)
        sequence, acknowledgement = 0, (segment.sequence + taken) & 0xFFFFFFFF
        flags = int(TcpFlag.RST | TcpFlag.ACK)
    header = _TCP.pack(segment.destination_port, segment.source_port, sequence, acknowledgement, 5 << 4, flags, 0, 0, 0)
    pseudo = pseudo_header_sum(segment.destination, segment.source, TCP, len(header))
    header = header[:16] + checksum(header, pseudo).to_bytes(2, "big") + header[18:]
    return ip_packet(segment.destination, segment.source, TCP, header)


class UdpTemplate:
    """Everything of a flow's datagrams in one direction that does not depend on the payload, computed once.

    Its frames leave the checksum unfinished (``NEEDS_CSUM``: the field holds the pseudo-header's sum), which the kernel
    takes for what it is; so the payload is not even looked at.
    """

    __slots__ = ("_destination", "_header_sum", "_ports", "_pseudo_sum", "_source", "payload_max")

    def __init__(self, source: bytes, destination: bytes, source_port: int, destination_port: int) -> None:
        self._source = source
        self._destination = destination
        self._ports = source_port, destination_port
        self._pseudo_sum = pseudo_header_sum(source, destination, UDP, 0)
        self._header_sum = 0
        self.payload_max = 65535 - 8
        if len(source) == 4:
            self.payload_max = 65535 - 28
            self._header_sum = ones_sum(_IPV4.pack(0x45, 0, 0, 0, 0x4000, _TTL, UDP, 0, source, destination))

    def frame(self, payload: bytes) -> bytes:
        """Returns the frame for ``payload``, which has at most ``payload_max`` bytes."""
        vnet = _UDP_VNET_V4 if len(self._source) == 4 else _UDP_VNET_V6
        return self._head(vnet, len(payload)) + payload

    def super_frame(self, payloads: Sequence[bytes]) -> bytes:
        """Returns one frame for several payloads, all as long as the first but for the last, which may be shorter.

        The kernel takes it apart (``GSO_UDP_L4``); together they have at most ``payload_max`` bytes.
        """
        header = 20 if len(self._source) == 4 else 40
        vnet = VnetHeader(NEEDS_CSUM, GSO_UDP_L4, header + 8, len(payloads[0]), header, 6).encode()
        return b"".join((self._head(vnet, sum(map(len, payloads))), *payloads))

    def _head(self, vnet: bytes, size: int) -> bytes:
        length = 8 + size
        field = fold(self._pseudo_sum + length)
        if len(self._source) == 4:
            total = 20 + length
            header = fold(self._header_sum + total) ^ 0xFFFF
            fields = (0x45, 0, total, 0, 0x4000, _TTL, UDP, header, self._source, self._destination)
            return _UDP_FRAME_V4.pack(vnet, *fields, *self._ports, length, field)
        fields_v6 = (0x60000000, length, UDP, _TTL, self._source, self._destination)
        return _UDP_FRAME_V6.pack(vnet, *fields_v6, *self._ports, length, field)


def echo(source: bytes, destination: bytes, identifier: int, sequence: int, payload: bytes, *, reply: bool) -> bytes:
    """Returns an echo request or reply."""
    if len(source) == 4:
        kind = 0 if reply else 8
        protocol, pseudo = ICMP, 0
    else:
        kind = 129 if reply else 128
        protocol, pseudo = ICMPV6, pseudo_header_sum(source, destination, ICMPV6, 8 + len(payload))
    message = _ECHO.pack(kind, 0, 0, identifier, sequence) + payload
    message = message[:2] + checksum(message, pseudo).to_bytes(2, "big") + message[4:]
    return ip_packet(source, destination, protocol, message)


def unreachable(original: Buffer, why: Unreachable) -> bytes:
    """Returns a destination-unreachable error about ``original``, a packet that ``parse`` accepted.

    It comes from the original's destination and goes to its source, as if the far host had said it.
    """
    code_v4, code_v6 = why.value
    if original[0] >> 4 == 4:
        return _icmp_error(original, 3, code_v4)
    return _icmp_error(original, 1, code_v6)


def time_exceeded(original: Buffer, hop: bytes) -> bytes:
    """Returns the error that a router at ``hop`` (packed address of the same IP version) sends for a packet whose hops are
    used up (RFC 792, RFC 4443 section 3.3); ``original`` is one that ``parse`` accepted.
    """
    return _icmp_error(original, 11 if original[0] >> 4 == 4 else 3, 0, hop)


def _icmp_error(original: Buffer, kind: int, code: int, sender: bytes | None = None) -> bytes:
    if original[0] >> 4 == 4:
        source, destination = sender or bytes(original[16:20]), bytes(original[12:16])
        quote, protocol = bytes(original[:_ICMP_QUOTE_V4]), ICMP
        pseudo = 0
    else:
        source, destination = sender or bytes(original[24:40]), bytes(original[8:24])
        quote, protocol = bytes(original[:_ICMP_QUOTE_V6]), ICMPV6
        pseudo = pseudo_header_sum(source, destination, ICMPV6, 8 + len(quote))
    message = _ICMP.pack(kind, code, 0, 0) + quote
    message = message[:2] + checksum(message, pseudo).to_bytes(2, "big") + message[4:]
    return ip_packet(source, destination, protocol, message)
