"""Engines for the two databases behind one interface.

SQLite: WAL, foreign keys, a busy timeout, and every transaction begins explicitly, because pysqlite's own begin would take
the write lock too late; a write transaction begins IMMEDIATE. PostgreSQL: psycopg 3 at READ COMMITTED, where the write lock
is a transaction-level advisory lock.
"""

import os
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from protocol.errors import LocalError
from protocol.reasons import Reason

LOCK_WAIT_S: Final = 4
"""How long a writer waits for another process's write transaction."""
CONNECT_S: Final = 3
"""How long a new connection may take; psycopg takes whole seconds, two at least."""
SILENCE_MS: Final = 4_000
"""Sent and not acknowledged by the database's host for so long: the connection is dead."""
POOL_SIZE: Final = 10
POOL_WAIT_S: Final = 4
_LOCK_KEY: Final = 0x6F737469617279
"""The advisory lock of the log: ``ostiary`` in ASCII."""
_WRITES: Final = "ostiary_writes"


def parse_url(text: str) -> URL:
    """Returns the URL with our drivers: ``sqlite:///path`` or ``postgresql://…``.

    Raises:
        LocalError: CONFIG_INVALID. The detail never holds the URL, which may hold a password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as exc:
        raise LocalError(Reason.CONFIG_INVALID, "database_url is not a URL") from exc
    match url.get_backend_name():
        case "sqlite":
            if not url.database or url.database == ":memory:":
                raise LocalError(Reason.CONFIG_INVALID, "database_url: SQLite needs a file")
            return url.set(drivername="sqlite+aiosqlite")
        case "postgresql":
            return url.set(drivername="postgresql+psycopg")
        case other:
            raise LocalError(Reason.CONFIG_INVALID, f"database_url: {other} is not supported")


def sync_url(url: URL) -> URL:
    """The same database for a blocking driver (migrations)."""
    return url.set(drivername="sqlite" if is_sqlite(url) else "postgresql+psycopg")


def is_sqlite(url: URL) -> bool:
    """Tells the two databases apart."""
    return url.get_backend_name() == "sqlite"


def require_file(url: URL) -> None:
    """Refuses a SQLite database that is not there (opening would make an empty one) or not ours to write.

    Raises:
        LocalError: SCHEMA_OLDER, PERMISSION_DENIED.
    """
    if not is_sqlite(url) or url.database is None:
        return
    path = Path(url.database)
    try:
        there = path.is_file()
    except OSError:
        there = False
    if not there:
        raise LocalError(Reason.SCHEMA_OLDER, f"there is no database at {path}")
    if not os.access(path, os.R_OK | os.W_OK) or not os.access(path.parent, os.W_OK):
        raise LocalError(Reason.PERMISSION_DENIED, f"{path} and its directory must be writable")


def make_engine(url: URL) -> AsyncEngine:
    """Returns an engine; nothing is connected yet."""
    if not is_sqlite(url):
        from controller.store.postgresql import Connection

        return create_async_engine(
            url,
            pool_size=POOL_SIZE,
            max_overflow=POOL_SIZE,
            pool_timeout=POOL_WAIT_S,
            pool_pre_ping=True,
            connect_args={**connect_arguments(url), "async_creator_fn": Connection.connect},
        )
    engine = create_async_engine(url, connect_args={"timeout": LOCK_WAIT_S})
    sa.event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    sa.event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def connect_arguments(url: URL) -> dict[str, Any]:
    """What libpq is told so that a database that is away is noticed within seconds (F-10); the URL may say otherwise."""
    wanted = {
        "application_name": "ostiary-controller",
        "connect_timeout": CONNECT_S,
        # Also where the database was made without an encoding (SQL_ASCII): text is text.
        "client_encoding": "utf8",
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "tcp_user_timeout": SILENCE_MS,
        # The server's side: the locks of a process whose host is gone are free again within seconds.
        "options": "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3",
    }
    return {name: value for name, value in wanted.items() if name not in url.query}


def writer_of(engine: AsyncEngine) -> AsyncEngine:
    """The same pool, for transactions that write."""
    return engine.execution_options(**{_WRITES: True})


async def take_log_lock(connection: AsyncConnection) -> None:
    """Makes this transaction the only one that appends. SQLite has done so at BEGIN IMMEDIATE."""
    if connection.dialect.name == "postgresql":
        await connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_WAIT_S}s'")
        await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_KEY)))


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    pragmas = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={LOCK_WAIT_S * 1000}")
    # What was erased is overwritten, not only unlinked.
    for pragma in (*pragmas, "secure_delete=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
