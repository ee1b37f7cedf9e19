"""Keeps the controller told how this device is set up: with each Hello, when it changed, and from time to time (SPEC.md 6.7)."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import structlog

from client.host.device_facts import read_device_facts
from protocol.device_facts import DeviceFacts, facts_to_wire
from protocol.limits import FACTS_INTERVAL_S

LOOK_EVERY_S: Final = 60.0
LOOK_DEADLINE_S: Final = 5.0
"""A disk that hangs must not keep anybody from signing in."""

_log = structlog.get_logger(__name__)


class Teller(Protocol):
    """Who takes what is to be said (``client.daemon.control.ControlLink``)."""

    def say_facts(self, facts: Mapping[str, str]) -> None:
        """Says ``facts`` now, if there is a connection, and with each Hello from now on."""
        ...


class Posture:
    """One for each link. ``read`` blocks and is called in a thread; ``monotonic`` is in seconds."""

    def __init__(self, monotonic: Callable[[], float], read: Callable[[], DeviceFacts] = read_device_facts) -> None:
        self._monotonic = monotonic
        self._read = read
        self._said: dict[str, str] | None = None
        self._said_at = 0.0
        self._look: asyncio.Future[DeviceFacts] | None = None

    async def tell(self, teller: Teller) -> None:
        """Looks once, and tells if there is something to tell."""
        if self._look is None:
            self._look = asyncio.get_running_loop().run_in_executor(None, self._read)
        done, _ = await asyncio.wait({self._look}, timeout=LOOK_DEADLINE_S)
        if not done:
            # The thread stays where it hangs; there is never a second one.
            _log.warning("facts.not_read", after_s=LOOK_DEADLINE_S)
            return
        look, self._look = self._look, None
        facts = facts_to_wire(look.result())
        now = self._monotonic()
        if facts == self._said and now - self._said_at < FACTS_INTERVAL_S:
            return
        if facts != self._said:
            _log.info("facts", **facts)
        teller.say_facts(facts)
        self._said, self._said_at = facts, now

    async def keep_telling(self, teller: Teller) -> None:
        """Looks every LOOK_EVERY_S; runs until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.tell(teller)
