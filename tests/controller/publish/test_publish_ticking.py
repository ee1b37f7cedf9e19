"""When the hub looks at the clock."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from controller.publish.ticking import keep_ticking
from runtime.clock import SystemClock

DEADLINE_S = 20


@pytest.fixture(autouse=True)
def no_tick_for_its_own_sake(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ticks within a test was due."""
    monkeypatch.setattr("controller.publish.ticking.TICK_S", 3600.0)


class Ticks:
    """Counts; ``due`` is the next moment."""

    def __init__(self) -> None:
        self.count = 0
        self.due: int | None = None
        self.changed = asyncio.Event()
        self._news = asyncio.Event()

    def tick(self) -> None:
        self.count += 1
        self.due = None
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._news.clear()
                await self._news.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(keep_ticking(self.tick, lambda: self.due, SystemClock(), self.changed))
        try:
            await self.until(lambda: self.count > 0)
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_what_is_due_is_looked_at_at_once() -> None:
    ticks = Ticks()
    async with ticks.running():
        ticks.due = int(SystemClock().wall()) - 1
        ticks.changed.set()
        await ticks.until(lambda: ticks.count == 2)


async def test_moments_that_were_set_are_no_reason_to_look_at_everybody() -> None:
    ticks = Ticks()
    async with ticks.running():
        ticks.due = int(SystemClock().wall()) + 3600
        for _ in range(1_000):
            ticks.changed.set()
            await asyncio.sleep(0)
        assert ticks.count <= 3


async def test_it_looks_now_and_then_whatever_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock may have been set."""
    monkeypatch.setattr("controller.publish.ticking.TICK_S", 0.05)
    ticks = Ticks()
    async with ticks.running():
        ticks.due = int(SystemClock().wall()) + 3600
        await ticks.until(lambda: ticks.count == 2)
