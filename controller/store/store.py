"""The store: one database, its feed, and the two kinds of transactions.

    store.write(...)      appends to the log: takes the log's lock, sees the true end of the log
    store.transact()      writes other tables only (records): no lock on the log
    store.read()          a read transaction

``follow`` must run as a task for as long as the store is used: it brings in what other processes append.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from controller.domain.log import Head
from controller.store import events, follow, leader, restores, schema
from controller.store.engine import is_sqlite, make_engine, parse_url, require_file, take_log_lock, writer_of
from controller.store.feed import Feed
from controller.store.folds import Sealer
from controller.store.loading import load
from controller.store.unit import Unit
from protocol.errors import LocalError
from protocol.reasons import Reason

WRITE_QUEUE_S: Final = 4.0
"""How long a writer waits for its turn in this process; beyond it the caller gets UNAVAILABLE."""
START_S: Final = 4.5
"""Until a transaction has begun, everything together: callers hear within 5 s that the database is away (F-10)."""
_DISK_FULL: Final = "53100"
"""PostgreSQL's code (appendix A of its manual)."""
UNIT_S: Final = 30.0
"""How long a write may hold the log's lock."""


class Store:
    """Use ``await Store.open(url)`` and ``await store.close()``."""

    def __init__(self, url: URL, engine: AsyncEngine, feed: Feed, base: Head) -> None:
        self._url = url
        self._engine = engine
        self._writer = writer_of(engine)
        self._turn = asyncio.Lock()
        self.feed = feed
        self.knocked = asyncio.Event()
        """Set while ``follow`` runs, when another replica asked for a test or answered one; it may be missed."""
        self.base = base
        """The saved fold with which this process began; below it the log was not read yet (``upkeep.verify_below``)."""

    @classmethod
    async def open(cls, url: str, *, restored: bool = False, seal: Sealer | None = None) -> "Store":
        """Connects, checks the schema version and the hash chain, and folds the log.

        With ``seal`` a saved fold is used when there is a good one.
        ``restored`` opens also a database that waits for its new epoch after a restore (F-26).

        Raises:
            LocalError: CONFIG_INVALID, SCHEMA_OLDER (or no database), SCHEMA_NEWER, STATE_CORRUPT naming the damaged
                event, PERMISSION_DENIED, RESTORE_PENDING, or UNAVAILABLE when the database cannot be reached.
        """
        parsed = parse_url(url)
        require_file(parsed)
        engine = make_engine(parsed)
        try:
            with reachable():
                async with engine.connect() as connection:
                    await connection.run_sync(schema.require_current)
                    if not restored:
                        await restores.require_none_pending(connection)
                    feed, base = await load(connection, seal)
        except BaseException:
            await engine.dispose()
            raise
        return cls(parsed, engine, feed, base)

    @property
    def shared(self) -> bool:
        """Whether other processes may serve agents over the same database: SQLite is one process's own."""
        return not is_sqlite(self._url)

    async def close(self) -> None:
        """Closes the connections."""
        await self._engine.dispose()

    @contextlib.asynccontextmanager
    async def write(self, *, actor: str, request_id: str, now: float) -> AsyncIterator[Unit]:
        """Opens a unit that commits when the block ends and rolls back when it raises.

        ``actor`` is the id of who acts, or a word such as ``cli``; ``now`` is Unix seconds.

        Raises:
            LocalError: UNAVAILABLE when the lock or the database cannot be had in time.
        """
        async with _in_time() as deadline:
            await self._take_turn()
            try:
                with reachable():
                    async with self._writer.connect() as connection, connection.begin():
                        await take_log_lock(connection)
                        missed = [change async for change in events.changes_after(connection, self.feed.head)]
                        head = missed[-1].after if missed else self.feed.head
                        unit = Unit(connection, head, actor=actor, request_id=request_id, now=now)
                        deadline.reschedule(asyncio.get_running_loop().time() + UNIT_S)
                        yield unit
                        if unit.changes:
                            await follow.announce(connection, unit.position)
                self.feed.advance((*missed, *unit.changes))
            finally:
                self._turn.release()

    @contextlib.asynccontextmanager
    async def transact(self) -> AsyncIterator[AsyncConnection]:
        """Opens a transaction for tables other than the log. Raises LocalError(UNAVAILABLE)."""
        async with _in_time() as deadline, self._only_writer():
            with reachable():
                async with self._writer.connect() as connection, connection.begin():
                    deadline.reschedule(None)
                    yield connection

    @contextlib.asynccontextmanager
    async def read(self, *, start_s: float | None = None) -> AsyncIterator[AsyncConnection]:
        """Opens a read transaction. Raises LocalError(UNAVAILABLE), after ``start_s`` at the latest."""
        async with _in_time(start_s) as deadline:
            with reachable():
                async with self._engine.connect() as connection:
                    deadline.reschedule(None)
                    yield connection

    async def follow(self) -> None:
        """Keeps the feed current with what other processes append; runs until cancelled.

        Raises:
            LocalError: STATE_CORRUPT on a gap: going on would mean to miss a revocation (T-7).
        """
        await follow.follow(self._url, self._engine, self.catch_up, self.knocked.set)

    async def lead(self, duties: Callable[[], Awaitable[None]]) -> None:
        """Runs ``duties()`` whenever this process is the leader of those over this database (``controller.store.leader``).

        Raises:
            LocalError: UNAVAILABLE when the database is lost; the caller starts again.
        """
        await leader.lead(self._url, duties)

    async def freshen(self, *, start_s: float | None = None) -> bool:
        """Brings in what other processes had committed by now, when there may be others; tells whether that was anything.

        With it a caller reads at this replica what he has just written at another one. Raises LocalError(UNAVAILABLE).
        """
        if not self.shared:
            return False
        before = self.feed.head.position
        async with self.read(start_s=start_s) as connection:
            if await events.last_position(connection) <= before:
                return False
            changes = [change async for change in events.changes_after(connection, self.feed.head)]
        self.feed.advance(changes)
        return True

    async def catch_up(self) -> None:
        """Reads what is new in the log now."""
        async with self.read() as connection:
            changes = [change async for change in events.changes_after(connection, self.feed.head)]
        self.feed.advance(changes)

    async def ping(self) -> None:
        """Asks the database for a sign of life. Raises LocalError(UNAVAILABLE)."""
        async with _in_time(), self.read() as connection:
            await connection.execute(sa.select(1))

    @contextlib.asynccontextmanager
    async def _only_writer(self) -> AsyncIterator[None]:
        """SQLite has one writer at a time: here they wait in order, where its own lock lets whoever looks at the right moment in."""
        if self.shared:
            yield
            return
        await self._take_turn()
        try:
            yield
        finally:
            self._turn.release()

    async def _take_turn(self) -> None:
        try:
            async with asyncio.timeout(WRITE_QUEUE_S):
                await self._turn.acquire()
        except TimeoutError as exc:
            raise LocalError(Reason.UNAVAILABLE, "the database is busy") from exc


@contextlib.asynccontextmanager
async def _in_time(start_s: float | None = None) -> AsyncIterator[asyncio.Timeout]:
    """Gives a transaction START_S, or ``start_s``, to begin; whoever has begun sets another deadline.

    Raises:
        LocalError: UNAVAILABLE.
    """
    try:
        async with asyncio.timeout(START_S if start_s is None else start_s) as deadline:
            yield deadline
    except TimeoutError as exc:
        if not deadline.expired():
            raise
        raise LocalError(Reason.UNAVAILABLE, "the database does not answer in time") from exc


@contextlib.contextmanager
def reachable() -> Iterator[None]:
    """Gives a database that is away, locked or full its reason; statements that are wrong stay crashes."""
    try:
        yield
    except PoolTimeoutError as exc:
        raise LocalError(Reason.UNAVAILABLE, "database: no connection is free") from exc
    except OperationalError as exc:
        raise LocalError(Reason.UNAVAILABLE, f"database: {_what(exc)}") from exc
    except DBAPIError as exc:
        if not exc.connection_invalidated:
            raise
        raise LocalError(Reason.UNAVAILABLE, f"database: {_what(exc)}") from exc


def _what(exc: DBAPIError) -> str:
    """Names the failure. Never the driver's text, which may hold values; but a full disk is for the admin to know (F-11)."""
    code = getattr(exc.orig, "sqlstate", None) or getattr(exc.orig, "sqlite_errorname", None)
    if code == _DISK_FULL or "disk is full" in str(exc.orig):
        return "its disk is full"
    return f"{type(exc.orig).__name__} ({code})" if code else type(exc.orig).__name__
