"""One write transaction: the log's lock, the state at its true end, commands in, events out."""

from sqlalchemy.ext.asyncio import AsyncConnection

from controller.domain.authority import refusal_for
from controller.domain.commands import Command
from controller.domain.decide import decide
from controller.domain.events import Event
from controller.domain.log import Change, Head
from controller.domain.rules import Refusal
from controller.domain.state import PolicyState
from controller.store import events
from protocol.errors import RefusedError
from protocol.ids import Revision


class Unit:
    """Made by ``Store.write``. Everything done through it commits together, or not at all (D7)."""

    def __init__(self, connection: AsyncConnection, head: Head, *, actor: str, request_id: str, now: float) -> None:
        self.connection = connection
        self.actor = actor
        self.request_id = request_id
        self.now = now
        self._head = head
        self._changes: list[Change] = []

    @property
    def state(self) -> PolicyState:
        """The policy as of this moment of the transaction, the unit's own events included."""
        return self._head.state

    @property
    def position(self) -> Revision:
        """The revision that a commit would make."""
        return self._head.position

    @property
    def changes(self) -> tuple[Change, ...]:
        """What this unit has appended."""
        return tuple(self._changes)

    async def execute(self, command: Command) -> tuple[Event, ...]:
        """Decides ``command`` and appends its events; none when what it asks is already so.

        Raises:
            RefusedError: with the reason of the refusal; FORBIDDEN when the actor is a user whose role does not permit
                the command. Nothing was appended then, and the unit may go on.
        """
        decided = refusal_for(self.state, self.actor, command) or decide(self.state, command)
        if isinstance(decided, Refusal):
            raise RefusedError(decided.reason, decided.detail)
        appended = await events.append(
            self.connection,
            self._head,
            decided,
            actor=self.actor,
            at_ms=max(int(self.now * 1000), self.state.at_ms),
            request_id=self.request_id,
        )
        if appended:
            self._changes += appended
            self._head = appended[-1].after
        return decided
