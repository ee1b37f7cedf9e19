"""Every task has an owner and a name (style principle 13).

A ``TaskScope`` is the only place that creates asyncio tasks. Leaving the scope ends what still runs in it: the scope is
the life of its owner. Three ways to live in it:

    spawn(coro)                 a crash ends the whole scope and is raised where the scope is left
    spawn(coro, on_crash=f)     a crash is handed to ``f``, which fails that one connection closed
    spawn_supervised(factory)   a crash is logged and the task is started again after a pause

Cancelling one task from outside ends that task only.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from runtime.backoff import Backoff

T = TypeVar("T")

STOP_DEADLINE_S: Final = 10.0
"""A task that has not obeyed its cancellation after this long is reported and given up."""
STABLE_AFTER_S: Final = 30.0
"""A supervised task that ran this long starts over with the shortest pause."""


class TaskScope:
    """Owns named tasks; an async context manager. Leaving it cancels what still runs and waits for it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._tasks: set[asyncio.Task[Any]] = set()
        self._owner: asyncio.Task[Any] | None = None
        self._crash: BaseException | None = None
        self._owner_interrupted = False
        self._closed = False

    async def __aenter__(self) -> Self:
        self._owner = asyncio.current_task()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        owner, self._owner = self._owner, None
        ours_alone = False
        if self._owner_interrupted and owner is not None:
            # Our own request to stop the body, not somebody else's cancellation: take it back.
            ours_alone = owner.uncancel() == 0
            if not isinstance(exc, asyncio.CancelledError):
                # The body ended before the request reached it; Python 3.11 would deliver it at the owner's next wait.
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
        await self._stop_all()
        if self._crash is not None and (exc is None or (isinstance(exc, asyncio.CancelledError) and ours_alone)):
            raise self._crash

    @property
    def closed(self) -> bool:
        """True once the scope was left; it takes no more tasks."""
        return self._closed

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str,
        on_crash: Callable[[Exception], None] | None = None,
    ) -> asyncio.Task[T]:
        """Starts ``coro`` as a task of this scope.

        Raises RuntimeError when the scope is closed.
        """
        if self._closed:
            coro.close()
            raise RuntimeError(f"task {name!r} started in the closed scope {self.name!r}")
        task = asyncio.get_running_loop().create_task(coro, name=f"{self.name}/{name}")
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._finished(done, on_crash))
        return task

    def spawn_supervised(
        self, factory: Callable[[], Coroutine[Any, Any, None]], *, name: str, backoff: Backoff | None = None
    ) -> asyncio.Task[None]:
        """Runs ``factory()`` again after each crash, with backoff; a normal return ends it."""
        return self.spawn(_supervise(factory, f"{self.name}/{name}", backoff or Backoff()), name=name)

    def cancel(self) -> None:
        """Asks every task to stop; does not wait."""
        for task in tuple(self._tasks):
            task.cancel()

    async def join(self) -> None:
        """Waits until every task has ended by itself (a crash interrupts this wait)."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def _finished(self, task: asyncio.Task[Any], on_crash: Callable[[Exception], None] | None) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        if on_crash is not None and isinstance(error, Exception):
            on_crash(error)
            return
        if self._crash is not None:
            _log().error("task.crashed_too", task=task.get_name(), exc_info=error)
            return
        self._crash = error
        self.cancel()
        if self._owner is not None and not self._owner.done():
            self._owner_interrupted = True
            self._owner.cancel()

    async def _stop_all(self) -> None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + STOP_DEADLINE_S
        interrupted: asyncio.CancelledError | None = None
        self.cancel()
        while self._tasks and loop.time() < give_up:
            try:
                await asyncio.wait(tuple(self._tasks), timeout=give_up - loop.time())
            except asyncio.CancelledError as exc:
                interrupted = exc
                self.cancel()
        for task in self._tasks:
            _log().error("task.ignores_cancellation", task=task.get_name())
        if interrupted is not None:
            raise interrupted


async def _supervise(factory: Callable[[], Coroutine[Any, Any, None]], name: str, backoff: Backoff) -> None:
    loop = asyncio.get_running_loop()
    while True:
        started = loop.time()
        try:
            await factory()
        except Exception as exc:  # noqa: BLE001 - a supervisor exists to see every crash; it is logged and counted
            if loop.time() - started > STABLE_AFTER_S:
                backoff.reset()
            delay = backoff.next()
            _log().error("task.crashed", task=name, retry_in_s=round(delay, 2), exc_info=exc)
            await asyncio.sleep(delay)
        else:
            return


async def cancel_and_wait(task: asyncio.Task[Any]) -> None:
    """Cancels one task and waits (bounded) for its end; its own errors are its scope's business."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait((task,), timeout=STOP_DEADLINE_S)


def _log() -> Any:
    # Imported late: it takes longer than all else that a command which makes one request needs.
    import structlog

    return structlog.get_logger(__name__)
