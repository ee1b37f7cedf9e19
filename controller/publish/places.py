"""Where devices are: the address that each one's control connection comes from, as far as this process knows.

In memory only. A connection that broke leaves its address behind for PLACE_KEEP_S, so that a moment without control connection
does not end what is open; no client gets a new token without one. After a start nothing is known: for as long, what was
open before counts as rightly so (``Assumed.MET``) until the device comes back and says otherwise by where it is.
"""

from typing import Final

from controller.domain.conditions import Assumed, Source
from protocol.acl.model import IPAddress
from protocol.acl.names import unmapped
from protocol.ids import DeviceId
from protocol.limits import ACCESS_LIFE_S

PLACE_KEEP_S: Final = ACCESS_LIFE_S
"""As long as an access token lives: what it allows could be opened anyway."""


class Places:
    """``started`` and all times are Unix seconds."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._there: dict[DeviceId, IPAddress | None] = {}
        self._left: dict[DeviceId, tuple[IPAddress | None, float]] = {}

    def arrived(self, device: DeviceId, address: IPAddress | None) -> None:
        """The device is attached and comes from ``address`` (None: the server could not say)."""
        self._there[device] = unmapped(address) if address is not None else None
        self._left.pop(device, None)

    def left(self, device: DeviceId, now: float) -> None:
        """Its connection is gone."""
        if device in self._there:
            self._left[device] = (self._there.pop(device), now)

    def of(self, device: DeviceId, now: float) -> Source:
        """Returns where the device is at ``now``; None when that is not known, or not any more."""
        if device in self._there:
            return self._there[device]
        until = self.known_until(device)
        if until is None or now >= until:
            return None
        return self._left[device][0] if device in self._left else Assumed.MET

    def known_until(self, device: DeviceId) -> int | None:
        """Returns when (Unix seconds) an absent device's place stops to count; None while it is attached."""
        if device in self._there:
            return None
        since = self._left[device][1] if device in self._left else self._started
        return int(since) + PLACE_KEEP_S

    def forget(self, now: float) -> None:
        """Drops what does not count any more; called often, so it looks only as far as it drops."""
        while self._left:
            # Whoever left first comes first.
            device, (_, since) = next(iter(self._left.items()))
            if now < int(since) + PLACE_KEEP_S:
                return
            del self._left[device]
