"""Sessions of the web console and API tokens. Only the hashes of their secrets are stored."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.tables import WEB_SESSIONS
from protocol.ids import UserId


@dataclass(frozen=True, slots=True)
class WebSession:
    """One bearer. ``scopes`` is empty for a console session (everything that the role permits). Unix seconds."""

    hash: str
    user: UserId
    label: str
    scopes: tuple[str, ...]
    created_at: float
    expires: float
    revoked_at: float | None


async def create(
    connection: AsyncConnection,
    secret_hash: str,
    *,
    user: UserId,
    expires: float,
    label: str,
    now: float,
    scopes: tuple[str, ...] = (),
) -> None:
    """Stores a new session's hash."""
    row = {
        "hash": secret_hash,
        "user": user,
        "label": label,
        "scopes": " ".join(scopes),
        "created_at": now,
        "expires": expires,
    }
    await connection.execute(sa.insert(WEB_SESSIONS).values(row))


async def find(connection: AsyncConnection, secret_hash: str, now: float) -> WebSession | None:
    """Returns the session when it is neither revoked nor expired."""
    alive = (WEB_SESSIONS.c.hash == secret_hash) & WEB_SESSIONS.c.revoked_at.is_(None) & (WEB_SESSIONS.c.expires > now)
    row = (await connection.execute(sa.select(WEB_SESSIONS).where(alive))).mappings().one_or_none()
    return _session(row) if row is not None else None


async def list_of(connection: AsyncConnection, user: UserId, now: float) -> list[WebSession]:
    """Returns the user's living sessions, oldest first."""
    alive = (WEB_SESSIONS.c.user == user) & WEB_SESSIONS.c.revoked_at.is_(None) & (WEB_SESSIONS.c.expires > now)
    query = sa.select(WEB_SESSIONS).where(alive).order_by(WEB_SESSIONS.c.created_at, WEB_SESSIONS.c.hash)
    return [_session(row) for row in (await connection.execute(query)).mappings()]


async def revoke(connection: AsyncConnection, secret_hash: str, now: float, *, user: UserId | None = None) -> bool:
    """Ends a session (with ``user``: only one of theirs); tells whether there was one to end."""
    condition = (WEB_SESSIONS.c.hash == secret_hash) & WEB_SESSIONS.c.revoked_at.is_(None)
    if user is not None:
        condition &= WEB_SESSIONS.c.user == user
    statement = sa.update(WEB_SESSIONS).where(condition).values(revoked_at=now).returning(WEB_SESSIONS.c.hash)
    return (await connection.execute(statement)).scalar_one_or_none() is not None


async def revoke_all(connection: AsyncConnection, user: UserId, now: float) -> None:
    """Ends all sessions of a user: disabled, removed, or a new password."""
    alive = (WEB_SESSIONS.c.user == user) & WEB_SESSIONS.c.revoked_at.is_(None)
    await connection.execute(sa.update(WEB_SESSIONS).where(alive).values(revoked_at=now))


async def purge(connection: AsyncConnection, before: float) -> None:
    """Deletes sessions that expired before a moment."""
    await connection.execute(sa.delete(WEB_SESSIONS).where(WEB_SESSIONS.c.expires < before))


def _session(row: sa.RowMapping) -> WebSession:
    return WebSession(**{**row, "scopes": tuple(row["scopes"].split())})
