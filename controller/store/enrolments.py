"""One-time enrolment secrets. Only their hashes are stored; each is spent once, in the transaction that uses it (D7)."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.tables import ENROLMENTS
from protocol.errors import RefusedError
from protocol.reasons import Reason


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a secret is for: ``kind`` is connector, relay or service; ``target`` the id that enrols. Unix seconds."""

    hash: str
    kind: str
    target: str
    created_at: float
    expires: float
    spent_at: float | None


async def create(
    connection: AsyncConnection, secret_hash: str, *, kind: str, target: str, expires: float, now: float
) -> None:
    """Stores a new secret's hash."""
    row = {"hash": secret_hash, "kind": kind, "target": target, "created_at": now, "expires": expires}
    await connection.execute(sa.insert(ENROLMENTS).values(row))


async def take(connection: AsyncConnection, secret_hash: str, now: float, *, kind: str | None = None) -> Enrolment:
    """Spends a secret, once, whatever runs in parallel. With ``kind``, only a secret of that kind.

    Raises:
        RefusedError: ENROLMENT_INVALID (unknown, or of another kind), ENROLMENT_USED or ENROLMENT_EXPIRED.
    """
    usable = (ENROLMENTS.c.hash == secret_hash) & ENROLMENTS.c.spent_at.is_(None) & (ENROLMENTS.c.expires > now)
    if kind is not None:
        usable &= ENROLMENTS.c.kind == kind
    statement = sa.update(ENROLMENTS).where(usable).values(spent_at=now).returning(*ENROLMENTS.c)
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is not None:
        return Enrolment(**row)
    found = await _find(connection, secret_hash)
    if found is None or (kind is not None and found.kind != kind):
        raise RefusedError(Reason.ENROLMENT_INVALID)
    raise RefusedError(Reason.ENROLMENT_USED if found.spent_at is not None else Reason.ENROLMENT_EXPIRED)


async def of_target(connection: AsyncConnection, target: str) -> list[Enrolment]:
    """Returns all secrets of a target that are still known, spent and expired ones too."""
    query = sa.select(ENROLMENTS).where(ENROLMENTS.c.target == target)
    return [Enrolment(**row) for row in (await connection.execute(query)).mappings()]


async def revoke_all(connection: AsyncConnection, target: str) -> None:
    """Forgets the unspent secrets of a target: it was removed, or a new secret replaces them."""
    unspent = (ENROLMENTS.c.target == target) & ENROLMENTS.c.spent_at.is_(None)
    await connection.execute(sa.delete(ENROLMENTS).where(unspent))


async def purge(connection: AsyncConnection, before: float) -> None:
    """Deletes secrets that expired before a moment."""
    await connection.execute(sa.delete(ENROLMENTS).where(ENROLMENTS.c.expires < before))


async def _find(connection: AsyncConnection, secret_hash: str) -> Enrolment | None:
    query = sa.select(ENROLMENTS).where(ENROLMENTS.c.hash == secret_hash)
    row = (await connection.execute(query)).mappings().one_or_none()
    return Enrolment(**row) if row is not None else None
