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
SPLIT_AFTER: Final = 3
"""Connections that ended with the same batch on its way."""
GIVE_UP_AFTER: Final = 10
"""The same for a single record: an outage does not look like this, a record that is refused does."""


class RecordQueue:
    """A bounded queue. When it is full the oldest record that is not on its way is dropped and counted.

    A record that makes the controller close the connection must not keep all others back for ever: a batch that came back
    several times is halved until the culprit is alone, and that one is given up (and counted) in the end.
    """

    def __init__(self, limit: int = RECORDS_MAX) -> None:
        self._limit = limit
        self._waiting: deque[ConnectionRecord] = deque()
        self._sending: tuple[ConnectionRecord, ...] = ()
        self._batch = BATCH_MAX
        self._failures = 0
        self.dropped = 0
        """Records lost because the queue was full, or given up, since the start."""

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

        Call ``acknowledged`` when the controller has stored it, ``came_back`` when the connection ended instead; then ask
        again.
        """
        if not self._sending:
            count = min(limit, self._batch, len(self._waiting))
            self._sending = tuple(self._waiting.popleft() for _ in range(count))
        return self._sending

    def acknowledged(self) -> None:
        """Forgets the batch that was on its way."""
        self._sending = ()
        self._failures = 0
        self._batch = min(self._batch * 2, BATCH_MAX)

    def came_back(self) -> None:
        """The controller closed the connection while the batch was on its way."""
        self._failures += 1
        if len(self._sending) > 1 and self._failures >= SPLIT_AFTER:
            self._waiting.extendleft(reversed(self._sending))
            self._batch = len(self._sending) // 2
            self._sending, self._failures = (), 0
        elif len(self._sending) == 1 and self._failures >= GIVE_UP_AFTER:
            self._sending, self._failures = (), 0
            self.dropped += 1
