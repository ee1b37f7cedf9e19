"""Who a person is at an identity provider: issuer and subject, nothing else (T-2, ASVS 10.3.3).

The subject is personal data: it is here, beside the log, and goes when the person's data is erased.
"""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.tables import IDENTITIES
from protocol.errors import RefusedError
from protocol.ids import UserId
from protocol.reasons import Reason


@dataclass(frozen=True, slots=True)
class Identity:
    """``subject`` of ``issuer`` is ``user``. Unix seconds; ``seen_at`` is the last sign-in with it."""

    issuer: str
    subject: str
    user: UserId
    created_at: float
    seen_at: float | None


async def find(connection: AsyncConnection, issuer: str, subject: str) -> UserId | None:
    """Returns whose identity it is; both are compared exactly."""
    query = sa.select(IDENTITIES.c.user).where((IDENTITIES.c.issuer == issuer) & (IDENTITIES.c.subject == subject))
    user: str | None = (await connection.execute(query)).scalar_one_or_none()
    return UserId(user) if user is not None else None


async def link(connection: AsyncConnection, issuer: str, subject: str, user: UserId, now: float) -> None:
    """Makes the identity the user's. Raises RefusedError(ALREADY_EXISTS) when it is somebody's."""
    if await find(connection, issuer, subject) is not None:
        raise RefusedError(Reason.ALREADY_EXISTS, "this identity belongs to an account")
    row = {"issuer": issuer, "subject": subject, "user": user, "created_at": now}
    await connection.execute(sa.insert(IDENTITIES).values(row))


async def seen(connection: AsyncConnection, issuer: str, subject: str, now: float) -> None:
    """Notes a sign-in."""
    mine = (IDENTITIES.c.issuer == issuer) & (IDENTITIES.c.subject == subject)
    await connection.execute(sa.update(IDENTITIES).where(mine).values(seen_at=now))


async def list_of(connection: AsyncConnection, user: UserId) -> list[Identity]:
    """Returns the user's identities by issuer."""
    query = sa.select(IDENTITIES).where(IDENTITIES.c.user == user).order_by(IDENTITIES.c.issuer, IDENTITIES.c.subject)
    return [Identity(**row) for row in (await connection.execute(query)).mappings()]


async def unlink(connection: AsyncConnection, user: UserId, issuer: str) -> bool:
    """Takes the user's identities at ``issuer`` away; tells whether there were any."""
    mine = (IDENTITIES.c.user == user) & (IDENTITIES.c.issuer == issuer)
    gone = await connection.execute(sa.delete(IDENTITIES).where(mine).returning(IDENTITIES.c.user))
    return gone.first() is not None


async def erase(connection: AsyncConnection, user: UserId) -> None:
    """Forgets all identities of the user."""
    await connection.execute(sa.delete(IDENTITIES).where(IDENTITIES.c.user == user))
