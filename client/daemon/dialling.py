"""From an authorisation to a proven tunnel: the paths race, and the first opening need not wait for the verdict.

Nothing that can travel together travels in turns: TCP and TLS to the relay that was named last are set up while the
controller is asked, and the inner ClientHello is in the head of the request to the relay. What is left of a cold path is two
round trips to the relay and two to the connector. Ways without a relay (``client.core.direct``) have a head start.

``Dialling.current`` is done as soon as some path's inner TLS is complete and its proof is sent: streams opened then travel
right behind the proof. If that path fails after all, the openings on it fail with a lost tunnel, are begun again, and find
the path that won.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from cryptography.hazmat.primitives.asymmetric import ec

from client.core.direct import DirectPath, Way, describe
from client.core.paths import CancelPath, PathMemory, PathRace, PathWon, RaceLost, StartPath
from client.daemon.connector_tunnel import ConnectorTunnel
from client.daemon.relay_lines import RelayDialler, RelayLines, RelayName
from protocol.errors import OstiaryError, RefusedError, RemoteError
from protocol.ids import NetworkId
from protocol.limits import PARKED_LEGS_DEFAULT
from protocol.reasons import Reason
from protocol.tls import TunnelTls
from protocol.tokens.claims import Access, Authorisation, Path
from runtime.clock import Clock
from runtime.direct_leg import dial_direct
from runtime.leg_roles import LegLike
from runtime.tasks import TaskScope
from runtime.tunnel import Tunnel

RACE_DEADLINE_S: Final = 10.0
HANDSHAKE_DEADLINE_S: Final = 5.0
LEGS_TRIED: Final = PARKED_LEGS_DEFAULT + 1

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DialContext:
    """What every attempt needs."""

    relays: RelayDialler
    key: ec.EllipticCurvePrivateKey
    clock: Clock
    access: Callable[[Way], Awaitable[Access]]
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
        self._outcomes: deque[tuple[Way, ConnectorTunnel | OstiaryError]] = deque()
        self._wake = asyncio.Event()

    async def run(self, authorise: Awaitable[Authorisation], likely: RelayName | None = None) -> ConnectorTunnel:
        """Races the paths of the authorisation; returns the proven tunnel.

        Args:
            authorise: asks the controller, or has its answer.
            likely: the relay that the first path most likely leads to; dialled while the controller is asked.

        Raises:
            OstiaryError: the controller's refusal, or the most telling failure of the paths.
        """
        try:
            async with TaskScope("dialling") as scope:
                lines = RelayLines(self._parts.relays, scope)
                if likely is not None:
                    lines.begin(likely)
                try:
                    paths = (await authorise).paths
                    direct = self._memory.direct.candidates(paths, self._parts.clock.monotonic())
                    winner = await self._race(paths, direct, lines)
                finally:
                    lines.close()
        except BaseException as error:
            reason = error if isinstance(error, OstiaryError) else RemoteError(Reason.CANCELLED)
            if self.current.done():
                self.current = asyncio.get_running_loop().create_future()
            self.current.set_exception(reason)
            self.current.exception()
            raise
        self._offer(winner)
        return winner

    async def improve(self, direct: Sequence[DirectPath]) -> ConnectorTunnel:
        """Races direct ways only, beside a tunnel that goes by a relay; ``current`` is not for waiting on then.

        Raises:
            RefusedError: none of them works.
        """
        async with TaskScope("improving") as scope:
            return await self._race((), direct, RelayLines(self._parts.relays, scope))

    async def _race(self, paths: Sequence[Path], direct: Sequence[DirectPath], lines: RelayLines) -> ConnectorTunnel:
        clock = self._parts.clock
        ordered = self._memory.order(paths, clock.monotonic())
        race = PathRace(ordered, clock.monotonic(), deadline_s=RACE_DEADLINE_S, direct=direct)
        made: dict[int, ConnectorTunnel] = {}
        winner: ConnectorTunnel | None = None
        try:
            async with TaskScope("paths") as scope:
                tasks: dict[int, asyncio.Task[None]] = {}
                while True:
                    while (command := race.next_command()) is not None:
                        match command:
                            case StartPath(path):
                                tasks[id(path)] = scope.spawn(self._attempt(path, lines), name=describe(path))
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
                self._memory.failed(path, clock.monotonic(), outcome.reason)
                race.failed(path, outcome.reason, clock.monotonic())
        race.tick(clock.monotonic())

    async def _attempt(self, path: Way, lines: RelayLines) -> None:
        """One path, to its end; the outcome is queued. A cancelled attempt leaves nothing open."""
        outcome: ConnectorTunnel | OstiaryError
        try:
            outcome = await self._connect(path, lines)
        except OstiaryError as error:
            _log.info(
                "path.failed",
                path=describe(path),
                connector=path.connector,
                reason=error.reason.code,
                detail=error.detail,
            )
            outcome = error
        self._outcomes.append((path, outcome))
        self._wake.set()

    async def _connect(self, path: Way, lines: RelayLines) -> ConnectorTunnel:
        parts = self._parts
        link: ConnectorTunnel | None = None
        async with TaskScope("access") as scope:
            # The controller is asked while the relay is dialled.
            asked = scope.spawn(_settled(parts.access(path)), name="access")

            def make(leg: LegLike, tls: TunnelTls) -> Tunnel:
                return Tunnel.client(
                    leg,
                    tls,
                    parts.clock,
                    on_lost=lambda reason: parts.on_lost(link, reason) if link is not None else None,
                    on_gone_away=lambda reason: parts.on_gone_away(link, reason) if link is not None else None,
                )

            if isinstance(path, DirectPath):
                tunnel, local = await _meet_directly(path, parts.relays.mark, make)
            else:
                tunnel, local = await _meet(path, lines, make)
            try:
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


async def _meet_directly(
    path: DirectPath, mark: int | None, make: Callable[[LegLike, TunnelTls], Tunnel]
) -> tuple[Tunnel, str | None]:
    """Returns a tunnel after its handshake, and our own address on the way. Nothing but a ClientHello goes to who has no pin."""
    leg = await dial_direct(path.where, mark=mark, deadline_s=HANDSHAKE_DEADLINE_S)
    local = leg.local_address
    tls = TunnelTls.client(path.pins)
    tls.start()
    tunnel = make(leg, tls)
    await tunnel.handshake(HANDSHAKE_DEADLINE_S)
    return tunnel, local


async def _meet(
    path: Path, lines: RelayLines, make: Callable[[LegLike, TunnelTls], Tunnel]
) -> tuple[Tunnel, str | None]:
    """Returns a tunnel after its handshake, and our own address on the way.

    The relay may hold legs of a connector that has moved and not said so: only their use tells. Each that is used up so is
    gone, and when none is left the relay asks the connector for a fresh one.
    """
    for left in reversed(range(LEGS_TRIED)):
        tls = TunnelTls.client(path.pins)
        tls.start()
        leg = await lines.leg(path, bytes(tls.data_to_send()))
        local = leg.local_address
        tunnel = make(leg, tls)
        try:
            await tunnel.handshake(HANDSHAKE_DEADLINE_S)
        except RemoteError as error:
            if error.reason is Reason.TIMEOUT:
                # The leg was paired, so the relay is not to blame.
                raise RemoteError(Reason.PAIRING_TIMEOUT, error.detail) from error
            if error.reason is not Reason.TUNNEL_LOST or not left:
                raise
            _log.info("leg.dead", relay=path.relay, connector=path.connector)
        else:
            return tunnel, local
    raise RemoteError(Reason.TUNNEL_LOST, "no leg of the connector was alive")


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
