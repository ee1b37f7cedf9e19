"""Erases a person everywhere beside the log, whose events hold ids only (T-9).

What is personal is found by the person's id: rows that carry it, and personal data of whatever the person owned, which is
what the first event of its stream says (devices, API tokens, requests). A new table with personal data belongs in here.
"""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.tables import (
    ACCESS_REQUEST_TEXTS,
    CREDENTIALS,
    DEVICE_CODES,
    EVENTS,
    IDEMPOTENCY,
    IDENTITIES,
    PERSONAL_DATA,
    RECOVERY_CODES,
    SECOND_FACTORS,
    WEB_SESSIONS,
)
from controller.store.tables_passkeys import PASSKEYS
from protocol.ids import UserId

_OF_USERS = (
    ACCESS_REQUEST_TEXTS,
    CREDENTIALS,
    DEVICE_CODES,
    IDENTITIES,
    PASSKEYS,
    RECOVERY_CODES,
    SECOND_FACTORS,
    WEB_SESSIONS,
)
"""Whole rows with a column ``user``: what somebody signs in with, and from where; why he asked for access."""


async def erase(connection: AsyncConnection, user: UserId) -> None:
    """Deletes everything that is known of the person, and what it could sign in with."""
    subject = PERSONAL_DATA.c.subject
    await connection.execute(sa.delete(PERSONAL_DATA).where(subject == user))
    first = (EVENTS.c.stream == subject) & (EVENTS.c.version == 1)
    owned = sa.exists().where(first, EVENTS.c.data.contains(f'"{user}"', autoescape=True))
    await connection.execute(sa.delete(PERSONAL_DATA).where(owned))
    for table in _OF_USERS:
        await connection.execute(sa.delete(table).where(table.c.user == user))
    await connection.execute(sa.delete(IDEMPOTENCY).where(IDEMPOTENCY.c.principal == user))
