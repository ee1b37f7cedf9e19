"""Racing the paths to a remote network: the next one starts PATH_RACE_DELAY_S after the one before, the first that is
complete wins (faults F-1, F-4). Direct ways all start at once, PATH_RACE_DELAY_S before the first relay.

The order is the controller's (best first), but paths that failed a moment ago come last, and the second attempt takes
another relay *and* another connector when there is one: what broke the first is then not in its way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from client.core.direct import DirectMemory, DirectPath, Way
from protocol.ids import ConnectorId, NetworkId, RelayId
from protocol.limits import PATH_RACE_DELAY_S
from protocol.reasons import Reason
from protocol.tokens.claims import Path

PENALTY_S: Final = 30.0
"""For this long a path that failed comes after those that did not."""

PathKey = tuple[ConnectorId, RelayId]


def path_key(path: Path) -> PathKey:
    """What makes a path the same one in the next authorisation."""
    return path.connector, path.relay


class PathMemory:
    """Which paths the controller named last, by remote network, and which of them failed lately."""

    def __init__(self) -> None:
        self._failed: dict[PathKey, float] = {}
        self._named: dict[NetworkId, tuple[Path, ...]] = {}
        self.direct = DirectMemory()
        """Ways without a relay; they have a memory of their own."""
        self.relay_names: set[str] = set()
        """FQDNs of relays that were ever named."""

    def store(self, network: NetworkId, paths: tuple[Path, ...]) -> None:
        """Takes the paths of an authorisation."""
        self._named.pop(network, None)
        self._named[network] = paths
        self.relay_names.update(path.fqdn.lower() for path in paths)

    def of(self, network: NetworkId) -> tuple[Path, ...]:
        """Returns what led into ``network`` last, best first."""
        return self._named.get(network, ())

    def likely(self, network: NetworkId, now: float) -> Path | None:
        """Returns the path to try first if those into ``network`` have stayed the same.

        Where none is known it is the first of the paths named last into another one: most networks share their relays.
        """
        named = self.of(network) or next(reversed(self._named.values()), ())
        return next(iter(self.order(named, now)), None)

    def __iter__(self) -> Iterator[Path]:
        return (path for paths in self._named.values() for path in paths)

    def failed(self, path: Way, now: float, reason: Reason = Reason.TUNNEL_LOST) -> None:
        """Remembers a failure."""
        if isinstance(path, DirectPath):
            self.direct.failed(path, now, reason)
            return
        self._failed = {key: until for key, until in self._failed.items() if until > now}
        self._failed[path_key(path)] = now + PENALTY_S

    def succeeded(self, path: Way) -> None:
        """Forgets earlier failures."""
        if isinstance(path, DirectPath):
            self.direct.succeeded(path)
            return
        self._failed.pop(path_key(path), None)

    def order(self, paths: Sequence[Path], now: float) -> tuple[Path, ...]:
        """Returns ``paths`` (best first) in the order in which to try them."""
        good = [path for path in paths if self._failed.get(path_key(path), 0.0) <= now]
        bad = [path for path in paths if path not in good]
        return (*_spread(good), *_spread(bad))


def _spread(paths: list[Path]) -> list[Path]:
    """Keeps the first and then always takes the path that shares least with those already taken; ties keep their order."""
    left = list(paths)
    taken: list[Path] = []
    while left:
        connectors = {path.connector for path in taken}
        relays = {path.relay for path in taken}
        best = min(left, key=lambda path: (path.connector in connectors) + (path.relay in relays))
        left.remove(best)
        taken.append(best)
    return taken


@dataclass(frozen=True, slots=True)
class StartPath:
    """Begin to open a tunnel over this path."""

    path: Way


@dataclass(frozen=True, slots=True)
class CancelPath:
    """Another path was faster, or the time is over: stop this attempt."""

    path: Way


@dataclass(frozen=True, slots=True)
class PathWon:
    """This path is complete; the race is over."""

    path: Way


@dataclass(frozen=True, slots=True)
class RaceLost:
    """No path worked; ``reason`` is the most telling failure."""

    reason: Reason


PathCommand = StartPath | CancelPath | PathWon | RaceLost

_TELLING: Final = (
    Reason.PIN_MISMATCH,
    Reason.PROOF_INVALID,
    Reason.VERSION_UNSUPPORTED,
    Reason.NO_CONNECTOR,
    Reason.CONNECTOR_NOT_ATTACHED,
    Reason.PAIRING_TIMEOUT,
    Reason.RELAY_UNREACHABLE,
    Reason.TIMEOUT,
)
"""Of several failures the first in this list is reported; one that is not in it comes after all of them but TIMEOUT."""


class PathRace:
    """One race. Call ``next_command`` until None after every input; call ``tick`` at ``deadline``."""

    def __init__(
        self, paths: Sequence[Path], now: float, *, deadline_s: float, direct: Sequence[DirectPath] = ()
    ) -> None:
        self._waiting = list(paths)
        self._running: list[Way] = list(direct)
        self._failures: list[Reason] = []
        self._commands: list[PathCommand] = [StartPath(path) for path in direct]
        self._next_start = now + PATH_RACE_DELAY_S if direct else now
        self._end = now + deadline_s
        self._over = False
        self._advance(now)

    @property
    def over(self) -> bool:
        """PathWon or RaceLost was, or is about to be, returned."""
        return self._over

    def next_command(self) -> PathCommand | None:
        """Returns what to do next."""
        return self._commands.pop(0) if self._commands else None

    def succeeded(self, path: Way) -> None:
        """The tunnel over ``path`` is complete: inner TLS verified, proof accepted."""
        if self._over:
            self._commands.append(CancelPath(path))
            return
        self._over = True
        self._running.remove(path)
        self._commands += [PathWon(path), *(CancelPath(other) for other in self._running)]

    def failed(self, path: Way, reason: Reason, now: float) -> None:
        """The attempt over ``path`` failed: the next one starts at once, unless a direct way may still be the first.

        What went wrong at an address that only this host may not reach is no word about the connector: not even a wrong key
        there is what the user should hear.
        """
        if self._over:
            return
        self._running.remove(path)
        if not isinstance(path, DirectPath):
            self._failures.append(reason)
        elif self._running:
            return
        self._next_start = now
        self._advance(now)

    def tick(self, now: float) -> None:
        """Starts the next path when it is time, or ends the race."""
        if not self._over:
            self._advance(now)

    def deadline(self) -> tuple[float, str] | None:
        """When to call ``tick``."""
        if self._over:
            return None
        if self._waiting:
            return min((self._next_start, "next_path"), (self._end, "race"))
        return self._end, "race"

    def _advance(self, now: float) -> None:
        if now >= self._end:
            self._over = True
            self._commands += [CancelPath(path) for path in self._running]
            self._commands.append(RaceLost(_most_telling([*self._failures, Reason.TIMEOUT])))
            return
        if self._waiting and now >= self._next_start:
            path = self._waiting.pop(0)
            self._running.append(path)
            self._next_start = now + PATH_RACE_DELAY_S
            self._commands.append(StartPath(path))
        if not self._waiting and not self._running:
            self._over = True
            self._commands.append(RaceLost(_most_telling(self._failures or [Reason.NO_CONNECTOR])))


def _most_telling(failures: list[Reason]) -> Reason:
    ranks = {reason: rank for rank, reason in enumerate(_TELLING)}
    return min(failures, key=lambda reason: ranks.get(reason, len(_TELLING) - 1.5))
