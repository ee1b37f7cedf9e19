"""From what a client says of its device to an event, when there is something to write (decision S-13)."""

from collections.abc import Mapping
from typing import Final

import structlog

from controller.domain.commands_policies import ReportDeviceFacts
from controller.domain.decide import decide
from controller.identity.rate_limit import RateLimitedError, RateLimiter
from controller.store import Store
from protocol.device_facts import facts_from_wire_untrusted
from protocol.errors import LocalError
from protocol.ids import DeviceId
from protocol.reasons import Reason
from runtime.clock import Clock
from runtime.entropy import new_id

CHANGES_PER_MINUTE: Final = 2
CHANGES_BURST: Final = 20
"""Every change stays in the log for ever; a device that keeps changing its mind fills no disk."""

_log = structlog.get_logger(__name__)


class FactsRecorder:
    """One for all connections, so that coming again does not get around its limit."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._limiter = RateLimiter("facts", per_minute=CHANGES_PER_MINUTE, burst=CHANGES_BURST)

    async def record(self, device: DeviceId, said: Mapping[str, str]) -> None:
        """Writes what changed, or what must be known to be still so. Facts that cannot be written now grow old: the client
        repeats them, and conditions that ask for younger ones are not met meanwhile."""
        now = self._clock.wall()
        command = ReportDeviceFacts(device, facts_from_wire_untrusted(said), int(now))
        if not decide(self._store.feed.state, command):
            return
        try:
            self._limiter.spend(device, self._clock.monotonic())
            async with self._store.write(actor=device, request_id=new_id("event"), now=now) as unit:
                if device in unit.state.devices:
                    await unit.execute(command)
        except RateLimitedError as error:
            _log.warning("facts.too_often", device=device, detail=error.detail)
        except LocalError as error:
            if error.reason is not Reason.UNAVAILABLE:
                raise
            _log.warning("facts.not_written", device=device, detail=error.detail)
