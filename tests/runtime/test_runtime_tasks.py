"""TaskScope: tasks end with their owner, crashes are never lost."""

import asyncio

import pytest

from runtime.backoff import Backoff
from runtime.tasks import TaskScope, cancel_and_wait


async def forever() -> None:
    await asyncio.Event().wait()


async def test_leaving_the_scope_ends_its_tasks() -> None:
    async with TaskScope("daemon") as scope:
        task = scope.spawn(forever(), name="worker")
        await asyncio.sleep(0)
        assert len(scope) == 1
    assert task.cancelled()
    assert task.get_name() == "daemon/worker"


async def test_a_crash_interrupts_the_body_and_is_raised() -> None:
    async def crash() -> None:
        raise ValueError("broken")

    other: list[asyncio.Task[None]] = []

    async def owner() -> None:
        async with TaskScope("daemon") as scope:
            other.append(scope.spawn(forever(), name="other"))
            scope.spawn(crash(), name="crash")
            await asyncio.Event().wait()

    with pytest.raises(ValueError, match="broken"):
        await owner()
    assert other[0].cancelled()
    # The interruption does not leak into what the owner does next.
    await asyncio.sleep(0)


async def test_a_crash_that_meets_a_finished_body_is_raised_and_leaves_no_cancellation_behind() -> None:
    async def crash() -> None:
        raise ValueError("broken")

    async def owner() -> None:
        async with TaskScope("daemon") as scope:
            task = scope.spawn(crash(), name="crash")
            await asyncio.wait([task])

    with pytest.raises(ValueError, match="broken"):
        await owner()
    await asyncio.sleep(0)


async def test_a_contained_crash_goes_to_its_handler() -> None:
    seen: list[Exception] = []

    async def crash() -> None:
        raise ValueError("one connection")

    async with TaskScope("daemon") as scope:
        task = scope.spawn(crash(), name="crash", on_crash=seen.append)
        await asyncio.wait([task])
        await asyncio.sleep(0)
    assert [str(error) for error in seen] == ["one connection"]


async def test_cancellation_from_outside_passes_through_and_ends_the_tasks() -> None:
    inner: list[asyncio.Task[None]] = []

    async def owner() -> None:
        async with TaskScope("daemon") as scope:
            inner.append(scope.spawn(forever(), name="worker"))
            await asyncio.Event().wait()

    async with TaskScope("test") as scope:
        task = scope.spawn(owner(), name="owner")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await cancel_and_wait(task)
        assert task.cancelled()
        assert inner[0].cancelled()


async def test_a_supervised_task_is_started_again_until_it_returns() -> None:
    runs = 0

    async def flaky() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise ValueError("again")

    async with TaskScope("daemon") as scope:
        scope.spawn_supervised(flaky, name="flaky", backoff=Backoff(jitter=lambda: 0.0))
        await scope.join()
    assert runs == 3


async def test_a_closed_scope_takes_no_tasks() -> None:
    async with TaskScope("daemon") as scope:
        pass
    with pytest.raises(RuntimeError, match="closed scope"):
        scope.spawn(forever(), name="late")


async def test_a_task_that_cleans_up_slowly_is_waited_for() -> None:
    cleaned = False

    async def careful() -> None:
        nonlocal cleaned
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned = True

    async with TaskScope("daemon") as scope:
        scope.spawn(careful(), name="careful")
        await asyncio.sleep(0)
    assert cleaned
