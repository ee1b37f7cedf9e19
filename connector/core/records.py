"""Connection records on their way to the controller: kept and resent until acknowledged, bounded, losses counted.

One batch is on the way at a time. The queue lives in memory only; a restart loses what the controller has not
acknowledged, and says so in its log.
"""

from collections import deque
from typing import Final

from protocol.control import ConnectionRecord

RECORDS_MAX: Final = 20_000
"""Some 10 MiB; an hour without the controller at five new flows a second."""
BATCH_MAX: Final = 256
"""About 150 KiB in one message."""


class RecordQueue:
    """A bounded queue. When it is full the oldest record that is not on its way is dropped and counted."""

    def __init__(self, limit: int = RECORDS_MAX) -> None:
        self._limit = limit
        self._waiting: deque[ConnectionRecord] = deque()
        self._sending: tuple[ConnectionRecord, ...] = ()
        self.dropped = 0
        """Records lost because the queue was full, since the start."""

    def __len__(self) -> int:
        return len(self._waiting) + len(self._sending)

    def add(self, record: ConnectionRecord) -> None:
        """Queues a record of a finished or denied flow."""
        self._waiting.append(record)
        if len(self) > self._limit:
            self._waiting.popleft()
            self.dropped += 1

    def next_batch(self, limit: int = BATCH_MAX) -> tuple[ConnectionRecord, ...]:
        """Returns what to send next: the batch that is on its way if there is one, else the oldest records.

        Call ``acknowledged`` when the controller has stored it; ask again to resend it.
        """
        if not self._sending:
            self._sending = tuple(self._waiting.popleft() for _ in range(min(limit, len(self._waiting))))
        return self._sending

    def acknowledged(self) -> None:
        """Forgets the batch that was on its way."""
        self._sending = ()
