"""The accept loop: limits before TLS, one deadline for TLS and upgrade together, and it outlives EMFILE (T-26, F-28)."""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

import structlog

from protocol.errors import LocalError
from protocol.limits import UPGRADE_DEADLINE_S
from protocol.reasons import Reason
from runtime.leg_protocol import SHUTDOWN_DEADLINE_S
from runtime.tasks import TaskScope

BACKLOG: Final = 1024
RELIEF_PAUSE_S: Final = 0.1
"""Between two tries while the process has no descriptors left."""
_NO_SUCH_FAMILY: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = structlog.get_logger(__name__)

MakeProtocol = Callable[[str, float, Callable[[], None]], asyncio.BaseProtocol]
"""``(address, when the upgrade must be complete in loop time, release)``; ``release`` is to be called when it is gone."""


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


class Listener:
    """Accepts on one listening socket and starts TLS for each connection.

    Args:
        sock: From ``bind``; closed by ``run``.
        context: The server's TLS context.
        make_protocol: Makes the protocol of one connection; it is connected when TLS is up.
        enter: Called at accept with the address; False drops the connection, True counts it.
        leave: Called once for each counted connection when it is gone.
        deadline_s: For TLS and upgrade together.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        *,
        make_protocol: MakeProtocol,
        enter: Callable[[str], bool],
        leave: Callable[[str], None],
        deadline_s: float = UPGRADE_DEADLINE_S,
    ) -> None:
        self._sock = sock
        self._context = context
        self._make_protocol = make_protocol
        self._enter = enter
        self._leave = leave
        self._deadline_s = deadline_s

    async def run(self) -> None:
        """Accepts until cancelled."""
        loop = asyncio.get_running_loop()
        spare = _Spare()
        exhausted = False
        async with TaskScope("listener") as scope:
            try:
                while True:
                    try:
                        connection, address = await loop.sock_accept(self._sock)
                    except OSError as exc:
                        if exc.errno not in _EXHAUSTED:
                            # A connection that died in the backlog (accept(2) passes its error on).
                            continue
                        if not exhausted:
                            exhausted = True
                            _log.warning("listener.no_descriptors", error=exc.strerror)
                        spare.drop_one(self._sock)
                        await asyncio.sleep(RELIEF_PAUSE_S)
                        continue
                    if exhausted:
                        exhausted = False
                        _log.info("listener.relieved")
                    self._admit(scope, connection, str(address[0]))
            finally:
                self._sock.close()
                spare.close()

    def _admit(self, scope: TaskScope, connection: socket.socket, address: str) -> None:
        if not self._enter(address):
            connection.close()
            return
        scope.spawn(self._start_tls(connection, address), name="tls", on_crash=_crashed)

    async def _start_tls(self, connection: socket.socket, address: str) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._deadline_s
        release = _once(lambda: self._leave(address))
        try:
            await loop.connect_accepted_socket(
                lambda: self._make_protocol(address, deadline, release),
                connection,
                ssl=self._context,
                ssl_handshake_timeout=self._deadline_s,
                ssl_shutdown_timeout=SHUTDOWN_DEADLINE_S,
            )
        except OSError as exc:
            # A protocol whose TLS did not come up never hears of its end.
            connection.close()
            release()
            _log.debug("listener.tls_failed", address=address, error=str(exc))
        except BaseException:
            connection.close()
            release()
            raise


class _Spare:
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


def _once(call: Callable[[], None]) -> Callable[[], None]:
    done = False

    def wrapper() -> None:
        nonlocal done
        if not done:
            done = True
            call()

    return wrapper


def _crashed(error: Exception) -> None:
    _log.error("listener.crashed", exc_info=error)
