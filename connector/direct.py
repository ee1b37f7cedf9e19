"""The connector's own listener: clients that can reach it need no relay (C12 without a relay, C14 to C17 as ever; T-25, T-26).

Off by default. Nothing is said first, and nothing but a TLS 1.3 certificate that names nobody is said to a stranger; what
comes of a connection is decided by the proof, as on a leg of a relay. Until then it has one of a few places, a deadline
from its first moment on, and an allowance of bytes. After it, no device can have the places of all others: of too many, its
oldest goes.
"""

import asyncio
import socket
from typing import Final, Protocol

import structlog

from connector.core.admission import Admitted
from connector.core.config import ConfigKeeper
from connector.core.doorway import Doorway
from connector.host_addresses import own_addresses
from connector.peer import TunnelPeer
from connector.settings import Settings
from protocol.direct import DirectAddress, may_be_direct
from protocol.errors import OstiaryError
from protocol.ids import DeviceId, RelayId
from protocol.limits import (
    DIRECT_ADDRESSES_MAX,
    DIRECT_HELLO_DEADLINE_S,
    DIRECT_PROOF_DEADLINE_S,
    DIRECT_TUNNELS_PER_DEVICE,
    DIRECT_UNPROVEN_BYTES,
)
from protocol.reasons import Reason
from runtime.accepting import accept_forever, bind
from runtime.clock import Clock
from runtime.direct_leg import DirectLeg
from runtime.leg_roles import LegLike
from runtime.tasks import TaskScope

LOOK_AGAIN_S: Final = 10.0
"""Between two looks at this host's own addresses."""

_log = structlog.get_logger(__name__)


class DirectHost(Protocol):
    """Who makes the connector's ends of tunnels and owns them."""

    def make_peer(self, leg: LegLike, relay: RelayId | None) -> TunnelPeer: ...

    def adopt(self, peer: TunnelPeer) -> None: ...


class DirectListener:
    """Accepts clients without a relay, where the settings say so. ``open`` it, then ``run``; ``close`` ends it for good.

    Args:
        settings: where to listen, if at all, and what to advertise.
        host: takes the tunnels.
        keeper: without a config nothing could be served, and connections are dropped.
        clock: for the rates.
        deadline_s: from an accepted connection to an accepted proof.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        host: DirectHost,
        keeper: ConfigKeeper,
        clock: Clock,
        deadline_s: float = DIRECT_PROOF_DEADLINE_S,
    ) -> None:
        self.doorway = Doorway(clock.monotonic())
        self._settings = settings
        self._host = host
        self._keeper = keeper
        self._clock = clock
        self._deadline_s = deadline_s
        self.sockets: list[socket.socket] = []
        """Where it listens, once it is open."""
        self._port = 0
        self._closed = asyncio.Event()
        self._proven: dict[DirectLeg, tuple[DeviceId, TunnelPeer]] = {}
        """Oldest first."""
        self._found: tuple[DirectAddress, ...] = ()
        self._looked_at: float | None = None

    def open(self) -> None:
        """Binds. Raises LocalError: PORT_IN_USE, PERMISSION_DENIED, CONFIG_INVALID."""
        listen = self._settings.direct_address
        if listen is not None:
            self.sockets = bind(str(listen[0]), listen[1])
            self._port = self.sockets[0].getsockname()[1]

    @property
    def addresses(self) -> tuple[DirectAddress, ...]:
        """What to advertise now: as set, or where it listens, or every address of this host if that is a wildcard."""
        listen = self._settings.direct_address
        if listen is None or not self.sockets or self._closed.is_set():
            return ()
        if self._settings.direct_addresses:
            return self._settings.advertised
        now = self._clock.monotonic()
        if self._looked_at is None or now - self._looked_at >= LOOK_AGAIN_S:
            self._looked_at = now
            own = own_addresses(listen[0].version) if listen[0].is_unspecified else (listen[0],)
            usable = [address for address in own if may_be_direct(address)]
            self._found = tuple(DirectAddress(address, self._port) for address in usable[:DIRECT_ADDRESSES_MAX])
        return self._found

    @property
    def told(self) -> tuple[str, ...]:
        """``addresses`` for a heartbeat (C5)."""
        return tuple(str(address) for address in self.addresses)

    async def run(self) -> None:
        """Accepts until cancelled or closed."""
        if not self.sockets:
            return
        _log.info("direct.listening", addresses=list(self.told), port=self._port)
        async with TaskScope("direct") as scope:
            accepting = [
                scope.spawn(
                    accept_forever(sock, lambda connection, address: self._admit(scope, connection, address)),
                    name="accept",
                )
                for sock in self.sockets
            ]
            await self._closed.wait()
            for task in accepting:
                task.cancel()

    def close(self) -> None:
        """Takes no new connection; tunnels that are up go on."""
        self._closed.set()

    def _admit(self, scope: TaskScope, connection: socket.socket, address: str) -> None:
        if (
            self._closed.is_set()
            or self._keeper.current is None
            or not self.doorway.enter(address, self._clock.monotonic())
        ):
            connection.close()
        else:
            scope.spawn(self._attend(connection, address), name="stranger", on_crash=_crashed)

    async def _attend(self, connection: socket.socket, address: str) -> None:
        """From the connection to the proof; the tunnel is the host's own as soon as a first byte has come."""
        leg = DirectLeg(allowance=DIRECT_UNPROVEN_BYTES, on_closed=lambda: self._left(leg))
        peer: TunnelPeer | None = None
        try:
            async with asyncio.timeout(self._deadline_s):
                await asyncio.get_running_loop().connect_accepted_socket(lambda: leg, connection)
                peer = self._host.make_peer(leg, None)
                async with asyncio.timeout(min(self._deadline_s, DIRECT_HELLO_DEADLINE_S)):
                    await peer.wait_until_paired()
                self._host.adopt(peer)
                await peer.settled.wait()
        except TimeoutError:
            _log.debug("direct.too_slow", address=address)
        except OstiaryError as error:
            _log.debug("direct.ended", address=address, reason=error.reason.code)
        except OSError as error:
            # The peer was gone before its connection had a transport.
            _log.debug("direct.ended", address=address, error=str(error))
        finally:
            self.doorway.settle(address)
            if not leg.connected:
                self.doorway.leave()
                connection.close()
            elif peer is None:
                leg.abort()
            elif peer.admitted is None:
                peer.close(Reason.PROOF_MISSING)
            else:
                self._keep(leg, peer, peer.admitted)

    def _keep(self, leg: DirectLeg, peer: TunnelPeer, admitted: Admitted) -> None:
        leg.admit()
        if leg.lost is not None:
            return
        device = admitted.peer.device
        self._proven[leg] = device, peer
        of_device = [item for item, (owner, _) in self._proven.items() if owner == device]
        if len(of_device) > DIRECT_TUNNELS_PER_DEVICE:
            _, oldest = self._proven.pop(of_device[0])
            oldest.close(Reason.LIMIT_EXCEEDED)

    def _left(self, leg: DirectLeg) -> None:
        self._proven.pop(leg, None)
        self.doorway.leave()


def _crashed(error: Exception) -> None:
    _log.error("direct.crashed", exc_info=error)
