"""A relay whose clock is wrong refuses everybody's tickets; here it is said why (F-13). Nobody tells it the right time."""

from typing import Final

import structlog

from protocol.errors import OstiaryError
from protocol.reasons import Reason
from runtime.clock import Clock

SAY_EVERY_S: Final = 60.0
_OUT_OF_TIME: Final = frozenset({Reason.TOKEN_EXPIRED, Reason.TOKEN_NOT_YET_VALID})
"""Said of tickets alone whose signature was right."""

_log = structlog.get_logger(__name__)


class ClockDoubt:
    """Hears every refusal, and says at most once a minute that genuine tickets are out of time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._quiet_until = clock.monotonic()

    def hear(self, error: OstiaryError) -> None:
        """``error`` is why a ticket was refused."""
        now = self._clock.monotonic()
        if error.reason not in _OUT_OF_TIME or now < self._quiet_until:
            return
        self._quiet_until = now + SAY_EVERY_S
        _log.warning("clock.doubted", reason=error.reason.code, detail=error.detail, next=Reason.CLOCK_OFFSET.next_step)
