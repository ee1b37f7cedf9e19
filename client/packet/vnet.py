"""The virtio-net header that ``IFF_VNET_HDR`` puts in front of every packet (Linux ``struct virtio_net_hdr``).

Ten bytes, host byte order. A packet that goes straight back into the device keeps its header untouched: segmentation and
checksum offload then pass through unsplit.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Final

from client.packet.checksum import Buffer

OFFSET: Final = 10
"""Length of the header, which is where the IP packet begins in a frame."""
NO_OFFLOAD: Final = bytes(OFFSET)
"""Header of a whole packet with finished checksums."""

NEEDS_CSUM: Final = 1
"""The checksum field holds only the pseudo-header's sum; the receiver of the frame finishes it if it leaves the host."""
DATA_VALID: Final = 2

GSO_NONE: Final = 0
GSO_TCPV4: Final = 1
GSO_TCPV6: Final = 4
GSO_UDP_L4: Final = 5
"""A super-packet of several datagrams of ``gso_size`` payload bytes each (the last may be shorter)."""
GSO_ECN: Final = 0x80

_LAYOUT: Final = Struct("=BBHHHH")


@dataclass(frozen=True, slots=True)
class VnetHeader:
    """Fields as in the kernel's struct; offsets and lengths in bytes, counted from the start of the IP packet."""

    flags: int = 0
    gso_type: int = GSO_NONE
    header_length: int = 0
    """Not to be trusted: on some paths it is the length of the whole first segment."""
    gso_size: int = 0
    checksum_start: int = 0
    checksum_offset: int = 0

    def encode(self) -> bytes:
        """Returns the ten bytes."""
        return _LAYOUT.pack(
            self.flags,
            self.gso_type,
            self.header_length,
            self.gso_size,
            self.checksum_start,
            self.checksum_offset,
        )


def parse_vnet(frame: Buffer) -> VnetHeader | None:
    """Returns the header of ``frame``; None when the frame is shorter than one."""
    if len(frame) < OFFSET:
        return None
    return VnetHeader(*_LAYOUT.unpack_from(frame))
