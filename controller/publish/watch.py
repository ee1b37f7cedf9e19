"""What time and place do to devices: the losses that no event brings, found when they are due (C23, T-36).

Keeps, for each device, the next moment at which its answer can change by itself, and where it is.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from controller.domain.conditions import Source
from controller.domain.evaluate import next_change_at
from controller.domain.events import Event, GrantCreated
from controller.domain.held import asks_for_source
from controller.domain.log import Change
from controller.domain.losses import Loss, losses_by, losses_of
from controller.domain.state import PolicyState
from controller.publish.places import Places
from controller.publish.timers import Timers
from protocol.acl.model import IPAddress
from protocol.ids import DeviceId

BEFORE_S: Final = 0.5
"""Ends are whole seconds and nothing else changes between two of them."""


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
        stood = self._stood(device, now)
        self._places.arrived(device, address)
        source = self._places.of(device, now)
        if stood == [(now, source)] or not _asks_for_source(state, device):
            return False, ()
        self.set_timer(state, device, now)
        return True, self._lost(state, state, device, stood, now)

    def leave(self, state: PolicyState, device: DeviceId, now: float) -> None:
        """The device's connection is gone; for a while it counts as being where it was."""
        self._places.left(device, now)
        self.set_timer(state, device, now)

    def set_timer(self, state: PolicyState, device: DeviceId, now: float) -> None:
        """Notes when time alone next changes what the device may reach, unless one awaits ``take_due``."""
        moments = [next_change_at(state, device, now, source=self._places.of(device, now))]
        if _asks_for_source(state, device):
            moments.append(self._places.known_until(device))
        coming = min((moment for moment in moments if moment is not None and moment > now), default=None)
        self._timers.set(device, coming, now=now)

    def next(self) -> int | None:
        """When the next device is due."""
        return self._timers.next()

    def take_due(self, state: PolicyState, now: float) -> Iterator[tuple[DeviceId, tuple[Loss, ...]]]:
        """Yields the devices whose answer can have changed by now, with what they lost, and sets their next moment."""
        for device, when in self._timers.take_due(now):
            was = when - BEFORE_S
            came_from, source = self._places.of(device, was), self._places.of(device, now)
            losses = losses_of(state, state, device, was=was, now=now, came_from=came_from, source=source)
            self.set_timer(state, device, now)
            yield device, losses
        # Only now: what left a place that does not count any more was compared with that place.
        self._places.forget(now)

    def losses_by(self, change: Change, device: DeviceId, now: float) -> tuple[Loss, ...]:
        """What an event took away."""
        before, after = change.before, change.after.state
        lost = losses_by(before, after, change.event, device, now, source=self._places.of(device, now))
        overdue = self._stood(device, now)[1:]
        # What time took on grounds that the event removes, ``take_due`` would not see any more.
        return tuple(dict.fromkeys((*lost, *self._lost(before, after, device, overdue, now))))

    def losses_between(self, before: PolicyState, after: PolicyState, device: DeviceId, now: float) -> tuple[Loss, ...]:
        """What many events together took away."""
        return self._lost(before, after, device, self._stood(device, now), now)

    def _stood(self, device: DeviceId, now: float) -> list[tuple[float, Source]]:
        """When and where it may have had what it loses: now and, if its moment awaits ``take_due``, just before that."""
        overdue = self._timers.overdue(device, now)
        moments = [now] if overdue is None else [now, overdue - BEFORE_S]
        return [(moment, self._places.of(device, moment)) for moment in moments]

    def _lost(
        self,
        before: PolicyState,
        after: PolicyState,
        device: DeviceId,
        stood: Iterable[tuple[float, Source]],
        now: float,
    ) -> tuple[Loss, ...]:
        source = self._places.of(device, now)
        losses: dict[Loss, None] = {}
        for was, came_from in stood:
            found = losses_of(before, after, device, was=was, now=now, came_from=came_from, source=source)
            losses.update(dict.fromkeys(found))
        return tuple(losses)


def only_gives(event: Event) -> bool:
    """Whether nobody loses anything by the event and no moment moves: a grant without end or condition."""
    return isinstance(event, GrantCreated) and event.expires is None and event.policy is None


def _asks_for_source(state: PolicyState, device: DeviceId) -> bool:
    known = state.devices.get(device)
    return known is not None and asks_for_source(state, known.owner)
