"""The accept loop: limits before TLS, one deadline for TLS and upgrade together, around ``runtime.accepting`` (T-26)."""

import asyncio
import socket
import ssl
from collections.abc import Callable

import structlog

from protocol.limits import UPGRADE_DEADLINE_S
from runtime.accepting import accept_forever
from runtime.leg_tls import start_server
from runtime.tasks import TaskScope

_log = structlog.get_logger(__name__)

MakeProtocol = Callable[[str, float, Callable[[], None]], asyncio.BaseProtocol]
"""``(address, when the upgrade must be complete in loop time, release)``; ``release`` is to be called when it is gone."""


class Listener:
    """Accepts on one listening socket and starts TLS for each connection.

    Args:
        sock: From ``runtime.accepting.bind``; closed by ``run``.
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
        async with TaskScope("listener") as scope:
            await accept_forever(self._sock, lambda connection, address: self._admit(scope, connection, address))

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
            await start_server(
                connection,
                lambda: self._make_protocol(address, deadline, release),
                context=self._context,
                deadline_s=self._deadline_s,
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
