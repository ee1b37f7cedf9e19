"""The names of people for Welcomes. Those who arrive together are asked for together: after a restart that is everybody.

A name is a courtesy: an agent connects also while the database is away, without one (C24).
"""

import asyncio
from typing import Final

import structlog

from controller.store import Store, credentials
from protocol.errors import LocalError
from protocol.reasons import Reason

DEADLINE_S: Final = 1.0
"""An agent gives its connection five seconds: a database that is away must not use them up."""
TOGETHER_MAX: Final = 500

_log = structlog.get_logger(__name__)


class Names:
    """One for all connections. Nothing is kept: what was erased is not shown again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wanted: dict[str, asyncio.Future[str]] = {}
        self._turn = asyncio.Lock()

    async def of(self, user: str) -> str:
        """Returns the user's name; empty when there is none, or the database is away."""
        name = self._wanted.get(user)
        if name is None:
            name = self._wanted[user] = asyncio.get_running_loop().create_future()
        async with self._turn:
            while not name.done():
                await self._read()
        return name.result()

    async def _read(self) -> None:
        batch = list(self._wanted)[:TOGETHER_MAX]
        names: dict[str, str] = {}
        try:
            async with asyncio.timeout(DEADLINE_S), self._store.read() as connection:
                found = await credentials.get_many(connection, batch)
            names = {user: person.name for user, person in found.items()}
        except (LocalError, TimeoutError) as error:
            # Nobody waits for a second one: they would all be late, one batch after another.
            batch = list(self._wanted)
            reason = error.reason if isinstance(error, LocalError) else Reason.UNAVAILABLE
            detail = error.detail if isinstance(error, LocalError) else "the database does not answer in time"
            _log.warning("agent.names_unknown", people=len(batch), reason=reason.code, detail=detail)
        # Whoever reads may be cancelled before: then it is still wanted, and the next one in turn reads.
        for user in batch:
            self._wanted.pop(user).set_result(names.get(user, ""))
