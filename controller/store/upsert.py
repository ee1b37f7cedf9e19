"""``INSERT … ON CONFLICT`` in the dialect of the connection: both databases have it, SQLAlchemy spells it per dialect."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


def _insert(connection: AsyncConnection, table: sa.Table) -> Any:
    return (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(table)


async def put(connection: AsyncConnection, table: sa.Table, row: Mapping[str, object]) -> None:
    """Inserts ``row`` or replaces the one with the same primary key."""
    keys = [column.name for column in table.primary_key]
    changed = {name: value for name, value in row.items() if name not in keys}
    statement = _insert(connection, table).values(dict(row))
    await connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))


async def insert_missing(connection: AsyncConnection, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Inserts the rows that violate no unique constraint."""
    if rows:
        statement = _insert(connection, table).on_conflict_do_nothing()
        await connection.execute(statement, [dict(row) for row in rows])
