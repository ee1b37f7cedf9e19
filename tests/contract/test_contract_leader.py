"""One leader at a time, and another one soon after it is gone."""

import asyncio
from contextlib import suppress

import pytest
from postgres_cluster import Cluster
from store_steps import raw_connection

from controller.store import Store, leader
from protocol.errors import LocalError
from protocol.reasons import Reason

DEADLINE_S = 20


class Duties:
    """Notes when they run and when they end."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self) -> None:
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()


async def end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_leader_does_its_duties_and_ends_them(store: Store) -> None:
    duties = Duties()
    task = asyncio.create_task(store.lead(duties))
    await asyncio.wait_for(duties.began.wait(), DEADLINE_S)
    await end(task)
    assert duties.ended.is_set()


async def test_duties_that_end_give_the_lead_up(store: Store) -> None:
    done: list[int] = []

    async def once() -> None:
        done.append(1)

    await asyncio.wait_for(store.lead(once), DEADLINE_S)
    await asyncio.wait_for(store.lead(once), DEADLINE_S)
    assert len(done) == 2


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_there_is_one_leader_and_another_after_it(
    url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader, "RETRY_S", 0.05)
    other = await Store.open(url)
    first, second = Duties(), Duties()
    leading = asyncio.create_task(store.lead(first))
    await asyncio.wait_for(first.began.wait(), DEADLINE_S)
    waiting = asyncio.create_task(other.lead(second))
    done, _ = await asyncio.wait((waiting,), timeout=0.5)
    assert not done
    assert not second.began.is_set()
    await end(leading)
    await asyncio.wait_for(second.began.wait(), DEADLINE_S)
    await end(waiting)
    await other.close()


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_f10_a_leader_that_loses_the_database_stops(
    url: str, store: Store, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader, "CHECK_S", 0.05)
    duties = Duties()
    leading = asyncio.create_task(store.lead(duties))
    await asyncio.wait_for(duties.began.wait(), DEADLINE_S)
    async with raw_connection(url) as connection:
        await connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid() "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    with pytest.raises(LocalError) as lost:
        await asyncio.wait_for(leading, DEADLINE_S)
    assert lost.value.reason is Reason.UNAVAILABLE
    assert duties.ended.is_set()
