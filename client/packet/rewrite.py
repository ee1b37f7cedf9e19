"""The kernel-TCP trick: turn a TCP packet around in place, at a cost that does not depend on its size.

Source and destination of a flow are constant, so for each flow and direction everything is computed once: the bytes to
put in, and what they change in the checksums (RFC 1624). Per packet remain one slice assignment and two 16-bit additions.

- The IPv4 header checksum changes by the addresses.
- A complete TCP checksum changes by addresses and ports.
- With ``NEEDS_CSUM`` the TCP field holds the (not complemented) sum of the pseudo-header alone, so that it changes by the
  addresses only; ports and payload are summed by whoever finishes it.

The virtio-net header is never written: lengths do not change, so that GSO super-packets pass through unsplit.
"""

from typing import Final, Protocol

from client.packet.checksum import delta
from client.packet.vnet import NEEDS_CSUM, OFFSET

V4_MIN_FRAME: Final = OFFSET + 20 + 20
V6_MIN_FRAME: Final = OFFSET + 40 + 20


class Rewrite(Protocol):
    """Turns packets of one flow and direction around."""

    def apply(self, frame: bytearray) -> None:
        """Rewrites a frame in place.

        It must hold TCP right behind an IP header without options or extension headers, be no fragment, and be at least
        ``V4_MIN_FRAME`` or ``V6_MIN_FRAME`` long.
        """


class RewriteV4:
    """IPv4: 12 bytes of addresses and ports from byte 12 of the packet."""

    __slots__ = ("_addresses", "_everything", "_replacement")

    def __init__(self, old: bytes, new: bytes) -> None:
        self._replacement = new
        self._addresses = delta(old[:8], new[:8])
        self._everything = delta(old, new)

    def apply(self, frame: bytearray) -> None:
        """See Rewrite."""
        addresses = self._addresses
        frame[22:34] = self._replacement
        total = ((frame[20] << 8 | frame[21]) ^ 0xFFFF) + addresses
        total = ((total & 0xFFFF) + (total >> 16)) ^ 0xFFFF
        frame[20] = total >> 8
        frame[21] = total & 0xFF
        if frame[0] & NEEDS_CSUM:
            total = (frame[46] << 8 | frame[47]) + addresses
            total = (total & 0xFFFF) + (total >> 16)
        else:
            total = ((frame[46] << 8 | frame[47]) ^ 0xFFFF) + self._everything
            total = ((total & 0xFFFF) + (total >> 16)) ^ 0xFFFF
        frame[46] = total >> 8
        frame[47] = total & 0xFF


class RewriteV6:
    """IPv6: 36 bytes of addresses and ports from byte 8 of the packet; there is no header checksum."""

    __slots__ = ("_addresses", "_everything", "_replacement")

    def __init__(self, old: bytes, new: bytes) -> None:
        self._replacement = new
        self._addresses = delta(old[:32], new[:32])
        self._everything = delta(old, new)

    def apply(self, frame: bytearray) -> None:
        """See Rewrite."""
        frame[18:54] = self._replacement
        if frame[0] & NEEDS_CSUM:
            total = (frame[66] << 8 | frame[67]) + self._addresses
            total = (total & 0xFFFF) + (total >> 16)
        else:
            total = ((frame[66] << 8 | frame[67]) ^ 0xFFFF) + self._everything
            total = ((total & 0xFFFF) + (total >> 16)) ^ 0xFFFF
        frame[66] = total >> 8
        frame[67] = total & 0xFF


def make_rewrite(old: bytes, new: bytes) -> Rewrite:
    """Returns the rewrite that turns packets with the endpoints ``old`` into packets with ``new`` (``model.endpoints``)."""
    if len(old) != len(new):
        raise ValueError("a rewrite does not change the IP version")
    return RewriteV4(old, new) if len(old) == 12 else RewriteV6(old, new)
