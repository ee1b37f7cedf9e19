"""How many connections, and how much signature checking, one address may cost (threats T-25, T-26).

Asked before anything of a connection is read: ``enter`` at accept, ``may_verify`` before a ticket's signature is looked at,
``leave`` when the socket is gone. Memory is bounded by the connections themselves and by ``RATES_MAX``.
"""

from typing import Final

from protocol.address_kinds import group_of
from protocol.address_rates import AddressRates
from protocol.limits import RELAY_CONNECTIONS_MAX, RELAY_CONNECTIONS_PER_ADDRESS
from protocol.reasons import Reason

CROWDED: Final = 0.75
"""Above this share of all places an address gets no more than its fair part."""
FAIR_MIN: Final = 16
CHECKS_PER_SECOND: Final = 2_000.0
"""Signatures per second over all addresses: about a fifth of one core (ES256 verifies 11,400 times a second)."""
CHECKS_PER_ADDRESS: Final = 200.0
CHECKS_BURST_S: Final = 2.0
"""A burst may hold this many seconds' worth."""
RATES_MAX: Final = 16_384
"""Addresses whose rate is remembered; the one unheard for longest goes first."""


class Gate:
    """Counts connections and signature checks by address."""

    def __init__(
        self,
        now: float,
        *,
        total: int = RELAY_CONNECTIONS_MAX,
        per_address: int = RELAY_CONNECTIONS_PER_ADDRESS,
        checks_per_second: float = CHECKS_PER_SECOND,
        checks_per_address: float = CHECKS_PER_ADDRESS,
    ) -> None:
        self._total = total
        self._per_address = per_address
        self._counts: dict[str, int] = {}
        self._checks = AddressRates(
            now, per_second=checks_per_second, per_address=checks_per_address, burst_s=CHECKS_BURST_S, most=RATES_MAX
        )
        self.connections = 0

    def enter(self, address: str) -> Reason | None:
        """Counts a new connection; a Reason says that it must be dropped (and then it was not counted)."""
        group = group_of(address)
        count = self._counts.get(group, 0)
        if count >= self._allowance():
            return Reason.LIMIT_EXCEEDED
        self._counts[group] = count + 1
        self.connections += 1
        return None

    def leave(self, address: str) -> None:
        """The connection is gone."""
        group = group_of(address)
        left = self._counts[group] - 1
        if left:
            self._counts[group] = left
        else:
            del self._counts[group]
        self.connections -= 1

    def may_verify(self, address: str, now: float) -> bool:
        """Takes one signature check out of the address's budget and the common one."""
        return self._checks.take(group_of(address), now)

    def _allowance(self) -> int:
        if self.connections >= self._total:
            return 0
        if self.connections < self._total * CROWDED:
            return self._per_address
        fair = self._total // (len(self._counts) + 1)
        return min(self._per_address, max(FAIR_MIN, fair))
