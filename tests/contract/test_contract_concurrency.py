"""Several connections and several processes at once (D6, D7; T-7)."""

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from log_checks import verify_chain
from policy_world import START
from store_steps import give, new_network, unit_of

from controller.domain.log import Change, Resync
from controller.store import Store, Subscription, engine, enrolments
from controller.store import store as store_module
from protocol.errors import LocalError, RefusedError
from protocol.reasons import Reason

DEADLINE_S = 30


async def collect(subscription: Subscription, count: int) -> list[Change]:
    seen: list[Change] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(seen) < count:
            news = await subscription.next()
            assert not isinstance(news, Resync)
            seen += news
    return seen


async def end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_t7_an_open_transaction_hides_nothing_from_any_subscriber(url: str, store: Store) -> None:
    other = await Store.open(url)
    followers = [asyncio.create_task(through.follow()) for through in (store, other)]
    held, release = asyncio.Event(), asyncio.Event()

    async def slow_writer() -> None:
        async with unit_of(store) as unit:
            await unit.execute(new_network("slow"))
            held.set()
            await release.wait()

    async def quick_writer(through: Store) -> None:
        for _ in range(10):
            await give(through, new_network())

    subscriptions = [store.feed.subscribe(), other.feed.subscribe()]
    readers = [asyncio.create_task(collect(subscription, 61)) for subscription in subscriptions]
    slow = asyncio.create_task(slow_writer())
    await asyncio.wait_for(held.wait(), DEADLINE_S)
    writers = [asyncio.create_task(quick_writer(through)) for through in (store, other) for _ in range(3)]
    # The others wait for the lock: nothing can be committed in front of what is not committed yet.
    done, _ = await asyncio.wait(writers, timeout=0.2)
    assert not done
    assert store.feed.head.position == other.feed.head.position == 0
    release.set()
    await asyncio.gather(slow, *writers)
    for reader in readers:
        changes = await reader
        assert [change.position for change in changes] == list(range(1, 62))
    assert store.feed.state == other.feed.state
    assert (await verify_chain(store)).checked == 61
    for follower in followers:
        await end(follower)
    await other.close()


async def test_d6_several_processes_make_one_dense_log(url: str, store: Store) -> None:
    follower = asyncio.create_task(store.follow())
    subscription = store.feed.subscribe()
    program = str(Path(__file__).with_name("log_writer.py"))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, program, url, "15", env=environment, stderr=asyncio.subprocess.PIPE
        )
        for _ in range(3)
    ]
    own = [give(store, new_network()) for _ in range(15)]
    await asyncio.gather(*own)
    for process in processes:
        _, complaint = await asyncio.wait_for(process.communicate(), DEADLINE_S)
        assert process.returncode == 0, complaint.decode()
    changes = await collect(subscription, 60)
    assert [change.position for change in changes] == list(range(1, 61))
    report = await verify_chain(store)
    assert (report.checked, report.faults) == (60, ())
    await end(follower)


async def test_d7_a_one_time_secret_is_spent_once(url: str, store: Store) -> None:
    other = await Store.open(url)
    async with unit_of(store) as unit:
        await enrolments.create(
            unit.connection, "hash", kind="connector", target="con_x", expires=START + 60, now=START
        )

    async def take(through: Store) -> str:
        try:
            async with unit_of(through) as unit:
                return (await enrolments.take(unit.connection, "hash", START + 1)).target
        except RefusedError as error:
            return error.reason.code

    outcomes = await asyncio.gather(*(take(through) for through in (store, other) for _ in range(10)))
    assert sorted(outcomes) == ["con_x"] + ["enrolment_used"] * 19
    await other.close()


async def test_d7_a_unit_that_fails_gives_the_secret_back(store: Store) -> None:
    async with unit_of(store) as unit:
        await enrolments.create(unit.connection, "hash", kind="relay", target="rel_x", expires=START + 60, now=START)
    with suppress(ZeroDivisionError):
        async with unit_of(store) as unit:
            await enrolments.take(unit.connection, "hash", START + 1)
            raise ZeroDivisionError
    async with unit_of(store) as unit:
        assert (await enrolments.take(unit.connection, "hash", START + 1)).target == "rel_x"


async def test_a_writer_does_not_wait_for_ever_for_its_turn(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "WRITE_QUEUE_S", 0.05)
    async with unit_of(store):
        with pytest.raises(LocalError) as failed:
            await give(store, new_network())
    assert failed.value.reason is Reason.UNAVAILABLE
    await give(store, new_network())


async def test_a_writer_does_not_wait_for_ever_for_another_process(
    url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LOCK_WAIT_S", 1)
    impatient = await Store.open(url)
    async with unit_of(store):
        with pytest.raises(LocalError) as failed:
            await give(impatient, new_network())
    assert failed.value.reason is Reason.UNAVAILABLE
    await give(impatient, new_network())
    await impatient.close()


async def test_a_cancelled_writer_leaves_the_log_free(store: Store) -> None:
    inside = asyncio.Event()

    async def stuck() -> None:
        async with unit_of(store) as unit:
            await unit.execute(new_network())
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(stuck())
    await asyncio.wait_for(inside.wait(), DEADLINE_S)
    await end(task)
    await give(store, new_network())
    assert store.feed.head.position == 1


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_writers_of_one_process_go_in_the_order_in_which_they_came(store: Store) -> None:
    """SQLite's own lock lets in whoever looks at the right moment: under load one of many would wait until it is given up."""
    order: list[str] = []
    held, release = asyncio.Event(), asyncio.Event()

    async def holder() -> None:
        async with store.transact():
            held.set()
            await release.wait()

    async def appends() -> None:
        await give(store, new_network())
        order.append("log")

    async def writes(name: str) -> None:
        async with store.transact():
            order.append(name)

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        group.create_task(holder())
        await held.wait()
        for job in (writes("one"), appends(), writes("two"), writes("three")):
            group.create_task(job)
            await asyncio.sleep(0)
        release.set()
    assert order == ["one", "log", "two", "three"]
