"""Signs checkpoints of the log as it grows, and says so to the connectors, who witness them (T-70).

A checkpoint is signed at the latest EVERY_S after an event, or once EVERY_EVENTS are there, and when the controller stops.
Each names the one before it. Several replicas take turns: whoever comes second finds the first one's and takes that.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from controller.domain.log import Head
from controller.store import Store, checkpoints
from controller.store.chain import GENESIS
from controller.store.checkpoints import StoredCheckpoint
from protocol.errors import OstiaryError
from protocol.tokens.claims import Checkpoint
from protocol.tokens.verify import checkpoint_key_id
from runtime.clock import Clock

EVERY_EVENTS: Final = 256
EVERY_S: Final = 300.0
RETRY_S: Final = 5.0
LAST_S: Final = 5.0
"""How long the last one may take when the controller stops."""

_log = structlog.get_logger(__name__)


class CheckpointSigner(Protocol):
    """Signs where the log stands (``controller.publish.signer``)."""

    def checkpoint(self, head: Head, previous: tuple[int, str], now: float) -> Checkpoint:
        """Returns the claims with their token. Raises RefusedError(UNAVAILABLE)."""
        ...


class Checkpointer:
    """One per process; ``on_new`` is called with the token of each newer checkpoint."""

    def __init__(self, store: Store, signer: CheckpointSigner, clock: Clock, on_new: Callable[[str], None]) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock
        self._on_new = on_new
        self.position = 0
        """Of the newest checkpoint."""

    async def load(self) -> None:
        """Takes the newest stored checkpoint. Raises LocalError: UNAVAILABLE, LOG_CONFLICT when the log was rewritten."""
        async with self._store.read() as connection:
            await checkpoints.require_agreement(connection)
            self._take(await checkpoints.newest(connection))

    async def run(self) -> None:
        """Signs as the log grows; runs until cancelled."""
        feed = self._store.feed
        while True:
            await feed.wait_beyond(self.position)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await feed.wait_beyond(self.position + EVERY_EVENTS - 1)
            try:
                await self.sign()
            except OstiaryError as error:
                _log.warning("checkpoint.not_signed", reason=error.reason.code, detail=error.detail)
                await asyncio.sleep(RETRY_S)

    async def sign(self) -> None:
        """Signs one unless the log is no longer than the newest one says. Raises LocalError, RefusedError(UNAVAILABLE)."""
        async with self._store.transact() as connection:
            await checkpoints.lock(connection)
            newest = await checkpoints.newest(connection)
            head = self._store.feed.head
            if head.position > (newest.position if newest is not None else 0):
                previous = (newest.position, newest.hash) if newest is not None else (0, GENESIS)
                newest = _stored(self._signer.checkpoint(head, previous, self._clock.wall()))
                await checkpoints.add(connection, newest)
        self._take(newest)

    async def sign_last(self) -> None:
        """Signs once more at the end; a failure is logged."""
        try:
            async with asyncio.timeout(LAST_S):
                await self.sign()
        except (OstiaryError, TimeoutError) as error:
            _log.warning("checkpoint.not_signed", detail=str(error))

    def _take(self, newest: StoredCheckpoint | None) -> None:
        if newest is not None and newest.position > self.position:
            self.position = newest.position
            self._on_new(newest.token)


def _stored(signed: Checkpoint) -> StoredCheckpoint:
    kid = checkpoint_key_id(signed.token)
    return StoredCheckpoint(signed.position, signed.epoch, signed.hash, kid, signed.issued_at, signed.token)
