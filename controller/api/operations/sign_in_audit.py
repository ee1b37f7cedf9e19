"""What sign-ins leave in the log: successes, ends, and failures within a bound (T-9, D10)."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Final

from controller.api.services import Services
from controller.domain.commands import RecordSignInFailure
from controller.domain.commands_sign_in import RecordOmittedFailures
from protocol.ids import UserId

ACTOR = "sign_in"
FLUSH_S: Final = 300.0


async def record_failure(services: Services, user: UserId | None, cause: str, request_id: str, now: float) -> None:
    """Leaves an event of a failed sign-in, or only counts it when there are too many."""
    if not services.failures.admit(now):
        return
    omitted = services.failures.take_omitted()
    with _kept_unless_written(services, omitted + 1):
        async with services.store.write(actor=ACTOR, request_id=request_id, now=now) as unit:
            await unit.execute(RecordOmittedFailures(omitted))
            await unit.execute(RecordSignInFailure(user if user in unit.state.users else None, cause))


async def flush_failures(services: Services, now: float) -> None:
    """Writes the count of failures that were not written one by one, if there are any."""
    omitted = services.failures.take_omitted()
    if not omitted:
        return
    with _kept_unless_written(services, omitted):
        async with services.store.write(actor=ACTOR, request_id="housekeeping", now=now) as unit:
            await unit.execute(RecordOmittedFailures(omitted))


@contextlib.contextmanager
def _kept_unless_written(services: Services, failures: int) -> Iterator[None]:
    """A database that is away or busy costs no failure its trace."""
    try:
        yield
    except BaseException:
        services.failures.keep(failures)
        raise


async def keep_counts(services: Services) -> None:
    """Writes such counts every now and then, in each process for itself; runs until cancelled."""
    while True:
        await asyncio.sleep(FLUSH_S)
        await flush_failures(services, services.clock.wall())
