"""Clients' tickets that are good for a little longer, for devices that ask again before their first tunnel is up.

A client whose applications start together asks once for each, and the relay makes no difference between two tickets of one
device to one connector. So the same one is given again, to that device only, and not often enough to fill its places at the
relay (T-25).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from protocol.ids import ConnectorId, DeviceId, RelayId

AGAIN_S: Final = 15.0
"""How long after it was made a ticket is given again; it lives four times as long (CLIENT_TICKET_LIFE_S)."""
TIMES_MAX: Final = 8
"""How often one is given: half of what a relay takes at one time by one ticket."""
KEPT_MAX: Final = 4096
"""Tickets that are remembered; some 400 bytes each."""


class Asked(NamedTuple):
    """Which ticket: whose, where to, through which relay, signed by which key."""

    device: DeviceId
    connector: ConnectorId
    relay: RelayId
    kid: str


@dataclass(slots=True)
class _Kept:
    ticket: str
    expires: int
    left: int


class Tickets:
    """One per signer. All that is kept ends together, AGAIN_S after the first of it was made."""

    def __init__(self) -> None:
        self._kept: dict[Asked, _Kept] = {}
        self._since = 0.0

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, asked: Asked, now: float, make: Callable[[], tuple[str, int]]) -> tuple[str, int]:
        """Returns a ticket and when it expires (Unix seconds), made by ``make`` unless a good one is known.

        The caller has found just now that the device may go there: nothing is judged here.
        """
        if not self._since <= now < self._since + AGAIN_S or len(self._kept) >= KEPT_MAX:
            self._kept.clear()
            self._since = now
        kept = self._kept.get(asked)
        if kept is None or kept.left == 0:
            kept = self._kept[asked] = _Kept(*make(), TIMES_MAX)
        kept.left -= 1
        return kept.ticket, kept.expires
