"""How a process learns that another one has appended to the log.

PostgreSQL: LISTEN/NOTIFY with the position as payload, only to be quick: a poll every second bounds how far behind a
process can be whatever happens to a notification.
The same connection hears that another replica has asked for a test of a destination, or has answered (``knocked``).
SQLite: ``PRAGMA data_version`` on one connection, which changes when another connection has committed; cheap enough to
ask several times a second, because revocations must arrive within one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controller.store.engine import connect_arguments, is_sqlite
from protocol.errors import LocalError
from protocol.reasons import Reason

CHANNEL: Final = "ostiary_log"
TESTS_CHANNEL: Final = "ostiary_tests"
SQLITE_POLL_S: Final = 0.25
POSTGRESQL_POLL_S: Final = 1.0


async def announce(connection: AsyncConnection, position: int) -> None:
    """Wakes other processes when this transaction commits."""
    if connection.dialect.name == "postgresql":
        await connection.execute(sa.select(sa.func.pg_notify(CHANNEL, str(position))))


async def knock(connection: AsyncConnection) -> None:
    """Tells the other replicas, when this transaction commits, that there is a test or an answer."""
    if connection.dialect.name == "postgresql":
        await connection.execute(sa.select(sa.func.pg_notify(TESTS_CHANNEL, "")))


async def follow(
    url: URL, engine: AsyncEngine, catch_up: Callable[[], Awaitable[None]], knocked: Callable[[], None]
) -> None:
    """Calls ``catch_up`` whenever the log may have grown, ``knocked`` at each knock; runs until cancelled.

    Raises:
        LocalError: UNAVAILABLE when the database is lost; the caller starts it again.
    """
    if is_sqlite(url):
        await _follow_sqlite(engine, catch_up)
    else:
        await _follow_postgresql(url, catch_up, knocked)


async def _follow_sqlite(engine: AsyncEngine, catch_up: Callable[[], Awaitable[None]]) -> None:
    async with engine.connect() as connection:
        seen: object = None
        while True:
            version = (await connection.exec_driver_sql("PRAGMA data_version")).scalar_one()
            # An open transaction would pin what this connection sees.
            await connection.rollback()
            if version != seen:
                seen = version
                await catch_up()
            await asyncio.sleep(SQLITE_POLL_S)


async def _follow_postgresql(url: URL, catch_up: Callable[[], Awaitable[None]], knocked: Callable[[], None]) -> None:
    import psycopg

    from controller.store.postgresql import Connection

    dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        connection = await Connection.connect(dsn, autocommit=True, **connect_arguments(url))
        async with connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            await connection.execute(f"LISTEN {TESTS_CHANNEL}")
            while True:
                # What was committed before LISTEN, or while the connection was away, sent no notification.
                await catch_up()
                async for notified in connection.notifies(timeout=POSTGRESQL_POLL_S, stop_after=1):
                    if notified.channel == TESTS_CHANNEL:
                        knocked()
    except psycopg.Error as exc:
        raise LocalError(Reason.UNAVAILABLE, f"database: {type(exc).__name__}") from exc
