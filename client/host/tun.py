"""The TUN device and its loop: frames in, the fast path, frames out.

``python-pytun`` only makes the device; reading and writing is ``os.readv``/``os.writev`` on its descriptor, into one
buffer. The offload mask belongs to the device and survives its opener on persistent ones, so it is always set explicitly.
"""

import asyncio
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pytun

from client.host import DEVICE
from client.packet.vnet import OFFSET
from protocol.errors import LocalError
from protocol.reasons import Reason

_TUNSETOFFLOAD: Final = 0x400454D0
_TUNGETVNETHDRSZ: Final = 0x800454D7
_SIOCSIFTXQLEN: Final = 0x8943
_F_CSUM: Final = 0x01
_F_TSO4: Final = 0x02
_F_TSO6: Final = 0x04
_F_USO4: Final = 0x20
_F_USO6: Final = 0x40
_OFFLOADS: Final = _F_CSUM | _F_TSO4 | _F_TSO6
_OFFLOADS_WITH_UDP: Final = _OFFLOADS | _F_USO4 | _F_USO6
"""Needs Linux 6.2."""

MTU: Final = 65535
"""The device is private to the host and TCP ends on it, so that a large MTU costs nothing, and with the largest one no
UDP datagram over IPv4 has to be fragmented. 1500 works as well."""
QUEUE_LENGTH: Final = 4000
"""Packets that the kernel keeps for us; with the default of 500 bursts are lost before they are read."""
_BUFFER_BYTES: Final = OFFSET + 65_536 + 512
_FRAMES_PER_WAKE: Final = 48
"""Then other events have their turn: at most about 3 MB, 1 to 2 ms."""

Forward = Callable[[bytearray, int], bool]
Handle = Callable[[bytes], None]


class TunDevice:
    """An open TUN device. It exists as long as this object is open, and with it its addresses and routes."""

    def __init__(self, device: Any, name: str, *, mtu: int, offloads: int) -> None:
        """Use ``open``."""
        self._device = device
        self._fd: int = device.fileno()
        self._buffer = bytearray(_BUFFER_BYTES)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lost: Callable[[OSError], None] | None = None
        self._drain_waiting: Callable[[], None] | None = None
        self.name = name
        self.mtu = mtu
        self.offloads = offloads
        self.index = socket.if_nametoindex(name)

    @classmethod
    def open(cls, name: str = DEVICE, *, mtu: int = MTU, queue_length: int = QUEUE_LENGTH) -> "TunDevice":
        """Makes the device. It is still down: ``HostNetwork.set_up`` brings it up when its settings are in place.

        Raises:
            LocalError: NEEDS_ROOT, NO_TUN, ALREADY_RUNNING (the name is in use).
        """
        try:
            device = pytun.TunTapDevice(name=name, flags=pytun.IFF_TUN | pytun.IFF_NO_PI | pytun.IFF_VNET_HDR)
        except (OSError, pytun.Error) as exc:
            raise _open_error(exc, name) from exc
        try:
            fd = device.fileno()
            os.set_inheritable(fd, False)
            os.set_blocking(fd, False)
            _check_header_size(fd)
            offloads = _set_offloads(fd)
            device.mtu = mtu
            _set_queue_length(name, queue_length)
            return cls(device, name, mtu=mtu, offloads=offloads)
        except (OSError, pytun.Error) as exc:
            device.close()
            raise LocalError(Reason.NO_TUN, f"{name}: {exc}") from exc
        except LocalError:
            device.close()
            raise

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def up(self) -> None:
        """Brings the device up. Raises LocalError(NO_TUN)."""
        try:
            self._device.up()
        except (OSError, pytun.Error) as exc:
            raise LocalError(Reason.NO_TUN, f"{self.name}: {exc}") from exc

    def start(
        self,
        forward: Forward,
        handle: Handle,
        lost: Callable[[OSError], None],
        drained: Callable[[], None] = lambda: None,
    ) -> None:
        """Reads from here on, in the running loop.

        Args:
            forward: rewrites a frame in place; True: it is written back.
            handle: takes a copy of every other frame.
            lost: called once when the device is gone.
            drained: called when what had come was handled.
        """
        self._loop = asyncio.get_running_loop()
        self._lost = lost
        self._drain_waiting = partial(self._drain, forward, handle, drained)
        self._loop.add_reader(self._fd, self._drain_waiting)

    def drain(self) -> None:
        """Reads what waits now: the kernel answers a written frame before ``write`` returns. Not for ``handle``."""
        if self._fd >= 0 and self._drain_waiting is not None:
            self._drain_waiting()

    @property
    def takes_udp_bursts(self) -> bool:
        """Whether one frame may carry several datagrams of one flow (USO)."""
        return self.offloads & _OFFLOADS_WITH_UDP == _OFFLOADS_WITH_UDP

    def write(self, frame: bytes) -> bool:
        """Writes one frame. What the kernel does not take (malformed, or out of memory) is dropped, as on any link: False."""
        try:
            os.write(self._fd, frame)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Ends the device. Safe to call twice."""
        if self._fd < 0:
            return
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        self._fd = -1
        self._device.close()

    def _drain(self, forward: Forward, handle: Handle, drained: Callable[[], None]) -> None:
        try:
            self._read_waiting(forward, handle)
        finally:
            drained()

    def _read_waiting(self, forward: Forward, handle: Handle) -> None:
        fd, buffer = self._fd, self._buffer
        view = memoryview(buffer)
        readv, writev = os.readv, os.writev
        into = (buffer,)
        for _ in range(_FRAMES_PER_WAKE):
            try:
                length = readv(fd, into)
            except BlockingIOError:
                return
            except OSError as exc:
                self._end(exc)
                return
            if forward(buffer, length):
                try:
                    writev(fd, (view[:length],))
                except OSError:
                    continue  # dropped, as on any link
            else:
                handle(bytes(view[:length]))
                if self._fd < 0:
                    return

    def _end(self, error: OSError) -> None:
        lost, self._lost = self._lost, None
        self.close()
        if lost is not None:
            lost(error)


def _check_header_size(fd: int) -> None:
    size = struct.unpack("i", fcntl.ioctl(fd, _TUNGETVNETHDRSZ, struct.pack("i", 0)))[0]
    if size != OFFSET:
        raise LocalError(Reason.NO_TUN, f"the kernel's virtio-net header has {size} bytes, not {OFFSET}")


def _set_offloads(fd: int) -> int:
    for mask in (_OFFLOADS_WITH_UDP, _OFFLOADS):
        try:
            fcntl.ioctl(fd, _TUNSETOFFLOAD, mask)
        except OSError as exc:
            if exc.errno != errno.EINVAL:
                raise
        else:
            return mask
    fcntl.ioctl(fd, _TUNSETOFFLOAD, 0)
    return 0


def _set_queue_length(name: str, length: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock.fileno(), _SIOCSIFTXQLEN, struct.pack("16si12x", name.encode(), length))


def _open_error(error: Exception, name: str) -> LocalError:
    number = error.errno if isinstance(error, OSError) else (error.args[0] if error.args else None)
    if number in (errno.EPERM, errno.EACCES):
        return LocalError(Reason.NEEDS_ROOT, f"opening {name}")
    if number == errno.EBUSY:
        return LocalError(Reason.ALREADY_RUNNING, f"the device {name} is in use")
    return LocalError(Reason.NO_TUN, f"{name}: {error}")
