"""The connector's own listener: what a client gets there, and what strangers do not (C14 to C17, T-25, T-26)."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from connector_lab import EVERYWHERE, ClientStream, Lab, connector_lab, echo_server, port_of
from connector_world import flow_id, res

from connector import direct as module
from connector.direct import DirectListener
from connector.peer import TunnelPeer
from connector.resolver import Resolver
from connector.settings import Settings
from connector.streams import StreamServer
from protocol.direct import DirectAddress
from protocol.errors import LocalError, RemoteError
from protocol.ids import RelayId
from protocol.limits import DIRECT_STRANGERS_PER_ADDRESS
from protocol.reasons import Reason
from protocol.streams import Proof, StreamHeader, encode_header, encode_proof
from runtime.direct_leg import dial_direct
from runtime.leg_roles import LegLike
from runtime.tasks import TaskScope
from runtime.tunnel import Tunnel


@dataclass
class Host:
    """Makes and serves peers as the daemon does."""

    lab: Lab
    scope: TaskScope
    peers: list[TunnelPeer] = field(default_factory=list)

    def make_peer(self, leg: LegLike, relay: RelayId | None) -> TunnelPeer:
        lab = self.lab
        resolver = Resolver(lab.clock, [], resolv_conf=Path("/nonexistent"), hosts_file=Path("/nonexistent"))
        server = StreamServer(lab.enforcer, resolver, self.scope, udp_idle_s=10)
        number = 100 + len(self.peers)
        peer = TunnelPeer(
            number=number,
            leg=leg,
            relay=relay,
            trust=lab.trust,
            enforcer=lab.enforcer,
            server=server,
            clock=lab.clock,
        )
        self.peers.append(peer)
        return peer

    def adopt(self, peer: TunnelPeer) -> None:
        self.scope.spawn(peer.serve(), name="peer")


@dataclass
class Door:
    """A listener, and how clients come to it."""

    lab: Lab
    host: Host
    listener: DirectListener

    @property
    def where(self) -> DirectAddress:
        (sock,) = self.listener.sockets
        address, port = sock.getsockname()
        return DirectAddress(ipaddress.ip_address(address), port)

    async def knock(self) -> Tunnel:
        """A client's tunnel, without a proof."""
        leg = await dial_direct(self.where, mark=None, deadline_s=5)
        tunnel = Tunnel.client(leg, [self.lab.pin], self.lab.clock)
        await tunnel.handshake(10)
        return tunnel

    async def prove(self, tunnel: Tunnel, token: str | None = None) -> ClientStream:
        text = token or self.lab.world.access(EVERYWHERE, issued_at=self.lab.now)
        proof: Proof = self.lab.world.proof(text, exporter=tunnel.exporter(), pin=self.lab.pin)
        stream = ClientStream(tunnel.open_stream())
        stream.stream.write(encode_proof(proof))
        return stream

    async def until(self, strangers: int, connections: int) -> None:
        doorway = self.listener.doorway
        async with asyncio.timeout(60):
            while (doorway.strangers, doorway.connections) != (strangers, connections):
                await asyncio.sleep(0.005)


@asynccontextmanager
async def door(deadline_s: float = 10.0) -> AsyncIterator[Door]:
    async with connector_lab() as lab, TaskScope("door") as scope:
        host = Host(lab, scope)
        settings = Settings(direct_listen="127.0.0.1:0")
        listener = DirectListener(
            settings, host=host, keeper=lab.enforcer.keeper, clock=lab.clock, deadline_s=deadline_s
        )
        listener.open()
        running = scope.spawn(listener.run(), name="listener")
        yield Door(lab, host, listener)
        listener.close()
        await asyncio.wait([running], timeout=10)
        for peer in host.peers:
            peer.close(Reason.SHUTTING_DOWN)


async def test_c16_a_client_is_served_without_a_relay_and_the_record_says_so() -> None:
    async with door() as opened, await echo_server() as server:
        tunnel = await opened.knock()
        assert (await (await opened.prove(tunnel)).answer()).reason is None
        await opened.until(strangers=0, connections=1)
        stream = ClientStream(tunnel.open_stream())
        header = StreamHeader("tcp", "127.0.0.1", port_of(server), flow_id(7), res(1))
        stream.stream.write(encode_header(header) + b"straight")
        assert await stream.until_data(8) == b"straight"
        stream.stream.write_eof()
        (record,) = await opened.lab.until_recorded()
        assert (record.path, record.relay, record.outcome, record.bytes_up) == ("direct", None, "normal", 8)
        tunnel.close()
        await opened.until(strangers=0, connections=0)


async def test_t38_without_a_proof_nothing_is_served_and_the_place_is_free_again() -> None:
    async with door(deadline_s=0.3) as opened:
        tunnel = await opened.knock()
        stream = ClientStream(tunnel.open_stream())
        stream.stream.write(encode_header(StreamHeader("tcp", "127.0.0.1", 1, flow_id(1), res(1))))
        assert await stream.until_reset() is Reason.PROOF_MISSING
        await opened.until(strangers=0, connections=0)
        assert opened.lab.records() == []


async def test_t38_a_refused_proof_is_answered_with_its_reason() -> None:
    async with door() as opened:
        tunnel = await opened.knock()
        old = opened.lab.world.access(EVERYWHERE, issued_at=opened.lab.now - 3600)
        assert (await (await opened.prove(tunnel, old)).answer()).reason == "token_expired"
        await opened.until(strangers=0, connections=0)


async def test_t26_who_says_nothing_is_dropped_at_the_deadline() -> None:
    async with door(deadline_s=0.2) as opened:
        leg = await dial_direct(opened.where, mark=None, deadline_s=5)
        await opened.until(strangers=1, connections=1)
        await opened.until(strangers=0, connections=0)
        leg.abort()


async def test_t25_strangers_of_one_address_have_few_places_and_the_proven_count_no_more() -> None:
    async with door() as opened:
        proven = await opened.knock()
        await (await opened.prove(proven)).answer()
        await opened.until(strangers=0, connections=1)
        held = [socket.create_connection(("127.0.0.1", opened.where.port)) for _ in range(DIRECT_STRANGERS_PER_ADDRESS)]
        await opened.until(strangers=DIRECT_STRANGERS_PER_ADDRESS, connections=DIRECT_STRANGERS_PER_ADDRESS + 1)
        with pytest.raises(RemoteError):
            await opened.knock()
        assert opened.listener.doorway.refused == 1
        await proven.probe(5)
        for sock in held:
            sock.close()
        await opened.until(strangers=0, connections=1)
        await opened.knock()


async def test_t25_one_device_cannot_have_everybodys_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DIRECT_TUNNELS_PER_DEVICE", 2)
    async with door() as opened:
        tunnels = []
        for _ in range(4):
            tunnels.append(await opened.knock())
            assert (await (await opened.prove(tunnels[-1])).answer()).reason is None
        await opened.until(strangers=0, connections=2)
        assert [tunnel.lost is None for tunnel in tunnels] == [False, False, True, True]
        await tunnels[-1].probe(5)
        tunnels[-1].close()
        await opened.until(strangers=0, connections=1)
        again = await opened.knock()
        await (await opened.prove(again)).answer()
        await opened.until(strangers=0, connections=2)
        await tunnels[2].probe(5)


async def test_c24_without_a_config_nobody_is_let_in() -> None:
    async with door() as opened:
        opened.lab.enforcer.lose_standing(Reason.CONNECTOR_NOT_ALLOWED)
        with pytest.raises(RemoteError):
            await opened.knock()


async def test_what_is_advertised_follows_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    own = [ipaddress.ip_address(text) for text in ("10.0.0.5", "169.254.1.1")]
    monkeypatch.setattr(module, "own_addresses", lambda version: own if version == 4 else [])
    async with connector_lab() as lab, TaskScope("advertised") as scope:

        def told(**settings: object) -> tuple[str, ...]:
            listener = DirectListener(
                Settings(**settings),  # type: ignore[arg-type]
                host=Host(lab, scope),
                keeper=lab.enforcer.keeper,
                clock=lab.clock,
            )
            listener.open()
            for sock in listener.sockets:
                sock.close()
            return listener.told

        assert told() == ()
        (everywhere,) = told(direct_listen="0.0.0.0:0")
        assert everywhere.startswith("10.0.0.5:")
        assert told(direct_listen="127.0.0.1:0") == ()
        forwarded = told(direct_listen="0.0.0.0:0", direct_addresses=("192.0.2.7:443", "[2001:db8::7]:443"))
        assert forwarded == ("192.0.2.7:443", "[2001:db8::7]:443")


@pytest.mark.parametrize(
    "settings",
    [
        {"direct_listen": "everywhere:7443"},
        {"direct_listen": "10.0.0.5"},
        {"direct_listen": "10.0.0.5:70000"},
        {"direct_listen": "fd00::1:7443"},
        {"direct_addresses": ("192.0.2.7:443",)},
        {"direct_listen": "0.0.0.0:7443", "direct_addresses": ("office.example:443",)},
        {"direct_listen": "0.0.0.0:7443", "direct_addresses": ("127.0.0.1:443",)},
        {"direct_listen": "0.0.0.0:7443", "direct_addresses": tuple(f"192.0.2.{n}:1" for n in range(9))},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(LocalError, match="direct_"):
        Settings(**settings)  # type: ignore[arg-type]


def test_an_address_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(direct_listen=f"127.0.0.1:{taken.getsockname()[1]}")

        async def start() -> None:
            async with connector_lab() as lab, TaskScope("taken") as scope:
                DirectListener(settings, host=Host(lab, scope), keeper=lab.enforcer.keeper, clock=lab.clock).open()

        with pytest.raises(LocalError) as caught:
            asyncio.run(start())
        assert caught.value.reason is Reason.PORT_IN_USE
