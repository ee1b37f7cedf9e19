"""Starting several attempts one after the other and keeping the first that succeeds (RFC 8305)."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from protocol.errors import OstiaryError
from runtime.tasks import TaskScope

T = TypeVar("T")


async def first_success(
    attempts: Sequence[Callable[[], Coroutine[Any, Any, T]]],
    *,
    delay_s: float,
    discard: Callable[[T], None],
) -> T:
    """Runs ``attempts`` until one succeeds; the next one starts after ``delay_s``, or at once when all before it failed.

    Args:
        attempts: at least one factory, best first.
        delay_s: head start of each attempt.
        discard: releases the result of an attempt that came second.

    Raises:
        OstiaryError, OSError: the error of the first (best) attempt, when all failed.
    """
    outcomes: list[asyncio.Task[T | OstiaryError | OSError]] = []
    winner: T | None = None
    won = False
    try:
        async with TaskScope("race") as scope:
            waiting = list(attempts)
            pending: set[asyncio.Task[T | OstiaryError | OSError]] = set()
            while waiting or pending:
                if waiting:
                    task = scope.spawn(_settle(waiting.pop(0)), name=f"attempt-{len(outcomes)}")
                    outcomes.append(task)
                    pending.add(task)
                done, pending = await asyncio.wait(
                    pending, timeout=delay_s if waiting else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    outcome = task.result()
                    if not isinstance(outcome, OstiaryError | OSError):
                        winner, won = outcome, True
                        return outcome
        first = outcomes[0].result()
        assert isinstance(first, OstiaryError | OSError)
        raise first
    finally:
        for task in outcomes:
            if task.done() and not task.cancelled() and task.exception() is None:
                result = task.result()
                if not isinstance(result, OstiaryError | OSError) and not (won and result is winner):
                    discard(result)


async def _settle(attempt: Callable[[], Coroutine[Any, Any, T]]) -> T | OstiaryError | OSError:
    try:
        return await attempt()
    except (OstiaryError, OSError) as exc:
        return exc
