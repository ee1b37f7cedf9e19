"""A relay for tests of connectors: real TLS and WebSockets, pairing by hand, and every fault on request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tls_material import tls_material

from protocol.ids import RelayId
from protocol.reasons import Reason
from protocol.rendezvous import ATTACH_PATH, CONNECT_PATH, LEG_PATH, RelayMessage, encode_relay_message
from protocol.tokens.claims import ConfigRelay
from runtime.leg import Leg, dial_leg
from runtime.leg_accept import LegAcceptor, UpgradeRequest
from runtime.leg_frames import Piece
from runtime.trust import client_context, server_context


class _Half:
    """Receiver of one half of a pair."""

    def __init__(self, other: Leg) -> None:
        self._other = other

    def data_received(self, data: Piece) -> None:
        self._other.write(bytes(data))

    def text_received(self, text: str) -> None:
        raise AssertionError(text)

    def leg_lost(self, reason: Reason) -> None:
        self._other.close(reason)

    def pause_writing(self) -> None:
        pass

    def resume_writing(self) -> None:
        pass


@dataclass
class FakeRelay:
    """``attached``: attach legs in order of arrival; ``parked``: legs that no client has; ``tickets``: what was shown.

    ``refuse`` is the reason for refusing every further upgrade.
    """

    relay: RelayId
    port: int = 0
    attached: list[Leg] = field(default_factory=list)
    parked: list[Leg] = field(default_factory=list)
    tickets: list[tuple[str, str]] = field(default_factory=list)
    refuse: Reason | None = None
    legs: int = 0
    """Legs ever parked."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def entry(self, ticket: str = "ticket-1") -> ConfigRelay:
        """This relay as a config names it."""
        return ConfigRelay(self.relay, "localhost", self.port, ticket)

    def say(self, message: RelayMessage) -> None:
        """Says something on the newest attach leg."""
        self.attached[-1].write_text(encode_relay_message(message))

    async def until(self, *, attached: int = 0, parked: int = 0, legs: int = 0, tickets: int = 0) -> None:
        async with asyncio.timeout(60):
            while (
                len(self.attached) < attached
                or self.alive_parked() < parked
                or self.legs < legs
                or len(self.tickets) < tickets
            ):
                self._news.clear()
                await self._news.wait()

    def alive_parked(self) -> int:
        return sum(1 for leg in self.parked if leg.lost is None)

    async def connect(self) -> Leg:
        """Dials as a client and is paired with a parked leg."""
        await self.until(parked=1)
        return await dial_leg(
            host="localhost",
            port=self.port,
            path=CONNECT_PATH,
            ticket="client",
            context=client_context(tls_material().ca_pem),
        )

    def request(self, acceptor: LegAcceptor, request: UpgradeRequest) -> None:
        self.tickets.append((request.path, request.ticket))
        self._news.set()
        if self.refuse is not None:
            acceptor.refuse(403, self.refuse)
            return
        leg = acceptor.accept()
        if leg is None:
            return
        if request.path == ATTACH_PATH:
            self.attached.append(leg)
        elif request.path == LEG_PATH:
            self.legs += 1
            self.parked.append(leg)
        else:
            other = next(item for item in reversed(self.parked) if item.lost is None)
            self.parked.remove(other)
            leg.set_receiver(_Half(other))
            other.set_receiver(_Half(leg))
        self._news.set()


@asynccontextmanager
async def fake_relay(number: int = 0) -> AsyncIterator[FakeRelay]:
    """Serves on a loopback port; its certificate is ``tls_material``'s."""
    pki = tls_material()
    made = FakeRelay(relay=RelayId(f"rel_{number:022d}"))
    acceptors: list[LegAcceptor] = []

    def accept() -> LegAcceptor:
        acceptors.append(LegAcceptor(on_request=made.request, on_closed=made._news.set))
        return acceptors[-1]

    server = await asyncio.get_running_loop().create_server(
        accept, "127.0.0.1", 0, ssl=server_context(pki.cert_pem, pki.key_pem)
    )
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for acceptor in acceptors:
            acceptor.abort()
        for leg in (*made.attached, *made.parked):
            leg.abort()
        await server.wait_closed()
