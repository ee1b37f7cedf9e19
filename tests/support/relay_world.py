"""A real relay on the loopback, and what a controller, connectors and clients need to use it."""

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from recorders import Recorder
from tls_material import tls_material
from tunnel_pair import connector_identity

from protocol.ids import ConnectorHash, ConnectorId, RelayId, make_id, relay_hash
from protocol.limits import UPGRADE_DEADLINE_S
from protocol.reasons import Reason
from protocol.rendezvous import (
    ATTACH_PATH,
    CONNECT_PATH,
    CONTROL_PATH,
    LEG_PATH,
    LegsWanted,
    RelayGoodbye,
    RelayMessage,
    parse_relay_message_untrusted,
)
from protocol.tokens.claims import Keyset, Ticket, TicketRole
from protocol.tokens.issue import issue_keyset, issue_ticket
from protocol.tokens.keys import SigningKey, VerificationKeys, generate_key
from relay.admission import Admission
from relay.listener import Listener
from relay.server import RelayServer
from runtime.accepting import bind
from runtime.clock import SystemClock
from runtime.leg import Leg, dial_leg
from runtime.tasks import TaskScope
from runtime.trust import client_context, server_context
from runtime.tunnel import Tunnel, TunnelStream

ISSUER = "ctl_" + "A" * 22
RELAY = RelayId(make_id("relay", b"r" * 16))
ROLES: dict[str, TicketRole] = {
    ATTACH_PATH: "connector",
    LEG_PATH: "connector",
    CONNECT_PATH: "client",
    CONTROL_PATH: "controller",
}


@functools.cache
def signing_key(kid: str = "kid-1") -> SigningKey:
    """Returns a controller's signing key; made once per process."""
    return SigningKey(kid, generate_key())


def connector_id(number: int = 1) -> ConnectorId:
    return ConnectorId(make_id("connector", number.to_bytes(16, "big")))


def make_ticket(
    role: TicketRole,
    connector: ConnectorId | None = None,
    *,
    key: SigningKey | None = None,
    relay: RelayId = RELAY,
    issuer: str = ISSUER,
    life_s: int = 60,
    wall: float | None = None,
) -> str:
    """Signs a ticket as the controller would."""
    now = int(time.time() if wall is None else wall)
    named = None if role == "controller" else relay_hash(connector or connector_id())
    return issue_ticket(Ticket(issuer, relay, role, named, now, now + life_s), key or signing_key())


def make_keyset(*keys: SigningKey, signed_by: SigningKey | None = None, issued_at: int | None = None) -> str:
    """Signs a keyset as the controller would."""
    now = int(time.time()) if issued_at is None else issued_at
    jwks = VerificationKeys.of(*keys).to_jwks()
    return issue_keyset(Keyset(ISSUER, RELAY, jwks, now, now + 60), signed_by or signing_key())


@dataclass
class Attached:
    """A connector's control leg, as the connector sees it."""

    leg: Leg
    recorder: Recorder = field(default_factory=Recorder)

    def __post_init__(self) -> None:
        self.leg.set_receiver(self.recorder)

    @property
    def messages(self) -> list[RelayMessage | None]:
        return [parse_relay_message_untrusted(text) for text in self.recorder.texts]

    async def asked_for_legs(self, count: int = 1) -> None:
        """Waits until so many legs were wanted."""
        await self.recorder.until(
            lambda _: sum(item.count for item in self.messages if isinstance(item, LegsWanted)) >= count
        )

    async def goodbye(self) -> Reason:
        """Waits for the relay's goodbye."""
        await self.recorder.until(lambda _: any(isinstance(item, RelayGoodbye) for item in self.messages))
        return next(item.reason for item in self.messages if isinstance(item, RelayGoodbye))


class RelayWorld:
    """The running relay and ways to reach it."""

    def __init__(self, server: RelayServer, port: int) -> None:
        self.server = server
        self.port = port
        self.kept: list[tuple[VerificationKeys, int]] = []
        self.legs: list[Leg] = []

    async def dial(
        self, path: str, connector: ConnectorId | None = None, *, ticket: str | None = None, **options: Any
    ) -> Leg:
        """Dials with a ticket for ``connector``, or with ``ticket``."""
        arguments: dict[str, Any] = {
            "host": "localhost",
            "address": "127.0.0.1",
            "port": self.port,
            "path": path,
            "ticket": make_ticket(ROLES[path], connector) if ticket is None else ticket,
            "context": client_context(tls_material().ca_pem),
            "deadline": 10.0,
        }
        leg = await dial_leg(**{**arguments, **options})
        self.legs.append(leg)
        return leg

    async def attach(self, connector: ConnectorId | None = None, **options: Any) -> Attached:
        """Attaches a connector."""
        return Attached(await self.dial(ATTACH_PATH, connector, **options))

    async def paired(self, connector: ConnectorId | None = None) -> tuple[Leg, Leg]:
        """Parks a leg and connects a client to it; returns the client's and the connector's leg."""
        parked = await self.dial(LEG_PATH, connector)
        return await self.dial(CONNECT_PATH, connector), parked

    async def tunnels(self, connector: ConnectorId | None = None) -> "Tunnels":
        """Returns both ends of an inner tunnel through the relay."""
        client_leg, server_leg = await self.paired(connector)
        made = Tunnels(client_leg, server_leg)
        await made.handshake()
        return made

    async def until(self, **expected: object) -> None:
        """Waits until the relay's status has these values."""
        async with asyncio.timeout(60):
            while not all(self.server.status()[name] == value for name, value in expected.items()):
                await asyncio.sleep(0.005)

    def hash_of(self, number: int = 1) -> ConnectorHash:
        return relay_hash(connector_id(number))


class Tunnels:
    """A client's and a connector's end of a tunnel."""

    def __init__(self, client_leg: Leg, server_leg: Leg) -> None:
        key_pem, certificate_pem, pin = connector_identity()
        self.opened: asyncio.Queue[TunnelStream] = asyncio.Queue()
        self.lost: dict[str, Reason] = {}
        self.changed = asyncio.Event()
        clock = SystemClock()
        self.client = Tunnel.client(client_leg, [pin], clock, on_lost=functools.partial(self._lost, "client"))
        self.server = Tunnel.server(
            server_leg,
            key_pem,
            certificate_pem,
            clock,
            on_stream=self.opened.put_nowait,
            on_lost=functools.partial(self._lost, "server"),
        )

    async def handshake(self) -> None:
        await asyncio.gather(self.client.handshake(5), self.server.handshake(5))

    async def stream(self) -> tuple[TunnelStream, TunnelStream]:
        mine = self.client.open_stream()
        async with asyncio.timeout(60):
            return mine, await self.opened.get()

    async def both_lost(self) -> dict[str, Reason]:
        async with asyncio.timeout(60):
            while len(self.lost) < 2:
                self.changed.clear()
                await self.changed.wait()
        return self.lost

    def close(self) -> None:
        self.client.close()
        self.server.close()

    def _lost(self, end: str, reason: Reason) -> None:
        self.lost[end] = reason
        self.changed.set()


@contextlib.asynccontextmanager
async def relay_world(
    *, upgrade_deadline_s: float = UPGRADE_DEADLINE_S, keys: tuple[SigningKey, ...] = (), **options: Any
) -> AsyncIterator[RelayWorld]:
    """Runs a relay; ``options`` go to RelayServer."""
    material = tls_material()
    admission = Admission(relay=RELAY, issuer=ISSUER, keys=VerificationKeys.of(*(keys or (signing_key(),))))
    kept: list[tuple[VerificationKeys, int]] = []
    server = RelayServer(admission, SystemClock(), keep_keys=lambda new, at: kept.append((new, at)), **options)
    (sock,) = bind("127.0.0.1", 0)
    listener = Listener(
        sock,
        server_context(material.cert_pem, material.key_pem),
        make_protocol=server.make_protocol,
        enter=server.enter,
        leave=server.leave,
        deadline_s=upgrade_deadline_s,
    )
    world = RelayWorld(server, sock.getsockname()[1])
    world.kept = kept
    async with TaskScope("test-relay") as scope:
        scope.spawn(listener.run(), name="listener")
        scope.spawn(server.run(), name="reports")
        try:
            yield world
        finally:
            for leg in world.legs:
                leg.abort()
            with contextlib.suppress(TimeoutError):
                await server.drain(0.2)
            for _ in range(10):
                await asyncio.sleep(0)
