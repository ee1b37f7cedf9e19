"""Wakes the clients that a change touches, some at a time: thousands of snapshots in one go would keep everybody else waiting,
the next revocation too (F-29)."""

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Final

from controller.publish.attachment import Attachment

AT_ONCE: Final = 50
"""Clients whose snapshots are made in one go: some hundredths of a second."""


class Waker:
    """Holds each waiting client once, in the order in which they came. ``is_due`` tells whether one still has to be told."""

    def __init__(self, is_due: Callable[[Attachment], bool]) -> None:
        self._is_due = is_due
        self._waiting: dict[Attachment, None] = {}
        self._news = asyncio.Event()

    def add(self, attachment: Attachment) -> None:
        """It is to make itself a new snapshot, soon."""
        self._waiting[attachment] = None
        self._news.set()

    async def run(self) -> None:
        """Wakes until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                for attachment in list(islice(self._waiting, AT_ONCE)):
                    del self._waiting[attachment]
                    if self._is_due(attachment):
                        attachment.mark_dirty()
                await asyncio.sleep(0)
