"""Folds a stretch of the log whose states in between nobody looks at: half the time of ``evolve`` per event.

What makes the difference: versions are counted in a map that may change until it is finished, and a state that nobody
else has seen yet is stamped with its position in place.
"""

from controller.domain.events import Event
from controller.domain.evolve import HANDLERS
from controller.domain.state import PolicyState, changed
from protocol.errors import LocalError
from protocol.ids import Revision
from protocol.reasons import Reason


class BulkFold:
    """Takes events in order of position; ``finish`` returns the state. Equal to ``evolve`` over the same events."""

    def __init__(self, state: PolicyState) -> None:
        self._state = state
        self._versions = state.versions.mutate()
        self._position = int(state.position)

    def add(self, event: Event, position: int, at_ms: int) -> None:
        """Folds one event.

        Raises:
            LocalError: STATE_CORRUPT when the position is not the next one (D6, T-7).
        """
        if position != self._position + 1:
            raise LocalError(Reason.STATE_CORRUPT, f"event {position} follows event {self._position}")
        self._position = position
        after = HANDLERS[type(event)](self._state, event, at_ms)
        if after is self._state:
            after = changed(after, position=Revision(position), at_ms=at_ms)
        else:
            after.__dict__.update(position=Revision(position), at_ms=at_ms)
        self._state = after
        stream = event.stream
        self._versions[stream] = self._versions.get(stream, 0) + 1

    def finish(self) -> PolicyState:
        """Returns the state behind the last event. Nothing may be added afterwards."""
        return changed(self._state, versions=self._versions.finish())
