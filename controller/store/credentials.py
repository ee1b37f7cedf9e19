"""Passwords and personal data, by subject id. Personal data is outside the log so that it can be erased."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.chain import canonical_json
from controller.store.tables import CREDENTIALS, PERSONAL_DATA
from controller.store.upsert import put
from protocol.errors import RefusedError
from protocol.ids import UserId
from protocol.reasons import Reason


@dataclass(frozen=True, slots=True)
class PersonalData:
    """What is known about a person (``email``, ``name``) or a person's device (``name``)."""

    subject: str
    email: str | None
    fields: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name to show; the id when there is none."""
        return self.fields.get("name") or self.email or self.subject


def normal_email(email: str) -> str:
    """The form under which addresses are compared and stored: one account per address, whatever its case."""
    return email.strip().casefold()


async def set_password_hash(connection: AsyncConnection, user: UserId, password_hash: str, now: float) -> None:
    """Stores the argon2 hash of a user's password."""
    await put(connection, CREDENTIALS, {"user": user, "password_hash": password_hash, "updated_at": now})


async def get_password_hash(connection: AsyncConnection, user: UserId) -> str | None:
    """Returns the argon2 hash; None for a user without a password."""
    query = sa.select(CREDENTIALS.c.password_hash).where(CREDENTIALS.c.user == user)
    value: str | None = (await connection.execute(query)).scalar_one_or_none()
    return value


async def delete_password(connection: AsyncConnection, user: UserId) -> None:
    """Forgets the user's password."""
    await connection.execute(sa.delete(CREDENTIALS).where(CREDENTIALS.c.user == user))


async def set_personal_data(
    connection: AsyncConnection, subject: str, *, fields: Mapping[str, str], now: float, email: str | None = None
) -> None:
    """Stores a subject's whole personal data.

    Raises:
        RefusedError: ALREADY_EXISTS when another subject has the e-mail address.
    """
    address = normal_email(email) if email is not None else None
    if address is not None:
        holder = await find_by_email(connection, address)
        if holder not in (None, subject):
            raise RefusedError(Reason.ALREADY_EXISTS, "email belongs to another account")
    row = {"subject": subject, "email": address, "fields": canonical_json(dict(fields)), "updated_at": now}
    await put(connection, PERSONAL_DATA, row)


async def get_personal_data(connection: AsyncConnection, subject: str) -> PersonalData | None:
    """Returns a subject's personal data; None when there is none, or it was erased."""
    return (await get_many(connection, (subject,))).get(subject)


async def get_many(connection: AsyncConnection, subjects: Iterable[str]) -> dict[str, PersonalData]:
    """Returns the personal data of those subjects that have some."""
    wanted = list(dict.fromkeys(subjects))
    found: dict[str, PersonalData] = {}
    for start in range(0, len(wanted), 500):
        part = wanted[start : start + 500]
        query = sa.select(PERSONAL_DATA).where(PERSONAL_DATA.c.subject.in_(part))
        for row in (await connection.execute(query)).mappings():
            found[row["subject"]] = PersonalData(row["subject"], row["email"], json.loads(row["fields"]))
    return found


async def erase_personal_data(connection: AsyncConnection, subject: str) -> None:
    """Erases a subject's personal data; the log keeps only the id."""
    await connection.execute(sa.delete(PERSONAL_DATA).where(PERSONAL_DATA.c.subject == subject))


async def find_by_email(connection: AsyncConnection, email: str) -> UserId | None:
    """Returns the user with this address, whatever its case."""
    query = sa.select(PERSONAL_DATA.c.subject).where(PERSONAL_DATA.c.email == normal_email(email))
    subject: str | None = (await connection.execute(query)).scalar_one_or_none()
    return UserId(subject) if subject is not None else None


async def find_many_by_email(connection: AsyncConnection, emails: Iterable[str]) -> dict[str, UserId]:
    """Returns the users with these addresses by normal address; who has none of them is not in it."""
    wanted = sorted({normal_email(email) for email in emails})
    found: dict[str, UserId] = {}
    for start in range(0, len(wanted), 500):
        part = wanted[start : start + 500]
        query = sa.select(PERSONAL_DATA.c.email, PERSONAL_DATA.c.subject).where(PERSONAL_DATA.c.email.in_(part))
        found |= {row.email: UserId(row.subject) for row in await connection.execute(query)}
    return found
