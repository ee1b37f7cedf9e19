"""The daemon's last log lines, for ``ostiary logs``: as they were written, secrets already taken out."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from typing import Final

LINES_MAX: Final = 2_000
_FOLLOWER_QUEUE: Final = 1_000


class LogBuffer(logging.Handler):
    """A handler of the root logger that keeps lines in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[str] = deque(maxlen=LINES_MAX)
        self._followers: set[asyncio.Queue[str]] = set()

    def install(self) -> None:
        """Writes what the process's other handlers write, in their form."""
        root = logging.getLogger()
        if root.handlers:
            self.setFormatter(root.handlers[0].formatter)
        root.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler. Called in the loop's thread, and rarely in another one."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - the contract of logging handlers
            self.handleError(record)
            return
        self._lines.append(line)
        for queue in tuple(self._followers):
            if not queue.full():
                queue.put_nowait(line)

    def last(self, count: int) -> list[str]:
        """Returns the newest ``count`` lines, oldest first."""
        return list(self._lines)[-count:] if count > 0 else []

    async def follow(self) -> AsyncGenerator[str, None]:
        """Yields lines as they are written; a follower that is too slow loses some."""
        queue: asyncio.Queue[str] = asyncio.Queue(_FOLLOWER_QUEUE)
        self._followers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._followers.discard(queue)
