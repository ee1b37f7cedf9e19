"""What time and place do to devices: the losses that no event brings, found when they are due (C23, T-36).

Keeps, for each device, the next moment at which its answer can change by itself, and where it is.
"""

from collections.abc import Iterator

from controller.domain.conditions import Source
from controller.domain.evaluate import next_change_at
from controller.domain.held import asks_for_source
from controller.domain.log import Change
from controller.domain.losses import Loss, losses_by, losses_of
from controller.domain.state import PolicyState
from controller.publish.places import Places
from controller.publish.timers import Timers
from protocol.acl.model import IPAddress
from protocol.ids import DeviceId


class Watch:
    """All times are Unix seconds; ``started`` is when this process began to know who is attached."""

    def __init__(self, started: float) -> None:
        self._places = Places(started)
        self._timers = Timers()

    def place_of(self, device: DeviceId, now: float) -> Source:
        """Where the device is, as far as that is known here."""
        return self._places.of(device, now)

    def arrive(
        self, state: PolicyState, device: DeviceId, address: IPAddress | None, now: float
    ) -> tuple[bool, tuple[Loss, ...]]:
        """The device is attached and comes from ``address``. Returns whether that can change its answer, and what it lost."""
        came_from = self._places.of(device, now)
        self._places.arrived(device, address)
        source = self._places.of(device, now)
        if source == came_from or not _asks_for_source(state, device):
            return False, ()
        self.set_timer(state, device, now)
        return True, losses_of(state, state, device, was=now, now=now, came_from=came_from, source=source)

    def leave(self, state: PolicyState, device: DeviceId, now: float) -> None:
        """The device's connection is gone; for a while it counts as being where it was."""
        self._places.left(device, now)
        self._places.forget(now)
        self.set_timer(state, device, now)

    def set_timer(self, state: PolicyState, device: DeviceId, now: float) -> None:
        """Notes when time alone next changes what the device may reach."""
        moments = [next_change_at(state, device, now, source=self._places.of(device, now))]
        if _asks_for_source(state, device):
            moments.append(self._places.known_until(device))
        self._timers.set(
            device, min((moment for moment in moments if moment is not None and moment > now), default=None)
        )

    def next(self) -> int | None:
        """When the next device is due."""
        return self._timers.next()

    def take_due(self, state: PolicyState, now: float) -> Iterator[tuple[DeviceId, tuple[Loss, ...]]]:
        """Yields the devices whose answer can have changed by now, with what they lost, and sets their next moment."""
        for device, when in self._timers.take_due(now):
            # Ends are whole seconds and nothing else changes between two of them.
            was = when - 0.5
            came_from, source = self._places.of(device, was), self._places.of(device, now)
            losses = losses_of(state, state, device, was=was, now=now, came_from=came_from, source=source)
            self.set_timer(state, device, now)
            yield device, losses

    def losses_by(self, change: Change, device: DeviceId, now: float) -> tuple[Loss, ...]:
        """What an event took away."""
        source = self._places.of(device, now)
        return losses_by(change.before, change.after.state, change.event, device, now, source=source)

    def losses_between(self, before: PolicyState, after: PolicyState, device: DeviceId, now: float) -> tuple[Loss, ...]:
        """What many events together took away."""
        source = self._places.of(device, now)
        return losses_of(before, after, device, was=now, now=now, came_from=source, source=source)


def _asks_for_source(state: PolicyState, device: DeviceId) -> bool:
    known = state.devices.get(device)
    return known is not None and asks_for_source(state, known.owner)
