"""Sign-ins of people to API, console and sign-in page. Only the hashes of their secrets are stored."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.domain.authentication import PASSWORD, Authentication
from controller.store.tables import WEB_SESSIONS
from protocol.ids import UserId


@dataclass(frozen=True, slots=True)
class WebSession:
    """One bearer. ``scopes`` says which kind it is (``identity.web_sessions``). Unix seconds."""

    hash: str
    user: UserId
    label: str
    scopes: tuple[str, ...]
    created_at: float
    expires: float
    revoked_at: float | None
    how: Authentication


async def create(
    connection: AsyncConnection,
    secret_hash: str,
    *,
    user: UserId,
    expires: float,
    label: str,
    now: float,
    scopes: tuple[str, ...] = (),
    how: Authentication | None = None,
) -> None:
    """Stores a new session's hash; without ``how`` the person gave a password just now."""
    how = how or Authentication(int(now), None, PASSWORD)
    row = {
        "hash": secret_hash,
        "user": user,
        "label": label,
        "scopes": " ".join(scopes),
        "created_at": now,
        "expires": expires,
        **_values(how),
    }
    await connection.execute(sa.insert(WEB_SESSIONS).values(row))


async def find(connection: AsyncConnection, secret_hash: str, now: float) -> WebSession | None:
    """Returns the session when it is neither revoked nor expired."""
    alive = (WEB_SESSIONS.c.hash == secret_hash) & WEB_SESSIONS.c.revoked_at.is_(None) & (WEB_SESSIONS.c.expires > now)
    row = (await connection.execute(sa.select(WEB_SESSIONS).where(alive))).mappings().one_or_none()
    return _session(row) if row is not None else None


async def list_of(connection: AsyncConnection, user: UserId | None, now: float) -> list[WebSession]:
    """Returns the user's living sessions, or everybody's, oldest first."""
    alive = WEB_SESSIONS.c.revoked_at.is_(None) & (WEB_SESSIONS.c.expires > now)
    if user is not None:
        alive &= WEB_SESSIONS.c.user == user
    query = sa.select(WEB_SESSIONS).where(alive).order_by(WEB_SESSIONS.c.created_at, WEB_SESSIONS.c.hash)
    return [_session(row) for row in (await connection.execute(query)).mappings()]


async def revoke(connection: AsyncConnection, secret_hash: str, now: float, *, user: UserId | None = None) -> bool:
    """Ends a session (with ``user``: only one of theirs); tells whether there was one to end."""
    condition = (WEB_SESSIONS.c.hash == secret_hash) & WEB_SESSIONS.c.revoked_at.is_(None)
    if user is not None:
        condition &= WEB_SESSIONS.c.user == user
    statement = sa.update(WEB_SESSIONS).where(condition).values(revoked_at=now).returning(WEB_SESSIONS.c.hash)
    return (await connection.execute(statement)).scalar_one_or_none() is not None


async def revoke_all(
    connection: AsyncConnection,
    user: UserId,
    now: float,
    *,
    but: str | None = None,
    scopes: tuple[str, ...] | None = None,
) -> int:
    """Ends all sessions of a user: disabled, removed, another password or role. Returns how many there were.

    Args:
        connection: the transaction.
        user: whose.
        now: Unix seconds.
        but: the hash of one that goes on.
        scopes: only those of this kind.
    """
    alive = (WEB_SESSIONS.c.user == user) & WEB_SESSIONS.c.revoked_at.is_(None) & (WEB_SESSIONS.c.expires > now)
    if but is not None:
        alive &= WEB_SESSIONS.c.hash != but
    if scopes is not None:
        alive &= WEB_SESSIONS.c.scopes == " ".join(scopes)
    statement = sa.update(WEB_SESSIONS).where(alive).values(revoked_at=now).returning(WEB_SESSIONS.c.hash)
    return len((await connection.execute(statement)).all())


async def note(connection: AsyncConnection, secret_hash: str, how: Authentication) -> None:
    """Notes that the person has proved who he is anew, or more, in a session that goes on."""
    await connection.execute(sa.update(WEB_SESSIONS).where(WEB_SESSIONS.c.hash == secret_hash).values(_values(how)))


async def purge(connection: AsyncConnection, before: float) -> None:
    """Deletes sessions that expired before a moment."""
    await connection.execute(sa.delete(WEB_SESSIONS).where(WEB_SESSIONS.c.expires < before))


def _session(row: sa.RowMapping) -> WebSession:
    return WebSession(
        hash=row["hash"],
        user=row["user"],
        label=row["label"],
        scopes=tuple(row["scopes"].split()),
        created_at=row["created_at"],
        expires=row["expires"],
        revoked_at=row["revoked_at"],
        how=_how(row),
    )


def _values(how: Authentication) -> dict[str, object]:
    authenticated_s = how.authenticated_s if how.dated else None
    return {"authenticated_s": authenticated_s, "mfa_s": how.mfa_s, "method": how.method}


def _how(row: sa.RowMapping) -> Authentication:
    # Without a moment it counts from when the session was made. Without a method, too, it is of before these columns: a
    # password, given just then.
    authenticated_s = row["created_at"] if row["authenticated_s"] is None else row["authenticated_s"]
    mfa_s = None if row["mfa_s"] is None else int(row["mfa_s"])
    dated = row["authenticated_s"] is not None or row["method"] is None
    return Authentication(int(authenticated_s), mfa_s, row["method"] or PASSWORD, dated)
