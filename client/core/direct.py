"""Ways to a connector that need no relay: where they are, and which of them is worth another try (C11, C12).

The controller says where connectors listen; whether one can be reached there depends on where this host is. A try costs a
packet, and a dial that waits for it a quarter of a second, so that after a failure the next one comes later each time, until
the host's network changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocol.direct import DirectAddress
from protocol.ids import ConnectorId, RelayId, SpkiPin
from protocol.reasons import Reason
from protocol.tokens.claims import Path

FIRST_PAUSE_S: Final = 15.0
LONGEST_PAUSE_S: Final = 600.0
TRIES_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class DirectPath:
    """A connector where it listens itself; its pins are those of the authorisation."""

    connector: ConnectorId
    pins: tuple[SpkiPin, ...]
    where: DirectAddress

    @property
    def relay(self) -> RelayId | None:
        """None: there is no relay in this path."""
        return None


Way = Path | DirectPath
"""How to come to a connector."""


def describe(way: Way) -> str:
    """Says the way in words, for people and logs."""
    return f"direct {way.where}" if isinstance(way, DirectPath) else f"relay {way.fqdn}"


def way_body(way: Way) -> dict[str, str | None]:
    """The way as ``status`` and ``explain`` have it: its kind in ``path``, and a relay or an address."""
    if isinstance(way, DirectPath):
        return {"path": "direct", "relay": None, "relay_name": "", "direct": str(way.where)}
    return {"path": "relay", "relay": way.relay, "relay_name": way.fqdn, "direct": None}


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: Reason
    pause_s: float
    until: float


class DirectMemory:
    """Where connectors listen, and which of those ways failed. ``now`` is monotonic."""

    def __init__(self) -> None:
        self._named: dict[ConnectorId, tuple[DirectAddress, ...]] = {}
        self._failed: dict[tuple[ConnectorId, DirectAddress], _Failure] = {}

    def store(self, connector: ConnectorId, addresses: tuple[DirectAddress, ...]) -> None:
        """Takes what the controller said last; a connector that does not listen any more has no addresses."""
        if addresses:
            self._named[connector] = addresses
        else:
            self._named.pop(connector, None)
        self._failed = {
            key: failure for key, failure in self._failed.items() if key[0] != connector or key[1] in addresses
        }

    def candidates(self, ways: Sequence[Way], now: float) -> tuple[DirectPath, ...]:
        """Returns the direct ways to the connectors of ``ways`` that are worth a try now, at most TRIES_AT_ONCE."""
        pins = {way.connector: way.pins for way in reversed(ways)}
        found = (
            DirectPath(connector, pins[connector], where)
            for connector in dict.fromkeys(way.connector for way in ways)
            for where in self._named.get(connector, ())
            if self._rested(connector, where, now)
        )
        return tuple(found)[:TRIES_AT_ONCE]

    def failed(self, way: DirectPath, now: float, reason: Reason) -> None:
        """Remembers a failure. Whoever answers there with another key is nobody to ask again soon."""
        key = way.connector, way.where
        if way.where not in self._named.get(way.connector, ()):
            return
        last = self._failed.get(key)
        pause = FIRST_PAUSE_S if last is None else min(2 * last.pause_s, LONGEST_PAUSE_S)
        if reason is Reason.PIN_MISMATCH:
            pause = LONGEST_PAUSE_S
        self._failed[key] = _Failure(reason, pause, now + pause)

    def succeeded(self, way: DirectPath) -> None:
        """Forgets earlier failures."""
        self._failed.pop((way.connector, way.where), None)

    def moved(self) -> None:
        """This host is in another network: everything may be tried again."""
        self._failed.clear()

    def failures(self, connector: ConnectorId) -> dict[str, Reason]:
        """Returns where ``connector`` listens and could not be reached, and why, for people."""
        return {str(where): failure.reason for (other, where), failure in self._failed.items() if other == connector}

    def _rested(self, connector: ConnectorId, where: DirectAddress, now: float) -> bool:
        failure = self._failed.get((connector, where))
        return failure is None or failure.until <= now
