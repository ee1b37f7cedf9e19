"""When the hub looks at the clock: when something is due, and now and then."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from runtime.clock import Clock

TICK_S: Final = 5.0
"""At the latest, timers are looked at again: the wall clock may have been set."""


async def keep_ticking(
    tick: Callable[[], None], next_due: Callable[[], int | None], clock: Clock, changed: asyncio.Event
) -> None:
    """Calls ``tick`` whenever ``next_due`` (Unix seconds) has come, and every TICK_S; runs until cancelled.

    ``changed`` says that the next moment may be another one. That alone is no reason to tick, which looks at every
    agent: after a restart arrivals come by the hundred in a second.
    """
    while True:
        tick()
        # Whatever is due: others get their turn.
        await asyncio.sleep(0)
        latest = clock.monotonic() + TICK_S
        while (wait := _until(next_due(), latest, clock)) > 0:
            changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await changed.wait()


def _until(due: int | None, latest: float, clock: Clock) -> float:
    wait = latest - clock.monotonic()
    return wait if due is None else min(wait, due - clock.wall())
