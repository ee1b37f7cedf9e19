"""From an authorisation to a proven tunnel: the paths race, and the first opening need not wait for the verdict.

``Dialling.current`` is done as soon as some path's inner TLS is complete and its proof is sent: streams opened then travel
right behind the proof. If that path fails after all, the openings on it fail with a lost
tunnel, are begun again, and find the path that won.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog
from cryptography.hazmat.primitives.asymmetric import ec

from client.core.paths import CancelPath, PathMemory, PathRace, PathWon, RaceLost, StartPath
from client.daemon.connector_tunnel import ConnectorTunnel
from protocol.errors import OstiaryError, RefusedError, RemoteError
from protocol.ids import NetworkId
from protocol.reasons import Reason
from protocol.rendezvous import CONNECT_PATH
from protocol.tokens.claims import Access, Authorisation, Path
from runtime.clock import Clock
from runtime.leg import dial_leg
from runtime.tasks import TaskScope
from runtime.tunnel import Tunnel

RACE_DEADLINE_S: Final = 10.0
LEG_DEADLINE_S: Final = 8.0
"""TCP, TLS, and waiting for the pair."""
HANDSHAKE_DEADLINE_S: Final = 5.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DialContext:
    """What every attempt needs."""

    context: ssl.SSLContext
    key: ec.EllipticCurvePrivateKey
    clock: Clock
    mark: int | None
    access: Callable[[Path], Awaitable[Access]]
    """Gives an access token that is worth using on a path, from the book or from the controller."""
    on_lost: Callable[[ConnectorTunnel, Reason], None]
    on_gone_away: Callable[[ConnectorTunnel, Reason], None]


class Dialling:
    """The making of one tunnel to one remote network; ``run`` it once."""

    def __init__(self, network: NetworkId, memory: PathMemory, parts: DialContext) -> None:
        self.network = network
        self.current: asyncio.Future[ConnectorTunnel] = asyncio.get_running_loop().create_future()
        """The tunnel to open streams on; replaced when that one fails while others still run."""
        self._memory = memory
        self._parts = parts
        self._early: ConnectorTunnel | None = None
        self._outcomes: deque[tuple[Path, ConnectorTunnel | OstiaryError]] = deque()
        self._wake = asyncio.Event()

    async def run(self, authorise: Awaitable[Authorisation]) -> ConnectorTunnel:
        """Races the paths of the authorisation; returns the proven tunnel.

        Raises:
            OstiaryError: the controller's refusal, or the most telling failure of the paths.
        """
        try:
            authorisation = await authorise
            winner = await self._race(authorisation)
        except BaseException as error:
            reason = error if isinstance(error, OstiaryError) else RemoteError(Reason.CANCELLED)
            if self.current.done():
                self.current = asyncio.get_running_loop().create_future()
            self.current.set_exception(reason)
            self.current.exception()
            raise
        self._offer(winner)
        return winner

    async def _race(self, authorisation: Authorisation) -> ConnectorTunnel:
        clock = self._parts.clock
        paths = self._memory.order(authorisation.paths, clock.monotonic())
        race = PathRace(paths, clock.monotonic(), deadline_s=RACE_DEADLINE_S)
        made: dict[int, ConnectorTunnel] = {}
        winner: ConnectorTunnel | None = None
        try:
            async with TaskScope("paths") as scope:
                tasks: dict[int, asyncio.Task[None]] = {}
                while True:
                    while (command := race.next_command()) is not None:
                        match command:
                            case StartPath(path):
                                tasks[id(path)] = scope.spawn(self._attempt(path), name=f"path-{path.relay}")
                            case CancelPath(path):
                                tasks[id(path)].cancel()
                            case PathWon(path):
                                winner = made[id(path)]
                            case RaceLost(reason):
                                raise RefusedError(reason, f"no path to the remote network {self.network}")
                    if winner is not None:
                        return winner
                    await self._settle(race, made)
        finally:
            for tunnel in made.values():
                if tunnel is not winner:
                    tunnel.close(Reason.CANCELLED)

    async def _settle(self, race: PathRace, made: dict[int, ConnectorTunnel]) -> None:
        """Waits for an outcome or the race's next moment, and tells the race."""
        clock = self._parts.clock
        due = race.deadline()
        pause = None if due is None else max(0.0, due[0] - clock.monotonic())
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()
        while self._outcomes:
            path, outcome = self._outcomes.popleft()
            if isinstance(outcome, ConnectorTunnel):
                made[id(path)] = outcome
                self._memory.succeeded(path)
                race.succeeded(path)
            else:
                self._memory.failed(path, clock.monotonic())
                race.failed(path, outcome.reason, clock.monotonic())
        race.tick(clock.monotonic())

    async def _attempt(self, path: Path) -> None:
        """One path, to its end; the outcome is queued. A cancelled attempt leaves nothing open."""
        outcome: ConnectorTunnel | OstiaryError
        try:
            outcome = await self._connect(path)
        except OstiaryError as error:
            _log.info(
                "path.failed",
                relay=path.relay,
                connector=path.connector,
                reason=error.reason.code,
                detail=error.detail,
            )
            outcome = error
        self._outcomes.append((path, outcome))
        self._wake.set()

    async def _connect(self, path: Path) -> ConnectorTunnel:
        parts = self._parts
        link: ConnectorTunnel | None = None
        async with TaskScope("access") as scope:
            # The controller is asked while the relay is dialled.
            asked = scope.spawn(_settled(parts.access(path)), name="access")
            leg = await dial_leg(
                host=path.fqdn,
                port=path.port,
                path=CONNECT_PATH,
                ticket=path.ticket,
                context=parts.context,
                local_mark=parts.mark,
                deadline=LEG_DEADLINE_S,
            )
            local = leg.local_address
            tunnel = Tunnel.client(
                leg,
                path.pins,
                parts.clock,
                on_lost=lambda reason: parts.on_lost(link, reason) if link is not None else None,
                on_gone_away=lambda reason: parts.on_gone_away(link, reason) if link is not None else None,
            )
            try:
                await tunnel.handshake(HANDSHAKE_DEADLINE_S)
                access = _granted(await asked)
                link = ConnectorTunnel(
                    tunnel, path, self.network, parts.key, since=parts.clock.monotonic(), local=local
                )
                verdict = link.begin_proof(access)
                self._offer_early(link)
                await link.finish_proof(verdict)
            except BaseException:
                self._withdraw(link)
                tunnel.close(Reason.CANCELLED)
                raise
        return link

    def _offer_early(self, link: ConnectorTunnel) -> None:
        if self._early is None:
            self._early = link
            self._offer(link)

    def _withdraw(self, link: ConnectorTunnel | None) -> None:
        if link is not None and link is self._early:
            self._early = None
            self.current = asyncio.get_running_loop().create_future()

    def _offer(self, link: ConnectorTunnel) -> None:
        if self.current.done():
            self.current = asyncio.get_running_loop().create_future()
        self.current.set_result(link)


async def _settled(work: Awaitable[Access]) -> Access | OstiaryError:
    """A refusal is an outcome that waits to be looked at, not a crash of the scope."""
    try:
        return await work
    except OstiaryError as error:
        return error


def _granted(outcome: Access | OstiaryError) -> Access:
    if isinstance(outcome, OstiaryError):
        raise outcome
    return outcome
