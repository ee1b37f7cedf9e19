"""Second factors: the sealed secret of a person's authenticator, and the hashes of recovery codes.

What is good once is spent by one conditional statement each, whatever runs in parallel (D7): a time step that was used
counts as used for ever, and a recovery code is deleted when it is taken.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.tables import RECOVERY_CODES, SECOND_FACTORS
from controller.store.upsert import put
from protocol.ids import UserId


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """An authenticator. ``confirmed_at`` (Unix seconds) is None until a first code was right."""

    user: UserId
    sealed: bytes
    created_at: float
    confirmed_at: float | None
    last_step: int | None


async def begin(connection: AsyncConnection, user: UserId, sealed: bytes, now: float) -> None:
    """Stores a secret that is not confirmed yet, in place of any other."""
    row = {"user": user, "sealed": sealed, "created_at": now, "confirmed_at": None, "last_step": None}
    await put(connection, SECOND_FACTORS, row)


async def find(connection: AsyncConnection, user: UserId) -> SecondFactor | None:
    """Returns the person's authenticator, confirmed or not."""
    row = (await connection.execute(sa.select(SECOND_FACTORS).where(SECOND_FACTORS.c.user == user))).mappings()
    found = row.one_or_none()
    return SecondFactor(**found) if found is not None else None


async def confirm(connection: AsyncConnection, user: UserId, now: float) -> None:
    """From here on it is asked for."""
    condition = (SECOND_FACTORS.c.user == user) & SECOND_FACTORS.c.confirmed_at.is_(None)
    await connection.execute(sa.update(SECOND_FACTORS).where(condition).values(confirmed_at=now))


async def spend_step(connection: AsyncConnection, user: UserId, step: int) -> bool:
    """Marks a time step as used; tells whether it is later than every one used before (RFC 6238 section 5.2)."""
    table = SECOND_FACTORS
    unused = table.c.last_step.is_(None) | (table.c.last_step < step)
    statement = sa.update(table).where((table.c.user == user) & unused).values(last_step=step).returning(table.c.user)
    return (await connection.execute(statement)).scalar_one_or_none() is not None


async def remove(connection: AsyncConnection, user: UserId) -> None:
    """Forgets the authenticator and the recovery codes."""
    await connection.execute(sa.delete(SECOND_FACTORS).where(SECOND_FACTORS.c.user == user))
    await connection.execute(sa.delete(RECOVERY_CODES).where(RECOVERY_CODES.c.user == user))


async def set_recovery_codes(connection: AsyncConnection, user: UserId, hashes: Iterable[str], now: float) -> None:
    """Stores the hashes of new recovery codes; the earlier ones are void."""
    await connection.execute(sa.delete(RECOVERY_CODES).where(RECOVERY_CODES.c.user == user))
    rows = [{"user": user, "hash": one, "created_at": now} for one in hashes]
    await connection.execute(sa.insert(RECOVERY_CODES), rows)


async def spend_recovery_code(connection: AsyncConnection, user: UserId, code_hash: str) -> bool:
    """Takes a recovery code, once; tells whether there was such a one."""
    mine = (RECOVERY_CODES.c.user == user) & (RECOVERY_CODES.c.hash == code_hash)
    taken = await connection.execute(sa.delete(RECOVERY_CODES).where(mine).returning(RECOVERY_CODES.c.user))
    return taken.scalar_one_or_none() is not None


async def count_recovery_codes(connection: AsyncConnection, user: UserId) -> int:
    """Returns how many recovery codes are left."""
    query = sa.select(sa.func.count()).select_from(RECOVERY_CODES).where(RECOVERY_CODES.c.user == user)
    return int((await connection.execute(query)).scalar_one())
