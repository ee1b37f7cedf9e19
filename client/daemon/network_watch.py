"""Notices that this host is elsewhere now: another address towards the internet, or a gap in time (F-17, F-18).

Connected TCP sockets do not notice either by themselves for minutes.
"""

import socket
from collections.abc import Callable
from typing import Final

GAP_S: Final = 4.0
"""Ticks come every second: a gap is a host that slept, or a process that was stopped."""
_ELSEWHERE: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
"""RFC 5737, RFC 3849: nobody lives there, and nothing is sent."""


class NetworkWatch:
    """Call ``look`` every second.

    Args:
        counter: seconds that go on while the host sleeps.
        addresses: this host's addresses towards the internet, as ``own_addresses`` tells them.
    """

    def __init__(self, counter: Callable[[], float], addresses: Callable[[], tuple[str | None, ...]]) -> None:
        self._counter = counter
        self._addresses = addresses
        self._last = counter()
        self._known = addresses()

    def look(self) -> str | None:
        """Returns what has changed since the last look; None when nothing has."""
        now, last = self._counter(), self._last
        self._last = now
        seen, known = self._addresses(), self._known
        self._known = seen
        if now - last > GAP_S:
            return f"{now - last:.0f} s went by unseen"
        # An address that is gone changes nothing yet: nothing new could be reached. Its return, or another one, does.
        if seen != known and any(seen):
            return "own addresses"
        return None


def own_addresses(mark: int | None) -> tuple[str | None, ...]:
    """Returns the source addresses that sockets with this SO_MARK would use towards the internet, by IP version."""
    return tuple(_source(family, elsewhere, mark) for family, elsewhere in _ELSEWHERE)


def _source(family: socket.AddressFamily, elsewhere: str, mark: int | None) -> str | None:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            if mark is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            sock.connect((elsewhere, 9))
        except OSError:
            return None
        return str(sock.getsockname()[0])
