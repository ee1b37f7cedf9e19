"""``INSERT … ON CONFLICT`` in the dialect of the connection: both databases have it, SQLAlchemy spells it per dialect."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


def _insert(connection: AsyncConnection, table: sa.Table) -> Any:
    return (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(table)


async def put(
    connection: AsyncConnection, table: sa.Table, row: Mapping[str, object], *, keep: Sequence[str] = ()
) -> None:
    """Inserts ``row`` or replaces the one with the same primary key, except for the columns in ``keep``."""
    keys = [column.name for column in table.primary_key]
    changed = {name: value for name, value in row.items() if name not in (*keys, *keep)}
    statement = _insert(connection, table).values(dict(row))
    await connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))


async def put_many(
    connection: AsyncConnection, table: sa.Table, rows: Sequence[Mapping[str, object]], **same: object
) -> None:
    """Inserts the rows or replaces those with the same primary keys. ``same``: values or expressions of all of them."""
    if not rows:
        return
    keys = [column.name for column in table.primary_key]
    statement = _insert(connection, table).values(same)
    changed = {name: statement.excluded[name] for name in (*rows[0], *same) if name not in keys}
    statement = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    await connection.execute(statement, [dict(row) for row in rows])


async def insert_missing(connection: AsyncConnection, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Inserts the rows that violate no unique constraint."""
    if rows:
        statement = _insert(connection, table).on_conflict_do_nothing()
        await connection.execute(statement, [dict(row) for row in rows])
