"""Passkeys: public keys that people sign in with. No secret is among them; a challenge is spent by one statement (D7)."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.tables_passkeys import PASSKEYS, SPENT_CHALLENGES
from controller.store.upsert import insert_missing
from protocol.ids import UserId


@dataclass(frozen=True, slots=True)
class Passkey:
    """``credential`` is its name at the authenticator, base64url; ``public_key`` is COSE (RFC 9052). Unix seconds.

    ``synced``: the authenticator says that it can be on several devices.
    """

    id: str
    user: UserId
    credential: str
    public_key: bytes
    sign_count: int
    name: str
    synced: bool
    created_at: float
    last_used_at: float | None = None


async def add(connection: AsyncConnection, passkey: Passkey) -> None:
    """Stores a new one; the caller has looked that its credential is not there."""
    row = {column.name: getattr(passkey, column.name) for column in PASSKEYS.columns}
    await connection.execute(sa.insert(PASSKEYS).values(row))


async def of_user(connection: AsyncConnection, user: UserId) -> list[Passkey]:
    """Returns somebody's passkeys, oldest first."""
    query = sa.select(PASSKEYS).where(PASSKEYS.c.user == user).order_by(PASSKEYS.c.created_at, PASSKEYS.c.id)
    return [Passkey(**row) for row in (await connection.execute(query)).mappings()]


async def find(connection: AsyncConnection, credential: str) -> Passkey | None:
    """Returns the passkey with this credential."""
    query = sa.select(PASSKEYS).where(PASSKEYS.c.credential == credential)
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else Passkey(**row)


async def used(connection: AsyncConnection, passkey: str, *, sign_count: int, now: float) -> bool:
    """Notes a use; tells whether the counter had not passed ``sign_count`` meanwhile. Counters that stay 0 count nothing."""
    table = PASSKEYS
    newer = table.c.sign_count < sign_count if sign_count else table.c.sign_count == 0
    change = sa.update(table).where(table.c.id == passkey, newer).values(sign_count=sign_count, last_used_at=now)
    return (await connection.execute(change.returning(table.c.id))).scalar_one_or_none() is not None


async def rename(connection: AsyncConnection, passkey: str, name: str) -> None:
    """Gives it another name."""
    await connection.execute(sa.update(PASSKEYS).where(PASSKEYS.c.id == passkey).values(name=name))


async def remove(connection: AsyncConnection, passkey: str) -> None:
    """Deletes one."""
    await connection.execute(sa.delete(PASSKEYS).where(PASSKEYS.c.id == passkey))


async def remove_all(connection: AsyncConnection, user: UserId) -> None:
    """Deletes all of somebody's."""
    await connection.execute(sa.delete(PASSKEYS).where(PASSKEYS.c.user == user))


async def spend_challenge(connection: AsyncConnection, challenge_hash: str, *, expires: float) -> bool:
    """Spends a challenge, once, whatever runs in parallel; tells whether it was still good."""
    query = sa.select(SPENT_CHALLENGES.c.hash).where(SPENT_CHALLENGES.c.hash == challenge_hash)
    if (await connection.execute(query)).scalar_one_or_none() is not None:
        return False
    await insert_missing(connection, SPENT_CHALLENGES, [{"hash": challenge_hash, "expires": expires}])
    return True


async def purge_challenges(connection: AsyncConnection, before: float) -> None:
    """Forgets challenges that expired before a moment: they are refused for that."""
    await connection.execute(sa.delete(SPENT_CHALLENGES).where(SPENT_CHALLENGES.c.expires < before))
