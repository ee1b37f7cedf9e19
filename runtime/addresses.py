"""Which addresses our own servers' names had lately: the next connection to one need not ask a resolver first.

An address is no trust: whoever answers must show a certificate for the name (C12, T-60), and only where somebody did is
remembered. Nobody there any more costs a moment: behind the remembered addresses the name is resolved all the same
(``runtime.sockets``). Somebody else there, or a host that takes connections and says nothing, wins that race and costs the
one attempt, because who dials forgets an address that did not prove itself again (F-5, F-7). Another network may know other
addresses: ``clear`` when the host has moved (F-17).
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

REMEMBER_S: Final = 3600.0
"""After that a name is resolved before anything is dialled."""
NAMES_MAX: Final = 64
"""The one stored first goes first."""


class AddressMemory:
    """Socket addresses by host and port, in the order in which they are to be tried.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._found: dict[tuple[str, int], tuple[float, tuple[Any, ...]]] = {}

    def find(self, host: str, port: int) -> tuple[Any, ...]:
        """Returns what ``host`` had at most REMEMBER_S ago; nothing if that is not known."""
        stored, addresses = self._found.get((host, port), (0.0, ()))
        if addresses and self._now() - stored > REMEMBER_S:
            del self._found[host, port]
            return ()
        return addresses

    def store(self, host: str, port: int, addresses: Sequence[Any]) -> None:
        """Takes where ``host`` has proved to be."""
        self._found.pop((host, port), None)
        if addresses:
            self._found[host, port] = (self._now(), tuple(addresses))
        if len(self._found) > NAMES_MAX:
            del self._found[next(iter(self._found))]

    def forget(self, host: str) -> None:
        """Nobody useful was found there."""
        for key in [key for key in self._found if key[0] == host]:
            del self._found[key]

    def clear(self) -> None:
        """The host is in another network."""
        self._found.clear()
