"""The reporter: records wait for company, a full batch and an ending connector do not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from flow_records import connector_record

from protocol.control import Message, Records, RecordsAccepted
from protocol.errors import RemoteError
from protocol.reasons import Reason
from runtime import record_reporter as module
from runtime.record_queue import BATCH_MAX, GIVE_UP_AFTER, SPLIT_AFTER, RecordQueue
from runtime.record_reporter import Reporter
from runtime.tasks import TaskScope


@dataclass
class Link:
    """The link to the controller: answers at once, or fails as told."""

    sent: list[Records] = field(default_factory=list)
    failures: list[Reason] = field(default_factory=list)
    state: "Link" = field(init=False)
    connected: bool = True
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.state = self

    def next_id(self) -> int:
        return len(self.sent) + 1

    async def request(self, message: Message) -> Message:
        assert isinstance(message, Records)
        self.sent.append(message)
        self.arrived.set()
        await asyncio.sleep(0)
        if self.failures:
            raise RemoteError(self.failures.pop(0), "")
        return RecordsAccepted(message.id)

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.sent) < count:
                self.arrived.clear()
                await self.arrived.wait()


@asynccontextmanager
async def running(queue: RecordQueue, link: Link) -> AsyncIterator[Reporter]:
    reporter = Reporter(queue, link, on_progress=lambda: None)  # type: ignore[arg-type]
    async with TaskScope("test") as scope:
        scope.spawn(reporter.run(), name="reporter")
        yield reporter
        scope.cancel()


async def test_records_wait_for_company(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.05)
    queue, link = RecordQueue(), Link()
    async with running(queue, link) as reporter:
        for number in range(3):
            queue.add(connector_record(number))
            reporter.wake()
            await asyncio.sleep(0)
        await link.wait(1)
    assert [len(message.records) for message in link.sent] == [3]


async def test_a_full_batch_goes_at_once_and_the_rest_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 3600.0)
    queue, link = RecordQueue(), Link()
    async with running(queue, link) as reporter:
        for number in range(2 * BATCH_MAX + 1):
            queue.add(connector_record(number))
            reporter.wake()
        await link.wait(2)
        assert len(queue) == BATCH_MAX + 1  # the second one is on its way
        reporter.hurry()
        await link.wait(3)
    assert [len(message.records) for message in link.sent] == [BATCH_MAX, BATCH_MAX, 1]


async def test_a_batch_that_got_no_answer_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    monkeypatch.setattr(module.Backoff, "next", lambda _self: 0.0)
    queue, link = RecordQueue(), Link(failures=[Reason.TIMEOUT, Reason.CONTROLLER_UNREACHABLE])
    async with running(queue, link) as reporter:
        queue.add(connector_record(1))
        reporter.wake()
        await link.wait(3)
        await asyncio.sleep(0.01)
    assert [message.records for message in link.sent] == [(connector_record(1),)] * 3
    assert len(queue) == 0


async def test_t9_a_batch_that_is_never_answered_is_split_and_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is too much for the controller at once must not be sent for ever; without its database it looks the same."""
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    monkeypatch.setattr(module.Backoff, "next", lambda _self: 0.0)
    patience = 2 * SPLIT_AFTER + 2 * GIVE_UP_AFTER
    queue, link = RecordQueue(), Link(failures=[Reason.TIMEOUT] * patience)
    async with running(queue, link) as reporter:
        for number in range(4):
            queue.add(connector_record(number))
        reporter.wake()
        await link.wait(patience + 3)
        reporter.hurry()
        async with asyncio.timeout(5):
            while len(queue):
                await asyncio.sleep(0.01)
    sizes = [len(message.records) for message in link.sent]
    assert sizes[: 2 * SPLIT_AFTER + 1] == [4] * SPLIT_AFTER + [2] * SPLIT_AFTER + [1]
    assert set(sizes[2 * SPLIT_AFTER : patience]) == {1}
    assert queue.dropped == 0
