"""Writes down what agents acknowledge and when they were heard, and takes in what other replicas wrote.

Acknowledgements are collected for a moment and written together. While the database is away they wait, one for each agent and
revision, up to a bound; agents' connections do not depend on it (C24).
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from controller.agents.presence import Presence
from controller.publish import Hub
from controller.store import Store, acknowledgements, evaluations
from controller.store.acknowledgements import Ack
from controller.store.folds import code_digest
from protocol.errors import LocalError
from protocol.ids import Epoch, Revision
from protocol.reasons import Reason
from runtime.backoff import Backoff
from runtime.clock import Clock

ROUND_S: Final = 0.25
CONTACTS_EVERY_S: Final = 10.0
"""How old what is stored about an attached agent may be; when one leaves, it is written in the next round."""
WAITING_MAX: Final = 50_000
"""Acknowledgements that wait for the database; beyond it the oldest is dropped: the agent's next one says as much."""
OVERLAP_MS: Final = 5_000
"""Another replica's transaction may commit a little after the moment that it names."""

_log = structlog.get_logger(__name__)


class Journal:
    """One per process; ``run`` must be running for anything to be written."""

    def __init__(self, store: Store, hub: Hub, presence: Presence, clock: Clock) -> None:
        self._store = store
        self._hub = hub
        self._presence = presence
        self._clock = clock
        self._waiting: dict[tuple[str, Epoch, Revision], Ack] = {}
        self._left: dict[str, int] = {}
        self._contacts_at = clock.monotonic()
        self._read_up_to = 0

    def acknowledged(self, agent: str, epoch: Epoch, revision: Revision, digest: str) -> None:
        """The agent said that it enforces this, and the digest is that of what it was sent."""
        ack = Ack(agent, epoch, revision, digest, self._now_ms())
        self._waiting.setdefault((agent, epoch, revision), ack)
        if len(self._waiting) > WAITING_MAX:
            del self._waiting[next(iter(self._waiting))]

    def left(self, agent: str) -> None:
        """The agent's connection ended."""
        self._left[agent] = self._now_ms()

    async def restore(self) -> None:
        """Takes in what was said before this process started. Raises LocalError(UNAVAILABLE)."""
        async with self._store.transact() as connection:
            known = await acknowledgements.latest(connection)
            since_ms = await evaluations.same_since(connection, code_digest(), self._now_ms())
        self._read_up_to = max((ack.at_ms for ack in known.values()), default=0)
        said = [(ack.agent, ack.epoch, ack.revision, ack.at_ms / 1000) for ack in known.values()]
        self._hub.restore(said, same_code_since=since_ms / 1000)

    async def run(self) -> None:
        """Writes and reads until cancelled."""
        backoff = Backoff()
        while True:
            try:
                await self.round()
                backoff.reset()
            except LocalError as error:
                if error.reason is not Reason.UNAVAILABLE:
                    raise
                _log.warning("acknowledgements.not_written", waiting=len(self._waiting), detail=error.detail)
                await asyncio.sleep(backoff.next())
            await asyncio.sleep(ROUND_S)

    async def round(self) -> None:
        """Does both once. Raises LocalError(UNAVAILABLE); nothing is lost by it."""
        await self._write()
        if self._store.shared:
            await self._read()

    async def _write(self) -> None:
        waiting, contacts = list(self._waiting.values()), self._contacts()
        if not waiting and not contacts:
            return
        async with self._store.transact() as connection:
            if self._store.shared and waiting:
                # A replica of another version may have written since.
                await evaluations.same_since(connection, code_digest(), self._now_ms())
            await acknowledgements.note(connection, waiting)
            await acknowledgements.heard(connection, contacts)
        for ack in waiting:
            self._waiting.pop((ack.agent, ack.epoch, ack.revision), None)
        for agent, at_ms in contacts.items():
            if self._left.get(agent) == at_ms:
                del self._left[agent]

    def _contacts(self) -> Mapping[str, int]:
        now = self._clock.monotonic()
        if now - self._contacts_at < CONTACTS_EVERY_S:
            return dict(self._left)
        self._contacts_at = now
        attached = {agent.agent: round(agent.last_seen * 1000) for agent in self._presence.agents()}
        return {**attached, **self._left}

    async def _read(self) -> None:
        """What other replicas' agents enforce: so that each replica's table is true for all."""
        async with self._store.read() as connection:
            news = await acknowledgements.since(connection, self._read_up_to - OVERLAP_MS)
        for ack in news:
            self._read_up_to = max(self._read_up_to, ack.at_ms)
            if not self._hub.is_attached(ack.agent):
                self._hub.acknowledge(ack.agent, ack.epoch, ack.revision)

    def _now_ms(self) -> int:
        return round(self._clock.wall() * 1000)
