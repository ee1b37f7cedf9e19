"""The time by which the connector judges tokens and grants: the controller's, whose they are, and not this host's (F-13)."""

from typing import Final

import structlog

from protocol.limits import CLOCK_WARN_S
from protocol.reasons import Reason
from runtime.agent_link import LinkState
from runtime.controller_clock import ControllerClock

_MS: Final = 1000

_log = structlog.get_logger(__name__)


class Timekeeper:
    """Keeps ``clock`` by what the link measured, and says when this host's own clock is wrong."""

    def __init__(self, clock: ControllerClock) -> None:
        self._clock = clock
        self._warned = False

    def look(self, link: LinkState, *, fresh: bool = False) -> None:
        """Call it every second or so; ``fresh`` right after connecting."""
        offset_ms = link.clock_offset_ms
        if offset_ms is not None and link.connected:
            self._clock.learn(offset_ms / _MS, fresh=fresh)
        wrong = offset_ms is not None and abs(offset_ms) > CLOCK_WARN_S * _MS
        if wrong and not self._warned:
            _log.warning("clock.wrong", offset_ms=offset_ms, next=Reason.CLOCK_OFFSET.next_step)
        self._warned = wrong
