"""Better ways for new flows: while a tunnel goes by a relay, the connector is tried where it listens itself.

The direct tunnel is made in full beside the other one, with a handshake and a proof of its own; only then do new streams go
there (``Tunnels.find``). Streams that are open stay where they are, and the tunnel by the relay stays warm for the moment at
which the direct one dies.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from client.core.direct import LONGEST_PAUSE_S, DirectPath
from client.core.paths import PathMemory
from client.daemon.connector_tunnel import ConnectorTunnel
from client.daemon.dialling import DialContext, Dialling
from protocol.errors import OstiaryError
from protocol.ids import NetworkId, ResourceId
from protocol.tokens.claims import Authorisation
from runtime.tasks import TaskScope

FIRST_QUESTION_S: Final = 4.0
"""After a tunnel by a relay came up; later ones come less and less often."""

_log = structlog.get_logger(__name__)


class Improvement:
    """One attempt at a time for each remote network.

    Args:
        memory: knows where connectors listen and what failed lately.
        parts: what a dialling needs.
        scope: owns the attempts.
        adopt: is given each tunnel that came about.
        ask: has the controller name the paths into a network for a resource in it, and remembers them.
    """

    def __init__(
        self,
        memory: PathMemory,
        parts: DialContext,
        scope: TaskScope,
        adopt: Callable[[ConnectorTunnel], None],
        ask: Callable[[NetworkId, ResourceId], Awaitable[Authorisation]],
    ) -> None:
        self._memory = memory
        self._parts = parts
        self._scope = scope
        self._adopt = adopt
        self._ask = ask
        self._trying: set[NetworkId] = set()
        self._questions: dict[ConnectorTunnel, tuple[float, float]] = {}
        """For each tunnel by a relay: when to ask the controller next, and how long to wait after that."""

    def look(self, live: Sequence[ConnectorTunnel]) -> None:
        """Begins what is due for the remote networks into which tunnels go by relays only. Call it every second or so."""
        usable = [tunnel for tunnel in live if tunnel.usable]
        settled = self._trying | {tunnel.network for tunnel in usable if tunnel.direct}
        now = self._parts.clock.monotonic()
        self._questions = {tunnel: due for tunnel, due in self._questions.items() if tunnel in usable}
        for tunnel in usable:
            if tunnel.network in settled:
                continue
            ways = self._memory.direct.candidates([tunnel.path], now)
            if ways or self._may_ask(tunnel, now):
                settled.add(tunnel.network)
                self._trying.add(tunnel.network)
                self._scope.spawn(self._try(tunnel, ways), name="improve")

    def moved(self) -> None:
        """This host is in another network: everything is worth a try again."""
        self._memory.direct.moved()
        self._questions.clear()

    def _may_ask(self, tunnel: ConnectorTunnel, now: float) -> bool:
        """A connector may have begun to listen, or have told the controller of it a moment after it was asked."""
        due, pause = self._questions.setdefault(tunnel, (now + FIRST_QUESTION_S, FIRST_QUESTION_S))
        if now < due:
            return False
        pause = min(2 * pause, LONGEST_PAUSE_S)
        self._questions[tunnel] = now + pause, pause
        return True

    async def _try(self, tunnel: ConnectorTunnel, ways: Sequence[DirectPath]) -> None:
        network = tunnel.network
        try:
            ways = ways or await self._asked(tunnel)
            if ways:
                self._adopt(await Dialling(network, self._memory, self._parts).improve(ways))
        except OstiaryError as error:
            _log.debug("direct.not_reached", network=network, reason=error.reason.code)
            now = self._parts.clock.monotonic()
            for way in self._memory.direct.candidates(ways, now):
                # Cut short by the deadline of the race, before it had failed by itself.
                self._memory.failed(way, now, error.reason)
        finally:
            self._trying.discard(network)

    async def _asked(self, tunnel: ConnectorTunnel) -> Sequence[DirectPath]:
        entries = () if tunnel.standing is None else tunnel.standing.access.acl.entries
        known = next((entry.resource.id for entry in entries if entry.resource.network == tunnel.network), None)
        if known is None:
            return ()
        found = await self._ask(tunnel.network, known)
        return self._memory.direct.candidates(found.paths, self._parts.clock.monotonic())
