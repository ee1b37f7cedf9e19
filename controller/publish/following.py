"""The live end of the log as the hub reads it (``controller.store.feed`` provides it)."""

from typing import Protocol

from controller.domain.log import Change, Head, Resync
from protocol.ids import Revision


class ChangeReader(Protocol):
    """A place in the log (``controller.store.feed.Subscription``)."""

    async def next(self) -> tuple[Change, ...] | Resync:
        """Waits for what follows and returns all of it."""
        ...


class ChangeFeed(Protocol):
    """The live end of the log (``controller.store.feed.Feed``)."""

    @property
    def head(self) -> Head:
        """The end of the log."""
        ...

    @property
    def recent(self) -> tuple[Change, ...]:
        """The last changes, oldest first."""
        ...

    def subscribe(self, after: Revision | None = None) -> ChangeReader:
        """Returns a reader that starts behind ``after``."""
        ...
