"""Plans between their making and their application: bounded in number, gone when they expire."""

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.tables_plans import PLANS
from controller.store.upsert import put as upsert

KEPT_MAX: Final = 100
"""Plans kept; a new one displaces the oldest."""


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A plan. ``base``: the position that it starts from. ``body``: the answer that was shown, as JSON; ``summary``: what
    a list shows of it. Times: Unix seconds.

    ``seed`` makes the ids of what it creates, so that making it again gives the same events. ``applied_as``: the revision
    that its application made. ``undoes``: the event that it takes back; its document is empty.
    """

    hash: str
    base: int
    seed: str
    prune: bool
    document: str
    body: str
    summary: str
    created_by: str
    created_at: float
    expires: float
    applied_at: float | None = None
    applied_by: str | None = None
    applied_as: int | None = None
    undoes: int | None = None


async def put(connection: AsyncConnection, plan: StoredPlan) -> None:
    """Stores a plan, and forgets the expired ones and the oldest beyond KEPT_MAX. A plan that was applied stays so."""
    known = await get(connection, plan.hash)
    if known is None or known.applied_at is None:
        row = {name: getattr(plan, name) for name in StoredPlan.__dataclass_fields__}
        await upsert(connection, PLANS, row)
    await connection.execute(sa.delete(PLANS).where(PLANS.c.expires <= plan.created_at))
    newest = sa.select(PLANS.c.hash).order_by(PLANS.c.created_at.desc(), PLANS.c.hash).limit(KEPT_MAX)
    kept = [row.hash for row in await connection.execute(newest)]
    await connection.execute(sa.delete(PLANS).where(PLANS.c.hash.not_in(kept)))


async def get(connection: AsyncConnection, digest: str) -> StoredPlan | None:
    """Returns the plan of this hash."""
    row = (await connection.execute(sa.select(PLANS).where(PLANS.c.hash == digest))).mappings().one_or_none()
    return None if row is None else StoredPlan(**row)


async def newest(connection: AsyncConnection, now: float) -> list[StoredPlan]:
    """Returns all plans that have not expired, newest first; without documents and bodies, which are long."""
    short = [column for column in PLANS.c if column.name not in ("document", "body")]
    query = sa.select(*short).where(PLANS.c.expires > now).order_by(PLANS.c.created_at.desc(), PLANS.c.hash)
    return [StoredPlan(**row, document="", body="") for row in (await connection.execute(query)).mappings()]


async def mark_applied(connection: AsyncConnection, digest: str, *, by: str, at: float, revision: int) -> None:
    """Says that the plan was applied; in the transaction that does it (D7)."""
    changed = sa.update(PLANS).where(PLANS.c.hash == digest)
    await connection.execute(changed.values(applied_by=by, applied_at=at, applied_as=revision))
