"""Signed checkpoints of the log beside it (T-70). What is signed, and by which key, is ``publish.signer``'s and the ring's."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.tables import EVENTS
from controller.store.tables_evidence import CHECKPOINTS
from protocol.errors import LocalError
from protocol.reasons import Reason


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A row of ``checkpoints``: what the token says, in columns, and the token. ``signed_at`` in Unix seconds."""

    position: int
    epoch: int
    hash: str
    kid: str
    signed_at: int
    token: str


async def lock(connection: AsyncConnection) -> None:
    """Makes this transaction the only one that adds: each checkpoint names the one before it. SQLite has one writer."""
    if connection.dialect.name == "postgresql":
        await connection.exec_driver_sql("LOCK TABLE checkpoints IN EXCLUSIVE MODE")


async def add(connection: AsyncConnection, checkpoint: StoredCheckpoint) -> None:
    """Adds a checkpoint behind the newest one. The caller holds ``lock``."""
    row = {name: getattr(checkpoint, name) for name in StoredCheckpoint.__slots__}
    await connection.execute(sa.insert(CHECKPOINTS).values(row))


async def newest(connection: AsyncConnection) -> StoredCheckpoint | None:
    """Returns the newest checkpoint."""
    query = sa.select(CHECKPOINTS).order_by(CHECKPOINTS.c.position.desc()).limit(1)
    row = (await connection.execute(query)).one_or_none()
    return StoredCheckpoint(*row) if row is not None else None


async def between(connection: AsyncConnection, after: int, until: int) -> list[StoredCheckpoint]:
    """Returns those behind position ``after`` up to ``until``, in order."""
    position = CHECKPOINTS.c.position
    query = sa.select(CHECKPOINTS).where(position > after, position <= until).order_by(position)
    return [StoredCheckpoint(*row) for row in await connection.execute(query)]


async def require_agreement(connection: AsyncConnection) -> None:
    """Compares all checkpoints with the log.

    Raises:
        LocalError: LOG_CONFLICT naming the first checkpoint whose event is gone or has another hash: the log was
            rewritten, hash chain and all (T-70).
    """
    position = CHECKPOINTS.c.position
    joined = CHECKPOINTS.outerjoin(EVENTS, EVENTS.c.position == position)
    disagrees = sa.or_(EVENTS.c.hash.is_(None), EVENTS.c.hash != CHECKPOINTS.c.hash)
    query = sa.select(position, EVENTS.c.hash).select_from(joined).where(disagrees).order_by(position).limit(1)
    row = (await connection.execute(query)).one_or_none()
    if row is not None:
        what = "is gone" if row[1] is None else "has another hash now"
        raise LocalError(Reason.LOG_CONFLICT, f"a checkpoint was signed for event {row[0]}, which {what}")
