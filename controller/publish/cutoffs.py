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
AHEAD_MAX_S: Final = CLOCK_LEEWAY_S // 2
"""By so much tokens of a device may be dated ahead, when it loses something many times in a second; connectors take them."""
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
        """Makes cut-offs of losses at ``at``: tokens issued in that second or before fall under them.

        A token that was issued since the device's last cut-off may be dated with that cut-off's moment, which is ahead of the
        clock for a part of a second: the next cut-off of the same second must still hit it.
        """
        least = int(at) + 1
        befores: dict[DeviceId, int] = {}
        noted = []
        for loss in losses:
            before = befores.get(loss.device)
            if before is None:
                before = befores[loss.device] = max(least, min(self.floor(loss.device) + 1, least + AHEAD_MAX_S))
            noted.append(Noted(Cutoff(loss.device, loss.resource, before, loss.reason.code), loss.networks, at))
        self._floors.update(befores)
        self._noted.extend(noted)
        return tuple(noted)

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
