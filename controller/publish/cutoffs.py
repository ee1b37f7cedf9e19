"""The cut-offs that are not moot yet: repeated in every config until no token that they hit can still be valid (C23)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from controller.domain.losses import Loss
from protocol.control import Cutoff
from protocol.ids import DeviceId, NetworkId
from protocol.limits import ACCESS_LIFE_S, CLOCK_LEEWAY_S

KEEP_S: Final = ACCESS_LIFE_S + 2 * CLOCK_LEEWAY_S
"""After this long every access token from before the cut-off has expired, whatever the clocks say within the leeway."""
PER_MESSAGE: Final = 1_000
"""Cut-offs in one Revoke; a larger revocation is several messages."""
PER_CONFIG: Final = 2_000
"""Newest first; about 250 KiB. What does not fit follows each config as Revoke messages."""


@dataclass(frozen=True, slots=True)
class Noted:
    """A cut-off, where it applies, and when it was made (Unix seconds)."""

    cutoff: Cutoff
    networks: frozenset[NetworkId]
    at: float


class CutoffLedger:
    """What was cut off lately, in order of time."""

    def __init__(self) -> None:
        self._noted: list[Noted] = []
        self._floors: dict[DeviceId, int] = {}

    def note(self, losses: Iterable[Loss], at: float) -> tuple[Noted, ...]:
        """Makes cut-offs of losses at ``at``: tokens issued in that second or before fall under them."""
        before = int(at) + 1
        noted = tuple(
            Noted(Cutoff(loss.device, loss.resource, before, loss.reason.code), loss.networks, at) for loss in losses
        )
        for item in noted:
            self._floors[item.cutoff.device] = before
        self._noted.extend(noted)
        return noted

    def live_in(self, network: NetworkId, now: float) -> tuple[Cutoff, ...]:
        """Returns the cut-offs for a remote network's connectors, newest first."""
        self._forget(now)
        return tuple(item.cutoff for item in reversed(self._noted) if network in item.networks)

    def floor(self, device: DeviceId) -> int:
        """Returns the earliest issue time (Unix s) that no cut-off of the device hits; 0 when there is none."""
        return self._floors.get(device, 0)

    def _forget(self, now: float) -> None:
        moot = next((index for index, item in enumerate(self._noted) if item.at > now - KEEP_S), len(self._noted))
        if not moot:
            return
        del self._noted[:moot]
        living = {item.cutoff.device for item in self._noted}
        self._floors = {device: floor for device, floor in self._floors.items() if device in living}
