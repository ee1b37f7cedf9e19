"""Assertions spent at any replica (D7): in the database, for all who come at the same time in one transaction.

When thousands of agents come back at once, a transaction for each would cost more than all the rest of their coming.
"""

import asyncio
from typing import Final

import structlog

from controller.store import Store, replicas
from protocol.errors import LocalError, RefusedError
from protocol.reasons import Reason
from protocol.tokens.claims import Assertion

SPEND_DEADLINE_S: Final = 1.0
"""An agent waits five seconds for its connection: a database that is away must not use them up."""
TOGETHER_MAX: Final = 256
"""In one transaction."""

_Key = tuple[str, str]

_log = structlog.get_logger(__name__)


class SharedReplays:
    """One for all connections. Without the database this replica's own memory (``ReplayCache``) must do (C24).

    What that leaves: while the database is away, an assertion that somebody took out of a TLS connection within the minute
    that it lives would be good once more at each other replica.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wanted: dict[_Key, tuple[float, asyncio.Future[bool]]] = {}
        self._turn = asyncio.Lock()

    async def spend(self, assertion: Assertion, expires: float) -> None:
        """Uses the assertion up everywhere.

        Raises:
            RefusedError: TOKEN_REVOKED when another replica has seen it; TOKEN_MALFORMED when no database could hold it.
        """
        if not self._store.shared:
            return
        if "\0" in assertion.jti:
            # PostgreSQL would refuse the statement, and with it those who came at the same time.
            raise RefusedError(Reason.TOKEN_MALFORMED, "a jti with a NUL character")
        key = (assertion.agent, assertion.jti)
        if key in self._wanted:
            raise RefusedError(Reason.TOKEN_REVOKED, "the assertion is being used")
        fresh: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._wanted[key] = expires, fresh
        async with self._turn:
            # Whoever has the turn spends for all who wait; the next one mostly finds its own done.
            while not fresh.done():
                await self._spend_together()
        if not fresh.result():
            raise RefusedError(Reason.TOKEN_REVOKED, "the assertion was used before")

    async def _spend_together(self) -> None:
        batch = list(self._wanted)[:TOGETHER_MAX]
        try:
            async with asyncio.timeout(SPEND_DEADLINE_S), self._store.transact() as connection:
                spent = [(agent, jti, self._wanted[agent, jti][0]) for agent, jti in batch]
                fresh = await replicas.spend_assertions(connection, spent)
        except (LocalError, TimeoutError) as error:
            # Nobody waits for a second one: they would all be late, one batch after another.
            batch = list(self._wanted)
            fresh = frozenset(batch)
            detail = error.detail if isinstance(error, LocalError) else "the database does not answer in time"
            _log.warning("agent.assertions_not_shared", assertions=len(batch), detail=detail)
        # Whoever spends for the others may be cancelled before: then they are still wanted, and the next one in turn spends.
        for key in batch:
            self._wanted.pop(key)[1].set_result(key in fresh)
