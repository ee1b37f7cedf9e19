"""Private keys at rest: named blobs that were encrypted before they came here (``identity.sealing``)."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.tables import SECRETS
from controller.store.upsert import put as upsert


async def put(connection: AsyncConnection, name: str, sealed: bytes, now: float) -> None:
    """Stores or replaces a sealed secret."""
    await upsert(connection, SECRETS, {"name": name, "sealed": sealed, "updated_at": now})


async def get(connection: AsyncConnection, name: str) -> bytes | None:
    """Returns the sealed secret of this name."""
    query = sa.select(SECRETS.c.sealed).where(SECRETS.c.name == name)
    value: bytes | None = (await connection.execute(query)).scalar_one_or_none()
    return value


async def delete(connection: AsyncConnection, name: str) -> None:
    """Forgets a secret."""
    await connection.execute(sa.delete(SECRETS).where(SECRETS.c.name == name))
