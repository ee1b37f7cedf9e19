"""How many connections, and how many handshakes, strangers may cost a connector that listens itself (T-25, T-26).

Whoever connects is a stranger until his proof was accepted. Strangers have few places, fewer for each address, and so many
handshakes a second; those who proved themselves only count towards the total. Who finds no place goes by a relay.
"""

from typing import Final

from protocol.address_kinds import group_of
from protocol.address_rates import AddressRates
from protocol.limits import DIRECT_CONNECTIONS_MAX, DIRECT_STRANGERS_MAX, DIRECT_STRANGERS_PER_ADDRESS

HANDSHAKES_PER_S: Final = 100.0
"""Over all addresses: about a tenth of one core."""
HANDSHAKES_PER_ADDRESS: Final = 10.0
BURST_S: Final = 4.0
"""A burst may hold this many seconds' worth."""
RATES_MAX: Final = 4_096
"""Addresses whose rate is remembered; the one unheard for longest goes first."""


class Doorway:
    """Counts strangers by address. ``now`` is monotonic."""

    def __init__(
        self,
        now: float,
        *,
        total: int = DIRECT_CONNECTIONS_MAX,
        strangers: int = DIRECT_STRANGERS_MAX,
        per_address: int = DIRECT_STRANGERS_PER_ADDRESS,
    ) -> None:
        self.connections = 0
        """All of them, proven or not."""
        self.refused = 0
        """Since the start."""
        self._total = total
        self._strangers = strangers
        self._per_address = per_address
        self._counts: dict[str, int] = {}
        self._handshakes = AddressRates(
            now, per_second=HANDSHAKES_PER_S, per_address=HANDSHAKES_PER_ADDRESS, burst_s=BURST_S, most=RATES_MAX
        )

    @property
    def strangers(self) -> int:
        """Connections that have proved nothing yet."""
        return sum(self._counts.values())

    def enter(self, address: str, now: float) -> bool:
        """Counts a stranger; False: drop the connection, it was not counted."""
        group = group_of(address)
        count = self._counts.get(group, 0)
        full = self.connections >= self._total or self.strangers >= self._strangers or count >= self._per_address
        if full or not self._handshakes.take(group, now):
            self.refused += 1
            return False
        self._counts[group] = count + 1
        self.connections += 1
        return True

    def settle(self, address: str) -> None:
        """The stranger is one no more: he proved himself, or he is gone. Once for each that entered."""
        group = group_of(address)
        left = self._counts[group] - 1
        if left:
            self._counts[group] = left
        else:
            del self._counts[group]

    def leave(self) -> None:
        """A connection that entered is gone. Once for each."""
        self.connections -= 1
