"""Keeps a tunnel into each remote network that was used lately, so that the next connection finds it warm (F-1, F-4, F-17)."""

import asyncio
import contextlib
from typing import Final

import structlog

from client.core.warmth import Warmth
from client.daemon.control import ControlLink
from client.daemon.policy import Policy
from client.daemon.tunnels import Tunnels
from protocol.acl.model import Entry
from protocol.errors import OstiaryError
from protocol.ids import NetworkId
from protocol.limits import HOLD_DEADLINE_S

LOOK_S: Final = 1.0

_log = structlog.get_logger(__name__)


class Prewarmer:
    """Looks every second, and when a policy comes into force; makes what is missing one by one.

    Args:
        tunnels: of this identity.
        policy: what may be reached, and which flows there were.
        link: to the controller; without it no tunnel can be made that is not asked for.
        warmth: which networks were used; also before this identity's last ``down``.
    """

    def __init__(self, tunnels: Tunnels, policy: Policy, link: ControlLink, warmth: Warmth) -> None:
        self._tunnels = tunnels
        self._policy = policy
        self._link = link
        self._clock = link.clock
        self._warmth = warmth

    async def run(self) -> None:
        """For ever."""
        while True:
            await self.look()
            self._tunnels.policy_moved.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._tunnels.policy_moved.wait()

    async def look(self) -> None:
        """Notes what is in use, and makes the tunnels that are missing."""
        now = self._clock.monotonic()
        for network in self._policy.flows.take_used():
            self._warmth.used(network, now)
        usable = [tunnel for tunnel in self._tunnels.live if tunnel.usable]
        for tunnel in usable:
            if tunnel.tunnel.stream_count > 1:  # more than that of its proofs
                self._warmth.used(tunnel.network, now)
        if not self._link.connected or self._policy.classifier.blocked is not None:
            return
        if not self._policy.prewarm:
            return
        for network in self._warmth.due(now, warm={tunnel.network for tunnel in usable}):
            entry = self._any_resource(network)
            if entry is not None:
                await self._warm(network, entry)

    async def _warm(self, network: NetworkId, entry: Entry) -> None:
        try:
            async with asyncio.timeout(HOLD_DEADLINE_S):
                await self._tunnels.reach(entry)
        except (OstiaryError, TimeoutError) as error:
            _log.debug("tunnel.not_prewarmed", network=network, error=str(error))
            self._warmth.failed(network, self._clock.monotonic())
        else:
            _log.info("tunnel.prewarmed", network=network)

    def _any_resource(self, network: NetworkId) -> Entry | None:
        entries = self._policy.index.acl.entries
        return next((entry for entry in entries if entry.resource.network == network), None)
