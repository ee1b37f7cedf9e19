"""Connections to relays, one of them begun before the controller has said that it is the one (C11, C12).

While the controller is asked, TCP and TLS to the relay that was named last are set up already. Nothing is asked of it
before there is a ticket, and what it turns out not to be needed for is closed. No trust rests on the guess: the relay's
certificate is verified against its name as ever, and the path that is taken is one of the authorisation's.
"""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from typing import Final

from protocol.errors import OstiaryError, RemoteError
from protocol.reasons import Reason
from protocol.rendezvous import CONNECT_PATH
from protocol.tokens.claims import Path
from runtime.addresses import AddressMemory
from runtime.clock import Clock
from runtime.leg import Leg, RelayLine, open_line
from runtime.tasks import TaskScope

LEG_DEADLINE_S: Final = 8.0
"""TCP, TLS, and waiting for the pair."""
AHEAD_MAX_S: Final = 3.0
"""A relay cuts what asks for nothing within UPGRADE_DEADLINE_S: a line that was begun earlier than this is not used."""

RelayName = tuple[str, int]
"""FQDN and port."""


@dataclass(frozen=True, slots=True)
class RelayDialler:
    """Opens lines to relays.

    Args:
        context: verifies their certificates.
        clock: monotonic time.
        mark: SO_MARK of the sockets.
        known: their addresses, as far as they are known.
    """

    context: ssl.SSLContext
    clock: Clock
    mark: int | None
    known: AddressMemory

    async def open(self, relay: RelayName) -> RelayLine:
        """Goes as far as TLS. Raises OstiaryError as ``runtime.leg.open_line``."""
        host, port = relay
        return await open_line(
            host=host,
            port=port,
            context=self.context,
            local_mark=self.mark,
            deadline=LEG_DEADLINE_S,
            known=self.known,
        )


class RelayLines:
    """The lines of one dialling; ``close`` when it has ended.

    Args:
        dialler: opens them.
        scope: owns the line that is begun ahead.
    """

    def __init__(self, dialler: RelayDialler, scope: TaskScope) -> None:
        self._dialler = dialler
        self._scope = scope
        self._ahead: asyncio.Task[RelayLine | OstiaryError] | None = None
        self._relay: RelayName | None = None
        self._began = 0.0

    def begin(self, relay: RelayName) -> None:
        """Begins a line to ``relay``, which the first path that leads there takes."""
        self._relay, self._began = relay, self._dialler.clock.monotonic()
        self._ahead = self._scope.spawn(self._open(relay), name="line")

    async def leg(self, path: Path, first: bytes) -> Leg:
        """Returns a leg that is paired with the connector of ``path`` and has, or is given, ``first``. Raises OstiaryError."""
        until = self._dialler.clock.monotonic() + LEG_DEADLINE_S
        line = await self._take((path.fqdn, path.port)) or await self._dialler.open((path.fqdn, path.port))
        left = max(0.0, until - self._dialler.clock.monotonic())
        return await line.upgrade(CONNECT_PATH, path.ticket, deadline=left, first=first)

    def close(self) -> None:
        """Closes the line that nobody took."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.add_done_callback(_close_line)
            ahead.cancel()

    async def _take(self, relay: RelayName) -> RelayLine | None:
        """Returns the line that was begun to ``relay``, unless it is too old. Raises what became of it otherwise."""
        ahead = self._ahead
        if ahead is None or relay != self._relay:
            return None
        if self._dialler.clock.monotonic() - self._began > AHEAD_MAX_S:
            self.close()
            return None
        self._ahead = None
        try:
            line = await ahead
        except asyncio.CancelledError:
            ahead.add_done_callback(_close_line)
            ahead.cancel()
            raise
        if isinstance(line, OstiaryError):
            raise line
        if not line.usable:
            raise RemoteError(Reason.RELAY_UNREACHABLE, "the relay closed the connection")
        return line

    async def _open(self, relay: RelayName) -> RelayLine | OstiaryError:
        """A failure is an outcome that waits to be looked at, not a crash of the scope."""
        try:
            return await self._dialler.open(relay)
        except OstiaryError as error:
            return error


def _close_line(task: "asyncio.Task[RelayLine | OstiaryError]") -> None:
    with contextlib.suppress(asyncio.CancelledError):
        line = task.result()
        if isinstance(line, RelayLine):
            line.close()
