"""The log as its readers see it: a head, and changes that lead to it."""

from dataclasses import dataclass

from controller.domain.events import Event
from controller.domain.state import PolicyState
from protocol.ids import Revision


@dataclass(frozen=True, slots=True)
class Head:
    """The state at the end of the log and the hash of its last event (empty before the first one)."""

    state: PolicyState
    log_head: str = ""

    @property
    def position(self) -> Revision:
        """The revision."""
        return self.state.position


@dataclass(frozen=True, slots=True)
class Change:
    """One event with the states that it lies between."""

    event: Event
    before: PolicyState
    after: Head

    @property
    def position(self) -> Revision:
        """The event's position."""
        return self.after.state.position


@dataclass(frozen=True, slots=True)
class Resync:
    """A reader fell too far behind to be given each change: this is where the log is."""

    head: Head
