"""Notices that this host is elsewhere now: another address towards the internet, or a gap in time (F-17, F-18).

Connected TCP sockets do not notice either by themselves for minutes. The kernel's word that something changed only wakes
``Watch``: what counts is whether sockets would leave by another address, so that containers and other programs that come
and go disturb nobody.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Final

import structlog

from client.host.network_events import NetworkEvents
from runtime.controller_clock import ControllerClock

GAP_S: Final = 4.0
"""Looks come every second: a gap is a host that slept, or a process that was stopped."""
SLEPT_S: Final = 0.5
"""So much more by the clock that goes on in a suspended host, and it was suspended."""
LOOK_EVERY_S: Final = 1.0
SETTLE_S: Final = 0.05
"""After the kernel's word: an address is configured in several steps."""
_ELSEWHERE: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
"""RFC 5737, RFC 3849: nobody lives there, and nothing is sent."""

_log = structlog.get_logger(__name__)


class NetworkWatch:
    """Call ``look`` every second, and when the kernel says that something changed.

    Args:
        counter: seconds that go on while the host sleeps.
        addresses: this host's addresses towards the internet, as ``own_addresses`` tells them.
        awake: seconds that stand still while the host sleeps; without it only long gaps are noticed.
    """

    def __init__(
        self,
        counter: Callable[[], float],
        addresses: Callable[[], tuple[str | None, ...]],
        awake: Callable[[], float] | None = None,
    ) -> None:
        self._counter = counter
        self._addresses = addresses
        self._awake = counter if awake is None else awake
        self._last = counter()
        self._last_awake = self._awake()
        self._known = addresses()

    def look(self) -> str | None:
        """Returns what has changed since the last look; None when nothing has."""
        now, last = self._counter(), self._last
        awake, last_awake = self._awake(), self._last_awake
        self._last, self._last_awake = now, awake
        seen, known = self._addresses(), self._known
        self._known = seen
        slept = (now - last) - (awake - last_awake)
        if slept > SLEPT_S:
            return f"the host slept for {slept:.0f} s"
        if now - last > GAP_S:
            return f"{now - last:.0f} s went by unseen"
        # An address that is gone changes nothing yet: nothing new could be reached. Its return, or another one, does.
        if seen != known and any(seen):
            return "own addresses"
        return None


async def follow(clock: ControllerClock, mark: int | None, *moved: Callable[[], None]) -> None:
    """Calls each of ``moved`` when this host is elsewhere, for ever."""

    def changed(what: str) -> None:
        _log.info("network.changed", what=what)
        for tell in moved:
            tell()

    addresses = lambda: own_addresses(mark)  # noqa: E731 - looked up anew each time
    await watch(NetworkWatch(clock.counter, addresses, clock.monotonic), changed)


async def watch(network: NetworkWatch, changed: Callable[[str], None]) -> None:
    """Looks for ever, and says what has changed."""
    with NetworkEvents() as events:
        while True:
            if await events.wait(LOOK_EVERY_S):
                await asyncio.sleep(SETTLE_S)
            change = network.look()
            if change is not None:
                changed(change)


def own_addresses(mark: int | None) -> tuple[str | None, ...]:
    """Returns the source addresses that sockets with this SO_MARK would use towards the internet, by IP version."""
    return tuple(_source(family, elsewhere, mark) for family, elsewhere in _ELSEWHERE)


def is_here(address: str) -> bool:
    """Tells whether this host (still) has ``address``; a connection from one that it lost is dead, whatever the kernel says."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((address.partition("%")[0], 0))
        except OSError as exc:
            return exc.errno != errno.EADDRNOTAVAIL
    return True


def _source(family: socket.AddressFamily, elsewhere: str, mark: int | None) -> str | None:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            if mark is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            sock.connect((elsewhere, 9))
        except OSError:
            return None
        return str(sock.getsockname()[0])
