"""From an agent's records to the connection log: bounded, checked, stored (S-13, T-9, T-17)."""

import asyncio
from collections.abc import Collection
from typing import Final

import structlog

from controller.agents.authentication import Agent
from controller.agents.reports import (
    CLIENT_RECORDS_BURST,
    CLIENT_RECORDS_PER_MINUTE,
    check_size,
    latest_ms,
    own_records,
)
from controller.agents.tally import Tally
from controller.identity.rate_limit import RateLimitedError, RateLimiter
from controller.publish import AgentKind, Hub
from controller.store import Store, records
from protocol.control import Records
from protocol.errors import OstiaryError
from protocol.ids import FlowId
from runtime.clock import Clock

LOST_AFTER_S: Final = 15.0
"""After a connector has said what is open: then its records of the time before have arrived."""

_log = structlog.get_logger(__name__)


class RecordIntake:
    """One for all connections, so that coming again does not get around its limit."""

    def __init__(self, store: Store, hub: Hub, clock: Clock, tally: Tally) -> None:
        self._store = store
        self._hub = hub
        self._clock = clock
        self._tally = tally
        self._limiter = RateLimiter("records", per_minute=CLIENT_RECORDS_PER_MINUTE, burst=CLIENT_RECORDS_BURST)

    def admits(self, agent: Agent, message: Records) -> bool:
        """Whether the message is taken now; one that is not is not acknowledged, so that it comes again.

        Raises:
            RemoteProtocolError: LIMIT_EXCEEDED, more records than fit into a message.
        """
        check_size(message)
        if agent.kind is not AgentKind.CLIENT:
            return True
        count = len(message.records) + len(message.opened)
        try:
            self._limiter.spend(agent.id, self._clock.monotonic(), count)
        except RateLimitedError:
            self._tally.records_put_off += count
            return False
        return True

    async def store(self, agent: Agent, message: Records) -> None:
        """Stores what may be stored. Raises RemoteProtocolError when the agent speaks for another."""
        state, now = self._hub.head.state, self._clock.wall()
        ended = own_records(state, agent, message.records, now)
        opened = own_records(state, agent, message.opened, now)
        since_ms = message.since_ms if agent.kind is AgentKind.CLIENT else None
        beyond = 0
        if ended or opened or since_ms is not None:
            async with self._store.transact() as connection:
                if since_ms is not None:
                    since_ms = max(0, min(since_ms, latest_ms(now)))
                    self._tally.ends_unknown += await records.close_before(connection, agent.id, since_ms)
                beyond = await records.append(connection, agent.id, ended, opened)
        stored = len(ended) + len(opened) - beyond
        self._tally.records_stored += stored
        self._tally.records_skipped += len(message.records) + len(message.opened) - stored

    async def close_lost(self, agent: Agent, alive: Collection[FlowId]) -> None:
        """Closes what an earlier life of the connector had open and its new one knows nothing of.

        Ends that the connector still has to report come first: they are on their way right after the reconnect.
        """
        try:
            async with self._store.read() as connection:
                newest = await records.newest(connection)
            await asyncio.sleep(LOST_AFTER_S)
            async with self._store.transact() as connection:
                closed, reopened = await records.close_unknown(
                    connection,
                    agent.id,
                    alive=alive,
                    newest=newest,
                    now_ms=round(self._clock.wall() * 1000),
                )
        except OstiaryError as error:
            # The next connect asks again.
            _log.warning("agent.open_flows_not_compared", agent=agent.id, reason=error.reason.code)
            return
        self._tally.ends_unknown += closed
        if closed or reopened:
            _log.warning("agent.flows_lost", agent=agent.id, closed=closed, reopened=reopened)
