"""API tokens beside the log: the hash of each secret, and when it was last used.

Whether a token lives is the log's to say (``PolicyState.api_tokens``); a revoked one is closed here as well, in the same
transaction, so that a replica that lags behind the log refuses it too. The name is personal data of its own subject; rows stay, so
that all names that a person gave are found when they are to be erased.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.tables import API_TOKENS
from protocol.ids import ApiTokenId, UserId


@dataclass(frozen=True, slots=True)
class StoredToken:
    """One row; times are Unix seconds. ``hint`` is the beginning of the secret, for people to recognise it by."""

    id: ApiTokenId
    owner: UserId
    hint: str
    expires: float
    last_used_at: float | None


_COLUMNS = (API_TOKENS.c.id, API_TOKENS.c.owner, API_TOKENS.c.hint, API_TOKENS.c.expires, API_TOKENS.c.last_used_at)


async def create(
    connection: AsyncConnection, token: ApiTokenId, secret_hash: str, *, owner: UserId, hint: str, expires: float
) -> None:
    """Stores a new token's hash."""
    row = {"id": token, "hash": secret_hash, "owner": owner, "hint": hint, "expires": expires}
    await connection.execute(sa.insert(API_TOKENS).values(row))


async def find(connection: AsyncConnection, secret_hash: str, now: float) -> StoredToken | None:
    """Returns the token with this secret when it is neither revoked nor expired."""
    alive = (API_TOKENS.c.hash == secret_hash) & API_TOKENS.c.revoked_at.is_(None) & (API_TOKENS.c.expires > now)
    row = (await connection.execute(sa.select(*_COLUMNS).where(alive))).mappings().one_or_none()
    return StoredToken(**row) if row is not None else None


async def get_many(connection: AsyncConnection, tokens: Iterable[ApiTokenId]) -> dict[ApiTokenId, StoredToken]:
    """Returns the rows of those tokens that have one; a page at most."""
    query = sa.select(*_COLUMNS).where(API_TOKENS.c.id.in_(list(tokens)))
    return {row["id"]: StoredToken(**row) for row in (await connection.execute(query)).mappings()}


async def ids_of(connection: AsyncConnection, owner: UserId) -> list[ApiTokenId]:
    """Returns the ids of everything that the user ever made, as long as it is kept."""
    return list((await connection.execute(sa.select(API_TOKENS.c.id).where(API_TOKENS.c.owner == owner))).scalars())


async def note_use(connection: AsyncConnection, token: ApiTokenId, now: float) -> None:
    """Notes that the token was used."""
    await connection.execute(sa.update(API_TOKENS).where(API_TOKENS.c.id == token).values(last_used_at=now))


async def revoke(connection: AsyncConnection, token: ApiTokenId, now: float) -> None:
    """Closes one token."""
    await _revoke(connection, API_TOKENS.c.id == token, now)


async def revoke_all(connection: AsyncConnection, owner: UserId, now: float) -> None:
    """Closes all tokens of somebody who was disabled or removed."""
    await _revoke(connection, API_TOKENS.c.owner == owner, now)


async def _revoke(connection: AsyncConnection, which: sa.ColumnElement[bool], now: float) -> None:
    alive = which & API_TOKENS.c.revoked_at.is_(None)
    await connection.execute(sa.update(API_TOKENS).where(alive).values(revoked_at=now))
