"""Which remote networks were used lately: a tunnel into them is made ahead of use when theirs was lost.

Bounded both ways: WARM_MAX networks, the latest used first, and none for longer than WARM_FOR_S after its last use. A network
whose connectors are away is asked for less and less often, so that nothing spins.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from protocol.ids import NetworkId

WARM_MAX: Final = 4
WARM_FOR_S: Final = 600.0
RETRY_FIRST_S: Final = 2.0
RETRY_MOST_S: Final = 60.0


@dataclass(slots=True)
class _Network:
    used: float
    next_try: float = 0.0
    pause_s: float = RETRY_FIRST_S


class Warmth:
    """Times are monotonic seconds."""

    def __init__(self) -> None:
        self._networks: dict[NetworkId, _Network] = {}

    def used(self, network: NetworkId, now: float) -> None:
        """A connection into ``network`` began, or is open."""
        known = self._networks.get(network)
        if known is None:
            self._networks[network] = _Network(now)
        else:
            known.used = now

    def failed(self, network: NetworkId, now: float) -> None:
        """No tunnel could be made."""
        known = self._networks.get(network)
        if known is not None:
            known.next_try = now + known.pause_s
            known.pause_s = min(RETRY_MOST_S, 2 * known.pause_s)

    def due(self, now: float, *, warm: Collection[NetworkId]) -> list[NetworkId]:
        """Returns the networks into which a tunnel is to be made now. ``warm``: those that have one."""
        self._networks = {key: value for key, value in self._networks.items() if now - value.used < WARM_FOR_S}
        latest = sorted(self._networks, key=lambda network: -self._networks[network].used)[:WARM_MAX]
        for network in warm:
            if network in self._networks:
                self._networks[network].pause_s = RETRY_FIRST_S
        return [network for network in latest if network not in warm and self._networks[network].next_try <= now]
