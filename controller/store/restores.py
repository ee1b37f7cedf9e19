"""From which backups this database was restored, and whether the epoch was raised since (D8, F-26)."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.tables_evidence import RESTORES
from protocol.errors import LocalError
from protocol.reasons import Reason


@dataclass(frozen=True, slots=True)
class Restore:
    """One restore. ``position``, ``log_head`` and ``epoch`` are the backup's; ``new_epoch`` None: not raised yet. Unix s."""

    restored_at: float
    backup_made_at: float
    position: int
    log_head: str
    epoch: int
    new_epoch: int | None = None


async def pending(connection: AsyncConnection) -> Restore | None:
    """Returns the restore that waits for its new epoch."""
    query = sa.select(RESTORES).where(RESTORES.c.new_epoch.is_(None)).order_by(RESTORES.c.restored_at.desc()).limit(1)
    row = (await connection.execute(query)).one_or_none()
    return Restore(*row) if row is not None else None


async def require_none_pending(connection: AsyncConnection) -> None:
    """Raises LocalError(RESTORE_PENDING) while a restored database waits for its new epoch."""
    waiting = await pending(connection)
    if waiting is not None:
        raise LocalError(Reason.RESTORE_PENDING, f"it holds the log up to event {waiting.position}")


async def confirm(connection: AsyncConnection, epoch: int) -> None:
    """The epoch was raised to ``epoch``: what waited waits no more."""
    await connection.execute(sa.update(RESTORES).where(RESTORES.c.new_epoch.is_(None)).values(new_epoch=epoch))
