"""first_success: order, head start, losers are released."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from protocol.errors import OstiaryError, RemoteError
from protocol.reasons import Reason
from runtime.race import first_success

Attempt = Callable[[], Coroutine[Any, Any, str]]


def answer(text: str) -> Attempt:
    async def attempt() -> str:
        return text

    return attempt


def fail(reason: Reason) -> Attempt:
    async def attempt() -> str:
        raise RemoteError(reason)

    return attempt


def never() -> Attempt:
    async def attempt() -> str:
        await asyncio.Event().wait()
        return "never"

    return attempt


async def race(*attempts: Attempt, delay_s: float = 0.01) -> tuple[str, list[str]]:
    lost: list[str] = []
    return await first_success(attempts, delay_s=delay_s, discard=lost.append), lost


async def test_the_best_wins_and_no_other_starts() -> None:
    started: list[str] = []

    async def second() -> str:
        started.append("second")
        return "second"

    assert await race(answer("first"), second, delay_s=10) == ("first", [])
    assert started == []


async def test_a_failure_starts_the_next_at_once() -> None:
    async with asyncio.timeout(60):
        assert await race(fail(Reason.TIMEOUT), answer("second"), delay_s=60) == ("second", [])


async def test_silence_starts_the_next_after_the_head_start() -> None:
    assert await race(never(), answer("second")) == ("second", [])


async def test_all_failed_raises_the_error_of_the_best() -> None:
    with pytest.raises(OstiaryError) as caught:
        await race(fail(Reason.CONNECTION_REFUSED), fail(Reason.TIMEOUT))
    assert caught.value.reason is Reason.CONNECTION_REFUSED


async def test_a_result_that_comes_second_is_released() -> None:
    go = asyncio.Event()

    async def both(name: str) -> str:
        await go.wait()
        return name

    async def opener() -> str:
        go.set()
        await asyncio.Event().wait()
        return ""

    winner, lost = await race(lambda: both("a"), lambda: both("b"), opener)
    assert {winner, *lost} == {"a", "b"}


async def test_cancelling_the_race_ends_its_attempts() -> None:
    ended = asyncio.Event()

    async def attempt() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await race(attempt)
    assert ended.is_set()
