"""The past in memory: a bounded number of folds, so that "as of then" costs a short fold and not the whole log.

States share their structure, so that a saved one costs what changed since the one before it. When there are too many, the
one goes whose neighbours lie closest together: what is left stays spread over the whole log.
"""

from bisect import bisect_right
from typing import Final

from controller.domain.log import Head
from controller.domain.state import PolicyState

SAVED_MAX: Final = 64
"""Folds kept. A log of 100,000 events then has one about every 1,600 events."""
STRIDE: Final = 500
"""While folding, every so many events one fold is offered."""

START: Final = Head(PolicyState())
"""Before the first event."""


class SavedHeads:
    """Heads of the log by position. Not thread-safe: its owner serialises."""

    def __init__(self, most: int = SAVED_MAX) -> None:
        if most < 2:
            raise ValueError("at least two")
        self._most = most
        self._heads: list[Head] = []
        self._positions: list[int] = []

    def __len__(self) -> int:
        return len(self._heads)

    def keep(self, head: Head) -> None:
        """Takes a head; what it displaces is the one that is missed least."""
        place = bisect_right(self._positions, head.position)
        if head.position == 0 or (place and self._positions[place - 1] == head.position):
            return
        self._positions.insert(place, head.position)
        self._heads.insert(place, head)
        if len(self._heads) > self._most:
            self._thin()

    def at_or_before(self, position: int) -> Head:
        """Returns the last head that is not behind ``position``; START when there is none."""
        place = bisect_right(self._positions, position)
        return self._heads[place - 1] if place else START

    def _thin(self) -> None:
        bounds = [0, *self._positions]
        # The last one always stays: it is where the next questions begin.
        inner = range(len(self._positions) - 1)
        least = min(inner, key=lambda index: self._positions[index + 1] - bounds[index])
        del self._positions[least], self._heads[least]
