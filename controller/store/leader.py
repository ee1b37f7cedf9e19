"""One of several processes over the same database does what only one should do (purges, checkpoints, retention).

PostgreSQL: a session-level advisory lock on a connection of its own. The server gives it up when that connection ends, so
a process that was killed is followed at once, and one that was cut off as soon as the server's keepalives notice. Duties
must bear to be done twice: a leader that hears late that it is none any more may still be finishing.
SQLite: the one process that serves is the leader.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy.engine import URL

from controller.store.engine import connect_arguments, is_sqlite
from protocol.errors import LocalError
from protocol.reasons import Reason
from runtime.tasks import TaskScope

if TYPE_CHECKING:
    from controller.store.postgresql import Connection

RETRY_S: Final = 2.0
"""Between two attempts to become the leader."""
CHECK_S: Final = 2.0
"""Between two signs of life of the connection that holds the lock."""
ANSWER_S: Final = 5.0
"""A database that does not answer for so long has perhaps given the lock to somebody else."""
_LOCK_KEY: Final = 0x6F73746C656164
"""``ostlead`` in ASCII."""

_log = structlog.get_logger(__name__)


async def lead(url: URL, duties: Callable[[], Awaitable[None]]) -> None:
    """Runs ``duties()`` for as long as this process is the leader; runs until cancelled or until ``duties`` returns.

    Raises:
        LocalError: UNAVAILABLE when the database is lost, and with it the lock; the caller starts again.
        Exception: what ``duties`` raises; the lock is given up then.
    """
    if is_sqlite(url):
        await duties()
        return
    import psycopg

    from controller.store.postgresql import Connection

    dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        async with await Connection.connect(dsn, autocommit=True, **connect_arguments(url)) as connection:
            await _win(connection)
            _log.info("leader.elected")
            try:
                async with TaskScope("leader") as scope:
                    watch = scope.spawn(_hold(connection), name="lock")
                    await duties()
                    watch.cancel()
            finally:
                _log.info("leader.ended")
    except (psycopg.Error, TimeoutError) as exc:
        raise LocalError(Reason.UNAVAILABLE, f"database: {type(exc).__name__}") from exc


async def _win(connection: "Connection") -> None:
    while True:
        if await _try_lock(connection):
            return
        await asyncio.sleep(RETRY_S)


async def _try_lock(connection: "Connection") -> bool:
    async with asyncio.timeout(ANSWER_S):
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK_KEY,))
        row = await cursor.fetchone()
    return row is not None and row[0] is True


async def _hold(connection: "Connection") -> None:
    """Fails as soon as the connection, and with it the lock, is lost."""
    while True:
        await asyncio.sleep(CHECK_S)
        async with asyncio.timeout(ANSWER_S):
            await connection.execute("SELECT 1")
