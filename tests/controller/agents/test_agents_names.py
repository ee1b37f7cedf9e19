"""The names of people who arrive together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from controller.agents import names as agents_names
from controller.agents.names import Names
from controller.store import credentials
from controller.store.credentials import PersonalData
from protocol.errors import LocalError
from protocol.reasons import Reason

DEADLINE_S = 20


class Database:
    """Stands for the store. Reads wait for ``open``; ``read`` are the subjects of each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = asyncio.Event()
        self.entered = asyncio.Event()
        self.reads = 0
        self.asked: list[list[str]] = []
        self.away = False
        self.hangs = False
        monkeypatch.setattr(credentials, "get_many", self._get_many)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[None]:
        self.reads += 1
        self.entered.set()
        await self.open.wait()
        if self.away:
            raise LocalError(Reason.UNAVAILABLE, "away")
        yield None

    async def _get_many(self, _: Any, subjects: Any) -> dict[str, PersonalData]:
        self.asked.append(sorted(subjects))
        if self.hangs:
            await asyncio.Event().wait()
        return {
            subject: PersonalData(subject, None, {"name": f"name of {subject}"})
            for subject in subjects
            if subject != "nobody"
        }


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    return Database(monkeypatch)


async def test_those_who_wait_are_asked_for_together(database: Database) -> None:
    names = Names(database)  # type: ignore[arg-type]
    first = asyncio.create_task(names.of("a"))
    await database.entered.wait()
    others = [asyncio.create_task(names.of(user)) for user in ("b", "c", "b", "nobody")]
    await asyncio.sleep(0)
    database.open.set()
    async with asyncio.timeout(DEADLINE_S):
        assert await asyncio.gather(first, *others) == ["name of a", "name of b", "name of c", "name of b", ""]
    assert len(database.asked) <= 2


async def test_nothing_is_kept(database: Database) -> None:
    database.open.set()
    names = Names(database)  # type: ignore[arg-type]
    for _ in range(2):
        assert await names.of("a") == "name of a"
    assert database.asked == [["a"], ["a"]]


async def test_without_the_database_everybody_goes_on_without_a_name(database: Database) -> None:
    database.away = True
    database.open.set()
    names = Names(database)  # type: ignore[arg-type]
    async with asyncio.timeout(DEADLINE_S):
        assert await asyncio.gather(*(names.of(user) for user in ("a", "b", "a"))) == ["", "", ""]


async def test_a_read_that_hangs_is_given_up(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents_names, "DEADLINE_S", 0.05)
    database.hangs = True
    database.open.set()
    names = Names(database)  # type: ignore[arg-type]
    async with asyncio.timeout(DEADLINE_S):
        assert await asyncio.gather(*(names.of(user) for user in ("a", "b", "a"))) == ["", "", ""]
    database.hangs = False
    async with asyncio.timeout(DEADLINE_S):
        assert await names.of("a") == "name of a"


async def test_one_failure_answers_all_who_wait_by_then(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents_names, "TOGETHER_MAX", 2)
    database.away = True
    names = Names(database)  # type: ignore[arg-type]
    waiting = [asyncio.create_task(names.of(user)) for user in "abcde"]
    await database.entered.wait()
    waiting.append(asyncio.create_task(names.of("late")))
    await asyncio.sleep(0)
    database.open.set()
    async with asyncio.timeout(DEADLINE_S):
        assert await asyncio.gather(*waiting) == [""] * 6
    assert database.reads == 1


async def test_one_who_leaves_while_he_reads_spoils_nobody_elses_name(database: Database) -> None:
    names = Names(database)  # type: ignore[arg-type]
    leaving = asyncio.create_task(names.of("a"))
    await database.entered.wait()
    staying = asyncio.create_task(names.of("b"))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    database.open.set()
    async with asyncio.timeout(DEADLINE_S):
        assert await staying == "name of b"
