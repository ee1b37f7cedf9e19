"""A slow, independent reading and writing of packets: the reference that the fast code is compared with.

Checksums are summed word by word from scratch, as RFC 1071 section 1 describes it, and never updated.
"""

import ipaddress
import struct
from dataclasses import dataclass, replace

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
VNET_PLAIN = bytes(10)


def word_sum(data: bytes) -> int:
    """Adds 16-bit words one by one with end-around carry."""
    if len(data) % 2:
        data += b"\0"
    total = 0
    for index in range(0, len(data), 2):
        total += data[index] << 8 | data[index + 1]
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo(source: bytes, destination: bytes, protocol: int, length: int) -> bytes:
    """The pseudo-header of RFC 793 and of RFC 8200."""
    if len(source) == 4:
        return source + destination + struct.pack("!BBH", 0, protocol, length)
    return source + destination + struct.pack("!I3xB", length, protocol)


def packed(address: str) -> bytes:
    """Packs an address."""
    return ipaddress.ip_address(address).packed


@dataclass(frozen=True)
class Tcp:
    """A TCP packet by its fields. ``needs_csum``: leave the checksum to others, as the kernel does on a TUN device."""

    source: str
    destination: str
    source_port: int
    destination_port: int
    payload: bytes = b""
    flags: int = 0x10
    sequence: int = 1000
    acknowledgement: int = 2000
    options: bytes = b""
    needs_csum: bool = False
    ttl: int = 64
    identification: int = 7
    gso_size: int = 0

    def frame(self) -> bytes:
        """Returns vnet header and packet."""
        source, destination = packed(self.source), packed(self.destination)
        header = struct.pack(
            "!HHIIBBHHH",
            self.source_port,
            self.destination_port,
            self.sequence,
            self.acknowledgement,
            (20 + len(self.options)) // 4 << 4,
            self.flags,
            65000,
            0,
            0,
        )
        segment = header + self.options + self.payload
        if self.needs_csum:
            field = word_sum(pseudo(source, destination, TCP, len(segment)))
        else:
            field = word_sum(pseudo(source, destination, TCP, len(segment)) + segment) ^ 0xFFFF
        segment = segment[:16] + field.to_bytes(2, "big") + segment[18:]
        return self._vnet(len(source)) + ip(source, destination, TCP, segment, self.ttl, self.identification)

    def turned(self, source: str, source_port: int, destination: str, destination_port: int) -> "Tcp":
        """The same segment with other endpoints."""
        return replace(
            self, source=source, source_port=source_port, destination=destination, destination_port=destination_port
        )

    def _vnet(self, address_length: int) -> bytes:
        start = 20 if address_length == 4 else 40
        kind = 0 if not self.gso_size else 1 if address_length == 4 else 4
        checksum_start = start if self.needs_csum else 0
        checksum_offset = 16 if self.needs_csum else 0
        return struct.pack("=BBHHHH", int(self.needs_csum), kind, 66, self.gso_size, checksum_start, checksum_offset)


def ip(source: bytes, destination: bytes, protocol: int, body: bytes, ttl: int = 64, identification: int = 0) -> bytes:
    """Returns an IPv4 or IPv6 packet."""
    if len(source) == 16:
        return struct.pack("!IHBB", 6 << 28, len(body), protocol, ttl) + source + destination + body
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), identification, 0x4000, ttl, protocol, 0)
    header += source + destination
    field = word_sum(header) ^ 0xFFFF
    return header[:10] + field.to_bytes(2, "big") + header[12:] + body


def udp(source: str, destination: str, source_port: int, destination_port: int, payload: bytes) -> bytes:
    """Returns a UDP packet."""
    first, second = packed(source), packed(destination)
    body = struct.pack("!HHHH", source_port, destination_port, 8 + len(payload), 0) + payload
    field = word_sum(pseudo(first, second, UDP, len(body)) + body) ^ 0xFFFF
    return ip(first, second, UDP, body[:6] + (field or 0xFFFF).to_bytes(2, "big") + body[8:])


def echo(
    source: str, destination: str, identifier: int, sequence: int, payload: bytes, *, reply: bool = False
) -> bytes:
    """Returns an ICMP or ICMPv6 echo message."""
    first, second = packed(source), packed(destination)
    v4 = len(first) == 4
    kind = (0 if reply else 8) if v4 else (129 if reply else 128)
    body = struct.pack("!BBHHH", kind, 0, 0, identifier, sequence) + payload
    protocol = ICMP if v4 else ICMPV6
    covered = body if v4 else pseudo(first, second, protocol, len(body)) + body
    field = word_sum(covered) ^ 0xFFFF
    return ip(first, second, protocol, body[:2] + field.to_bytes(2, "big") + body[4:])


def assert_valid(packet: bytes) -> None:
    """Checks lengths and every checksum of a finished packet from scratch: each sum with its field must be all ones."""
    if packet[0] >> 4 == 4:
        assert word_sum(packet[:20]) == 0xFFFF
        assert packet[2] << 8 | packet[3] == len(packet)
        source, destination, protocol, body = packet[12:16], packet[16:20], packet[9], packet[20:]
    else:
        assert packet[4] << 8 | packet[5] == len(packet) - 40
        source, destination, protocol, body = packet[8:24], packet[24:40], packet[6], packet[40:]
    covered = body if protocol == ICMP else pseudo(source, destination, protocol, len(body)) + body
    assert word_sum(covered) == 0xFFFF


def finished(frame: bytes) -> bytes:
    """Returns the packet of a frame; one that leaves its checksum to the kernel is finished as the kernel does it."""
    flags, _, _, _, start, offset = struct.unpack_from("=BBHHHH", frame)
    packet = bytearray(frame[10:])
    if flags & 1:
        field = word_sum(bytes(packet[start:])) ^ 0xFFFF
        if field == 0 and offset == 6:
            field = 0xFFFF  # UDP: zero would mean that there is none
        packet[start + offset : start + offset + 2] = field.to_bytes(2, "big")
    return bytes(packet)
