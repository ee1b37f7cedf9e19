"""What a running controller does about its folds: saves them now and then, and verifies what a saved one let it skip."""

import asyncio
from typing import Final

import structlog

from controller.domain.log import Head
from controller.store import events, folds
from controller.store.chain import ChainFault, ChainVerifier
from controller.store.folds import Sealer
from controller.store.store import Store
from protocol.errors import LocalError
from protocol.reasons import Reason

VERIFY_BATCH: Final = 500
VERIFY_PAUSE_S: Final = 0.05
"""Between two batches: a million events take some two minutes and a fifth of a core."""
RETRY_S: Final = 1.0

_log = structlog.get_logger(__name__)


async def save_fold(store: Store, seal: Sealer, now: float) -> bool:
    """Saves the newest settled fold when WORTH_IT events lie between it and the last saved one; tells whether it did.

    Raises:
        LocalError: UNAVAILABLE.
    """
    head = folds.settled(store.feed, now)
    if head is None:
        return False
    async with store.read() as connection:
        before = await folds.newest_position(connection)
    if head.position - before < folds.WORTH_IT:
        return False
    async with store.transact() as connection:
        size = await folds.save(connection, seal, head, now)
    _log.info("fold.saved", position=head.position, bytes=size)
    return True


async def verify_below(store: Store, head: Head) -> None:
    """Verifies the hash chain up to ``head``, with which this process began because of a saved fold (T-70).

    Raises:
        LocalError: STATE_CORRUPT naming the event that is missing or was changed.
    """
    verifier = ChainVerifier()
    position = 0
    while position < head.position:
        try:
            async with store.read() as connection:
                limit = min(VERIFY_BATCH, head.position - position)
                rows = await events.rows_after(connection, position, limit=limit)
        except LocalError as exc:
            if exc.reason is not Reason.UNAVAILABLE:
                raise
            await asyncio.sleep(RETRY_S)
            continue
        if not rows:
            raise _damaged(ChainFault(position + 1, "missing"))
        for row in rows:
            fault = verifier.check(row)
            if fault is not None:
                raise _damaged(fault)
        position = rows[-1].position
        await asyncio.sleep(VERIFY_PAUSE_S)
    if head.position and verifier.report().log_head != head.log_head:
        raise _damaged(ChainFault(head.position, "is not the one that the saved fold rests on"))
    _log.info("log.verified", position=head.position)


def _damaged(fault: ChainFault) -> LocalError:
    return LocalError(Reason.STATE_CORRUPT, f"event {fault.position}: {fault.detail}")
