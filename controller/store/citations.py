"""Which event made something so: the position, the actor and the time that an answer about the past cites."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from controller.store.tables import EVENTS

_CHUNK: Final = 400
_USERS: Final = 100
"""Conditions in one query: SQLite bounds the depth of an expression."""


@dataclass(frozen=True, slots=True)
class Citation:
    """An event by position. ``stream`` is what it is about; ``at_ms`` is Unix milliseconds."""

    position: int
    stream: str
    type: str
    actor: str
    at_ms: int


async def latest(
    connection: AsyncConnection, streams: Iterable[str], types: Sequence[str], *, upto: int
) -> dict[str, Citation]:
    """Returns, for each stream, its last event up to position ``upto`` whose type begins with one of ``types``."""
    table, found = EVENTS, {}
    wanted = sorted(set(streams))
    kinds = sa.or_(*(table.c.type.startswith(prefix, autoescape=True) for prefix in types))
    for start in range(0, len(wanted), _CHUNK):
        query = (
            sa.select(table.c.position, table.c.stream, table.c.type, table.c.actor, table.c.at_ms)
            .where(table.c.stream.in_(wanted[start : start + _CHUNK]), table.c.position <= upto, kinds)
            .order_by(table.c.position)
        )
        for row in await connection.execute(query):
            found[row.stream] = Citation(*row)
    return found


async def memberships(
    connection: AsyncConnection, group: str, users: Iterable[str], *, upto: int
) -> dict[str, Citation]:
    """Returns, for each user, the event that last put him into ``group``."""
    table, found = EVENTS, {}
    wanted = sorted(set(users))
    for start in range(0, len(wanted), _USERS):
        part = wanted[start : start + _USERS]
        # Ids hold no character that LIKE gives a meaning to but the underscore, which `autoescape` takes care of.
        named = sa.or_(*(table.c.data.contains(f'"{user}"', autoescape=True) for user in part))
        query = (
            sa.select(table.c.position, table.c.stream, table.c.type, table.c.actor, table.c.at_ms, table.c.data)
            .where(
                table.c.stream == group,
                table.c.type.startswith("group.member_added", autoescape=True),
                table.c.position <= upto,
                named,
            )
            .order_by(table.c.position)
        )
        for row in await connection.execute(query):
            for user in part:
                if f'"{user}"' in row.data:
                    found[user] = Citation(row.position, row.stream, row.type, row.actor, row.at_ms)
    return found


async def at_positions(connection: AsyncConnection, positions: Iterable[int]) -> dict[int, Citation]:
    """Returns the events at these positions."""
    table, found = EVENTS, {}
    wanted = sorted(set(positions))
    for start in range(0, len(wanted), _CHUNK):
        query = sa.select(table.c.position, table.c.stream, table.c.type, table.c.actor, table.c.at_ms).where(
            table.c.position.in_(wanted[start : start + _CHUNK])
        )
        for row in await connection.execute(query):
            found[row.position] = Citation(*row)
    return found
