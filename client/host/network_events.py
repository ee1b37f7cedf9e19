"""The kernel's word that links, addresses or routes have changed: a netlink socket that somebody waits on (F-17).

What changed is not read out of the messages; who was woken looks for itself. Needs no privilege.
"""

import asyncio
import socket
from types import TracebackType
from typing import Final, Self

_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE (linux/rtnetlink.h)."""
_READ_BYTES: Final = 65_536


class NetworkEvents:
    """A context manager inside a running loop. Where the kernel offers no such socket, ``wait`` only waits."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._sock: socket.socket | None = None

    def __enter__(self) -> Self:
        try:
            sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        except OSError:
            return self  # a sandbox without AF_NETLINK
        try:
            sock.bind((0, _GROUPS))
        except OSError:
            sock.close()
            return self
        self._sock = sock
        asyncio.get_running_loop().add_reader(sock.fileno(), self._readable)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock.fileno())
            self._sock.close()
            self._sock = None

    async def wait(self, seconds: float) -> bool:
        """Waits for a change, for at most ``seconds``; returns whether there was one."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    def _readable(self) -> None:
        assert self._sock is not None
        while True:
            try:
                self._sock.recv(_READ_BYTES)
            except OSError:
                break  # nothing more; or ENOBUFS: more changed than the socket holds, and that something did is all
        self._changed.set()
