"""Connection records on their way to the controller: kept and resent until acknowledged, bounded, losses counted.

One batch is on the way at a time. A flow that is over before its start was sent costs one record, not two. The queue lives in
memory only; a restart loses what the controller has not acknowledged, and says so in its log.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from protocol.control import ConnectionRecord
from protocol.ids import FlowId
from protocol.limits import CONTROL_MESSAGE_MAX_BYTES, RECORDS_PER_MESSAGE

RECORDS_MAX: Final = 20_000
"""Some 10 MiB; an hour without the controller at five new flows a second."""
BATCH_MAX: Final = RECORDS_PER_MESSAGE
BATCH_MAX_BYTES: Final = CONTROL_MESSAGE_MAX_BYTES // 2
SPLIT_AFTER: Final = 3
"""Connections that ended, or deadlines that passed, with the same batch on its way."""
GIVE_UP_AFTER: Final = 10
"""The same for a single record: an outage does not look like this, a record that is refused does."""
_RECORD_BYTES: Final = 1_500
"""A record without its grants, at most: a host name has 253 characters."""
_GRANT_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Batch:
    """What one message takes: finished or denied flows, and such as are open for a while."""

    records: tuple[ConnectionRecord, ...] = ()
    opened: tuple[ConnectionRecord, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.records or self.opened)

    def __len__(self) -> int:
        return len(self.records) + len(self.opened)


class RecordQueue:
    """A bounded queue. When it is full the oldest record that is not on its way is dropped and counted.

    A record that makes the controller close the connection must not keep all others back for ever: a batch that came back
    several times is halved until the culprit is alone, and that one is given up (and counted) in the end.
    """

    def __init__(self, limit: int = RECORDS_MAX) -> None:
        self._limit = limit
        self._waiting: deque[ConnectionRecord] = deque()
        self._opened: dict[FlowId, ConnectionRecord] = {}
        self._sending = Batch()
        self._batch = BATCH_MAX
        self._failures = 0
        self.dropped = 0
        """Records lost because the queue was full, given up, or left behind by another identity, since the start."""

    def __len__(self) -> int:
        return len(self._waiting) + len(self._opened) + len(self._sending)

    @property
    def full_batch(self) -> bool:
        """Whether there is enough for a whole message."""
        return len(self._waiting) + len(self._opened) >= BATCH_MAX

    def opened(self, record: ConnectionRecord) -> None:
        """Queues what is to be said of an open flow, in place of what waits; without room it is left out, for its end will follow."""
        if record.flow in self._opened or len(self) < self._limit:
            self._opened[record.flow] = record

    def add(self, record: ConnectionRecord) -> None:
        """Queues a record of a finished or denied flow; a start of it that was not sent yet is not needed any more."""
        self._opened.pop(record.flow, None)
        self._waiting.append(record)
        if len(self) > self._limit:
            if self._opened:
                del self._opened[next(iter(self._opened))]
            else:
                self._waiting.popleft()
                self.dropped += 1

    def clear(self) -> None:
        """Forgets everything: it is another's. What was over is counted as lost."""
        self.dropped += len(self._waiting) + len(self._sending.records)
        self._waiting.clear()
        self._opened.clear()
        self._sending = Batch()
        self._failures = 0

    def next_batch(self, limit: int = BATCH_MAX) -> Batch:
        """Returns what to send next: the batch that is on its way if there is one, else the oldest records.

        Call ``acknowledged`` when the controller has stored it, ``came_back`` when the connection ended instead; then ask
        again.
        """
        if not self._sending:
            most, room = min(limit, self._batch), BATCH_MAX_BYTES
            opened: list[ConnectionRecord] = []
            ended: list[ConnectionRecord] = []
            while self._opened and len(opened) < most and (room := room - _size(_first(self._opened))) >= 0:
                opened.append(self._opened.pop(next(iter(self._opened))))
            while self._waiting and len(opened) + len(ended) < most and (room := room - _size(self._waiting[0])) >= 0:
                ended.append(self._waiting.popleft())
            self._sending = Batch(tuple(ended), tuple(opened))
        return self._sending

    def acknowledged(self) -> None:
        """Forgets the batch that was on its way."""
        self._sending = Batch()
        self._failures = 0
        self._batch = min(self._batch * 2, BATCH_MAX)

    def came_back(self) -> None:
        """The controller closed the connection while the batch was on its way."""
        self._failures += 1
        self._split()
        if len(self._sending) == 1 and self._failures >= GIVE_UP_AFTER:
            self._sending, self._failures = Batch(), 0
            self.dropped += 1

    def unanswered(self) -> None:
        """The controller said nothing to the batch, over a living connection: perhaps it was too much for it.

        Nothing is given up for that: a controller without its database looks the same.
        """
        if len(self._sending) > 1:
            self._failures += 1
            self._split()

    def _split(self) -> None:
        count = len(self._sending)
        if count > 1 and self._failures >= SPLIT_AFTER:
            self._waiting.extendleft(reversed(self._sending.records))
            ended = {record.flow for record in self._waiting}
            again = {record.flow: record for record in self._sending.opened if record.flow not in ended}
            self._opened = again | self._opened
            self._batch = count // 2
            self._sending, self._failures = Batch(), 0


def _size(record: ConnectionRecord) -> int:
    return _RECORD_BYTES + _GRANT_BYTES * len(record.grants)


def _first(opened: dict[FlowId, ConnectionRecord]) -> ConnectionRecord:
    return next(iter(opened.values()))
