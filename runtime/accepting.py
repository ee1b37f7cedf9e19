"""Listening sockets, and the loop that accepts on one of them and outlives EMFILE (T-26, F-28)."""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable
from typing import Any, Final

import structlog

from protocol.errors import LocalError
from protocol.reasons import Reason

BACKLOG: Final = 1024
RELIEF_PAUSE_S: Final = 0.1
"""Between two tries while the process has no descriptors left."""
_NO_SUCH_FAMILY: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = structlog.get_logger(__name__)


def bind(host: str, port: int) -> list[socket.socket]:
    """Returns listening sockets for ``host`` (empty: every address that this host has). Raises LocalError."""
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )
        for family, _, _, _, address in found:
            try:
                # With port 0 all families get the port that the first one was given.
                actual = sockets[0].getsockname()[1] if sockets else port
                sockets.append(_listen(family, (address[0], actual, *address[2:])))
            except OSError as exc:
                # A host without IPv6 has an address for it all the same.
                if host or exc.errno not in _NO_SUCH_FAMILY or len(found) == 1:
                    raise
    except OSError as exc:
        for sock in sockets:
            sock.close()
        where = f"{host or '*'}:{port}: {exc.strerror or exc}"
        if exc.errno == errno.EADDRINUSE:
            raise LocalError(Reason.PORT_IN_USE, where) from exc
        if exc.errno in (errno.EACCES, errno.EPERM):
            raise LocalError(Reason.PERMISSION_DENIED, where) from exc
        raise LocalError(Reason.CONFIG_INVALID, where) from exc
    return sockets


def _listen(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


async def accept_forever(sock: socket.socket, admit: Callable[[socket.socket, str], None]) -> None:
    """Accepts on ``sock`` until cancelled, and closes it then.

    Args:
        sock: From ``bind``.
        admit: Gets each connection and its peer's address; from then on the connection is its own to close.
    """
    loop = asyncio.get_running_loop()
    spare = Spare()
    exhausted = False
    try:
        while True:
            try:
                connection, address = await loop.sock_accept(sock)
            except OSError as exc:
                if exc.errno not in _EXHAUSTED:
                    # A connection that died in the backlog (accept(2) passes its error on).
                    continue
                if not exhausted:
                    exhausted = True
                    _log.warning("listener.no_descriptors", error=exc.strerror)
                spare.drop_one(sock)
                await asyncio.sleep(RELIEF_PAUSE_S)
                continue
            if exhausted:
                exhausted = False
                _log.info("listener.relieved")
            admit(connection, str(address[0]))
    finally:
        sock.close()
        spare.close()


class Spare:
    """One descriptor kept back: without it nothing could be accepted, not even to be dropped, and the loop would spin."""

    def __init__(self) -> None:
        self._handle: int | None = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def drop_one(self, listening: socket.socket) -> None:
        """Takes one connection out of the backlog and closes it, so that its peer knows at once."""
        self.close()
        with contextlib.suppress(OSError):
            connection, _ = listening.accept()
            connection.close()
        with contextlib.suppress(OSError):
            self._handle = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Gives the descriptor back."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
