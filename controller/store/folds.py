"""Saved folds: a start reads the newest one and folds only what followed it.

A saved fold is a shortcut, never a source. It is sealed with the controller's own secret under a name that holds its
position, the hash of the log's event there and a digest of the code that made it: one that somebody else wrote, that
belongs to another log or that other code would have made differently does not open, and is passed over. What lies below
it in the log is verified after the start (``verify_below``).

Only folds that have settled are saved: what followed in the last SETTLED_S is always folded change by change, because the
cut-offs of that time must be made again (``controller.publish.hub``).
"""

import asyncio
import hashlib
import zlib
from functools import cache
from pathlib import Path
from typing import Final, Protocol

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

import controller.domain
import protocol
from controller.domain.fold_codec import fold_from_lines, fold_to_lines
from controller.domain.log import Head
from controller.domain.state import PolicyState
from controller.store.feed import Feed
from controller.store.tables import EVENTS
from controller.store.tables_replicas import FOLDS
from controller.store.upsert import put
from protocol.errors import LocalError
from protocol.reasons import Reason

KEPT: Final = 2
SETTLED_S: Final = 900.0
"""Longer than any cut-off matters (``publish.cutoffs.KEEP_S``)."""
WORTH_IT: Final = 5_000
"""Events since the last saved fold that make another one worth its writing; they fold in less than half a second."""
SIZE_MAX: Final = 512 * 1024 * 1024
"""PostgreSQL takes a gigabyte in one value."""

_log = structlog.get_logger(__name__)


class Sealer(Protocol):
    """Encrypts and authenticates (``controller.identity.sealing.Seal``)."""

    def seal(self, name: str, plaintext: bytes) -> bytes:
        """Returns the plaintext sealed for the place ``name``."""
        ...

    def open(self, name: str, sealed: bytes) -> bytes:
        """Returns the plaintext. Raises LocalError(STATE_CORRUPT)."""
        ...


@cache
def code_digest() -> str:
    """A digest of all code that says what a fold is; any change to it makes saved folds worthless."""
    digest = hashlib.sha256()
    for folder in (Path(controller.domain.__file__).parent, Path(protocol.__file__).parent):
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{path.relative_to(folder)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def settled(feed: Feed, now: float) -> Head | None:
    """Returns the newest head of the feed that is at least SETTLED_S old."""
    latest_ms = (now - SETTLED_S) * 1000
    for change in reversed(feed.recent):
        if change.after.state.at_ms <= latest_ms:
            return change.after
    return None


async def save(connection: AsyncConnection, seal: Sealer, head: Head, now: float) -> int:
    """Saves a fold and forgets all but the newest KEPT; returns its size in bytes."""
    sealed = await asyncio.to_thread(_pack, seal, head)
    row = {"position": head.position, "log_head": head.log_head, "code": code_digest()}
    await put(connection, FOLDS, {**row, "made_at": now, "sealed": sealed})
    newest = sa.select(FOLDS.c.position).order_by(FOLDS.c.position.desc()).limit(KEPT)
    keep = (await connection.execute(newest)).scalars().all()
    await connection.execute(sa.delete(FOLDS).where(FOLDS.c.position.not_in(keep)))
    return len(sealed)


async def newest_position(connection: AsyncConnection) -> int:
    """Returns the position of the newest fold that this code can use; 0 without one."""
    query = sa.select(sa.func.max(FOLDS.c.position)).where(FOLDS.c.code == code_digest())
    return (await connection.execute(query)).scalar_one() or 0


async def load(connection: AsyncConnection, seal: Sealer) -> Head | None:
    """Returns the newest fold that is ours, of this code and of this log; None when there is none."""
    query = (
        sa.select(FOLDS.c.position, FOLDS.c.log_head, FOLDS.c.sealed)
        .where(FOLDS.c.code == code_digest())
        .order_by(FOLDS.c.position.desc())
        .limit(KEPT)
    )
    for position, log_head, sealed in (await connection.execute(query)).all():
        in_log = sa.select(EVENTS.c.hash).where(EVENTS.c.position == position)
        if (await connection.execute(in_log)).scalar_one_or_none() != log_head:
            _log.warning("fold.ignored", position=position, detail="it belongs to another log")
            continue
        try:
            return Head(_unpack(seal, position, log_head, sealed), log_head)
        except LocalError as error:
            _log.warning("fold.ignored", position=position, reason=error.reason.code, detail=error.detail)
    return None


def _pack(seal: Sealer, head: Head) -> bytes:
    packer = zlib.compressobj(level=1)
    parts = [packer.compress(line.encode() + b"\n") for line in fold_to_lines(head.state)]
    parts.append(packer.flush())
    packed = b"".join(parts)
    if len(packed) > SIZE_MAX:
        raise LocalError(Reason.LIMIT_EXCEEDED, f"the fold takes {len(packed)} bytes")
    return seal.seal(_name(head.position, head.log_head), packed)


def _unpack(seal: Sealer, position: int, log_head: str, sealed: bytes) -> PolicyState:
    packed = seal.open(_name(position, log_head), sealed)
    try:
        # Not splitlines: names may hold what else ends a line in Unicode.
        lines = zlib.decompress(packed).decode().rstrip("\n").split("\n")
    except (zlib.error, UnicodeDecodeError) as exc:
        raise LocalError(Reason.STATE_CORRUPT, f"a saved fold: {exc}") from exc
    state = fold_from_lines(lines)
    if state.position != position:
        raise LocalError(Reason.STATE_CORRUPT, f"a saved fold: it is of position {state.position}")
    return state


def _name(position: int, log_head: str) -> str:
    return f"fold:{position}:{log_head}:{code_digest()}"
