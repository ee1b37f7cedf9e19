"""Connections to PostgreSQL that nobody waits for once they were given up (F-10). Imported where PostgreSQL is used.

psycopg answers a cancellation by asking the server to cancel the statement, and waits up to ten seconds for what comes of it. A
server that hangs answers nothing: a caller who was promised an answer within five seconds would wait for fifteen. Here a statement
that is given up costs its connection, at once. The server sees the end of the connection and rolls back.
"""

import asyncio
from typing import Any, TypeVar

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen

T = TypeVar("T")


class Connection(psycopg.AsyncConnection[Any]):
    """An asynchronous connection that is closed when a task that waits for it is cancelled."""

    async def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Consumes what psycopg does on the connection. Raises as ``psycopg.AsyncConnection.wait``."""
        try:
            return await waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=timeout)
        except (asyncio.CancelledError, KeyboardInterrupt):
            self.pgconn.finish()
            raise
