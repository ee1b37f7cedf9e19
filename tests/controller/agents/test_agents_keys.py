"""Signing keys rotate under load without one failed request, and a distrusted one is dead within seconds (F-21, F-22)."""

# ruff: noqa: F811 - a fixture and its name
import asyncio
from itertools import count
from pathlib import Path

from agent_station import Identity, Station
from connector_lab import LOOPBACK, ClientStream, echo_server, port_of
from connector_world import flow_id
from fake_relay import FakeRelay, fake_relay
from test_agents_endpoint import Company, company, joined, serving  # noqa: F401 - a fixture
from tls_material import tls_material

from connector.daemon import Daemon
from connector.identity import Identity as ConnectorIdentity
from connector.identity import load_identity, make_certificate, save_identity
from connector.settings import Settings
from controller.agents.errands import Errands
from controller.domain import commands as c
from controller.domain.model import KeyStatus, PublicKey, SubjectKind
from protocol.acl.model import PortRange, Ports
from protocol.control import (
    AccessTokenReply,
    AccessTokenRequest,
    AuthoriseReply,
    AuthoriseRequest,
    Message,
    PushSnapshot,
)
from protocol.control_keys import KeysChanged
from protocol.ids import ConnectorId, DeviceId, FlowId, GrantId, NetworkId, RelayId, ResourceId
from protocol.pop import prove, transcript
from protocol.reasons import Reason
from protocol.streams import Proof, StreamHeader, encode_header, encode_proof
from protocol.tokens.keys import VerificationKeys, generate_key, key_to_pem, pin_of, public_jwk
from protocol.tokens.verify import verify_access, verify_authorisation, verify_snapshot
from runtime.backoff import Backoff
from runtime.clock import SystemClock
from runtime.enrolment import make_assertion
from runtime.entropy import new_id
from runtime.files import StateDir
from runtime.lifecycle import Lifecycle
from runtime.tasks import TaskScope
from runtime.tunnel import Tunnel

WITHIN_S = 5.0
"""F-22: on connected agents."""


async def rotate(station: Station) -> str:
    """The next key signs, and another one comes next; returns the key that signed before."""
    state = station.store.feed.state
    active, following = station.ring.active(state).kid, next_key(station)
    await station.give(c.ActivateSigningKey(following), station.ring.make())
    return active


def next_key(station: Station) -> str:
    """The key that is published and has not signed yet."""
    records = station.store.feed.state.signing_keys.values()
    return next(record.kid for record in records if record.status is KeyStatus.NEXT)


class Laptop:
    """A client that believes what it was told of keys, and nothing else."""

    def __init__(self, company: Company) -> None:
        self.company = company
        self.keys = VerificationKeys({})
        self.news = asyncio.Event()
        self.requests = 0
        self.welcomes = 0
        self.link = company.station.link(company.laptop, self._receive)
        self.link.on_connected = lambda welcome: self._take(welcome.jwks, welcomed=True)

    def _take(self, jwks: object, *, welcomed: bool = False) -> None:
        self.keys = VerificationKeys.from_jwks_untrusted(jwks)
        self.welcomes += welcomed
        self.news.set()

    def _receive(self, message: Message) -> None:
        if isinstance(message, KeysChanged):
            self._take(message.jwks)
        elif isinstance(message, PushSnapshot):
            device = DeviceId(self.company.laptop.agent)
            verify_snapshot(message.token, keys=self.keys, issuer="ctl_test", device=device, now=SystemClock().wall())

    async def open(self) -> None:
        """What a new connection asks for; raises for whatever fails."""
        now, device = SystemClock().wall(), DeviceId(self.company.laptop.agent)
        reply = await self.link.request(AuthoriseRequest(self.link.next_id(), self.company.resource))
        assert isinstance(reply, AuthoriseReply)
        assert reply.token is not None, reply.reason
        found = verify_authorisation(reply.token, keys=self.keys, issuer="ctl_test", device=device, now=now)
        connector = found.paths[0].connector
        jwk = self.company.laptop.key.to_jwk()
        answer = await self.link.request(AccessTokenRequest(self.link.next_id(), connector, jwk))
        assert isinstance(answer, AccessTokenReply)
        assert answer.token is not None, answer.reason
        verify_access(answer.token, keys=self.keys, issuer="ctl_test", connector=connector, now=now)
        self.requests += 1


async def test_f21_t64_rotation_under_load_fails_no_request(company: Company) -> None:
    station = company.station
    await station.give(station.ring.make())
    laptop = Laptop(company)
    async with serving(company), TaskScope("load") as scope:
        scope.spawn(laptop.link.run(), name="link")
        await laptop.link.wait_connected(deadline_s=10)

        async def load() -> None:
            while True:
                await laptop.open()

        workers = [scope.spawn(load(), name="load") for _ in range(4)]
        signed_by = set()
        for _ in range(4):
            before = laptop.requests
            signed_by.add(await rotate(station))
            async with asyncio.timeout(60):
                while laptop.requests < before + 20:
                    await asyncio.sleep(0.005)
        assert len(signed_by) == 4
        assert not any(worker.done() for worker in workers), "a request failed"
        assert laptop.welcomes == 1, "nobody had to come again"
        scope.cancel()


class Site:
    """A real connector of the station's network, its relay, a service behind it, and a client's tunnel with a flow."""

    def __init__(self, company: Company, relay: FakeRelay, folder: Path) -> None:
        self.company = company
        self.relay = relay
        self.key = generate_key()
        self.pin = pin_of(self.key.public_key())
        self.state = StateDir(folder / "connector")
        self.resource = ResourceId(new_id("resource"))

    async def start(self, scope: TaskScope, port: int) -> Daemon:
        station, connector = self.company.station, ConnectorId(self.company.connector.agent)
        relay = RelayId(new_id("relay"))
        await station.give(
            c.EnrolConnector(connector, PublicKey.from_jwk(public_jwk(self.key)), self.pin),
            c.CreateRelay(relay, "local", "localhost", self.relay.port),
            c.EnrolRelay(relay, Identity(relay).key),
            c.RemoveRelay(self.company.relay),
            c.ChangeNetworkEgress(self.company.network, LOOPBACK),
            c.CreateResource(
                self.resource,
                self.company.network,
                "echo",
                "127.0.0.1",
                Ports(tcp=(PortRange(port, port),)),
            ),
            c.CreateGrant(GrantId(new_id("grant")), SubjectKind.USER, self.company.user, self.resource),
        )
        self.state.ensure()
        now = SystemClock().wall()
        identity = ConnectorIdentity(
            connector,
            NetworkId(self.company.network),
            "ctl_test",
            f"http://127.0.0.1:{station.port}",
            self.key,
            key_to_pem(self.key),
            make_certificate(self.key, now),
            tls_material().ca_pem,
            self.company.keys,
        )
        save_identity(self.state, identity)
        settings = Settings(state_dir=self.state.path, runtime_dir=self.state.path, drain_s=0.2, key_rotation_days=0)
        daemon = Daemon(settings, load_identity(self.state), self.state)
        # The station knows itself as its instance id only.
        daemon.link.assertion = lambda: make_assertion(connector, "ctl_test", daemon.identity.key, SystemClock().wall())
        daemon.link.backoff = Backoff(initial_s=0.01, cap_s=0.05)
        self.lifecycle = Lifecycle()
        scope.spawn(daemon.run(self.lifecycle), name="connector")
        await self.relay.until(attached=1, parked=1)
        return daemon

    async def tunnel(self, token: str) -> Tunnel:
        """The client's tunnel, to whichever certificate ``token`` names, and proven with it."""
        connector = ConnectorId(self.company.connector.agent)
        keys, now = self.company.keys, SystemClock().wall()
        access = verify_access(token, keys=keys, issuer="ctl_test", connector=connector, now=now)
        tunnel = Tunnel.client(await self.relay.connect(), access.pins, SystemClock())
        await tunnel.handshake(10)
        signed = transcript(
            exporter=tunnel.exporter(),
            token=token,
            connector=ConnectorId(self.company.connector.agent),
            pin=tunnel.peer_pin,
            number=1,
        )
        self.proofs = proof = ClientStream(tunnel.open_stream())
        proof.stream.write(encode_proof(Proof(token, 1, prove(self.company.laptop._private, signed))))
        assert (await proof.answer()).reason is None
        return tunnel

    def open(self, tunnel: Tunnel, port: int, number: int, data: bytes) -> ClientStream:
        stream = ClientStream(tunnel.open_stream())
        header = StreamHeader("tcp", "127.0.0.1", port, FlowId(flow_id(number)), self.resource)
        stream.stream.write(encode_header(header) + data)
        return stream


async def token_for(laptop: Laptop, connector: str) -> str:
    jwk = laptop.company.laptop.key.to_jwk()
    answer = await laptop.link.request(AccessTokenRequest(laptop.link.next_id(), ConnectorId(connector), jwk))
    assert isinstance(answer, AccessTokenReply)
    assert answer.token is not None, answer.reason
    return answer.token


async def test_f22_a_distrusted_key_is_dead_within_five_seconds_with_flows_open(
    company: Company, tmp_path: Path
) -> None:
    station = company.station
    await station.give(station.ring.make())
    laptop = Laptop(company)
    async with fake_relay() as relay, await echo_server() as server, TaskScope("site") as scope:
        site = Site(company, relay, tmp_path)
        daemon = await site.start(scope, port_of(server))
        scope.spawn(laptop.link.run(), name="link")
        await laptop.link.wait_connected(deadline_s=10)
        old_token = await token_for(laptop, company.connector.agent)
        tunnel = await site.tunnel(old_token)
        flow = site.open(tunnel, port_of(server), 1, b"hello")
        await flow.until_data(5)

        stolen = station.ring.active(station.store.feed.state).kid
        following = next_key(station)
        started = asyncio.get_running_loop().time()
        await station.give(c.ActivateSigningKey(following), c.DistrustSigningKey(stolen), station.ring.make())
        async with asyncio.timeout(WITHIN_S):
            assert await flow.until_reset() in {Reason.TOKEN_KEY_UNKNOWN, Reason.TUNNEL_LOST}
            while stolen in laptop.keys.keys or stolen in daemon.trust.keys.keys:
                await asyncio.sleep(0.005)
        took = asyncio.get_running_loop().time() - started
        assert took < WITHIN_S
        assert tunnel.lost is not None

        # The stolen key's tokens are worth nothing; those of the next key work at once.
        refused = Tunnel.client(await relay.connect(), [site.pin], SystemClock())
        await refused.handshake(10)
        proof = ClientStream(refused.open_stream())
        proof.stream.write(encode_proof(Proof(old_token, 1, bytes(64))))
        assert (await proof.answer()).reason == Reason.TOKEN_KEY_UNKNOWN.code
        again = await site.tunnel(await token_for(laptop, company.connector.agent))
        fresh = site.open(again, port_of(server), 2, b"again")
        await fresh.until_data(5)
        assert laptop.welcomes == 1
        again.close()
        site.lifecycle.stop.set()
        async with asyncio.timeout(60):
            while daemon.link.state.connected and not daemon.draining:
                await asyncio.sleep(0.01)
        scope.cancel()


async def test_f23_a_connectors_key_is_rotated_under_load_and_nothing_fails(company: Company, tmp_path: Path) -> None:
    station = company.station
    laptop = Laptop(company)
    async with fake_relay() as relay, await echo_server() as server, TaskScope("site") as scope:
        site, port = Site(company, relay, tmp_path), port_of(server)
        names = (f"http://127.0.0.1:{station.port}",)
        station.endpoint._errands = Errands(station.store, station.clock, lambda: names, announce_s=0.5)
        daemon = await site.start(scope, port)
        scope.spawn(laptop.link.run(), name="link")
        await laptop.link.wait_connected(deadline_s=10)
        connector = company.connector.agent
        long_lived = await site.tunnel(await token_for(laptop, connector))
        renewals = site.proofs
        flow = site.open(long_lived, port, 1, b"long")
        await flow.until_data(4)
        opened: list[str] = []
        numbers = count(100)

        async def load() -> None:
            while True:
                tunnel = await site.tunnel(await token_for(laptop, connector))
                stream = site.open(tunnel, port, next(numbers), b"short")
                await stream.until(lambda held=stream: len(held.data) >= 5 or held.reset is not None)  # type: ignore[misc]
                # The connector lets a tunnel go: the product opens once more, on another one (client.daemon.tunnels).
                assert stream.data == b"short" or stream.reset is Reason.SHUTTING_DOWN
                if stream.reset is None:
                    opened.append(tunnel.peer_pin)
                tunnel.close()

        workers = [scope.spawn(load(), name="load") for _ in range(2)]
        daemon.rotation.ask()
        async with asyncio.timeout(60):
            while opened.count(daemon.identity.pin) < 10 or daemon.identity.pin == site.pin:
                await asyncio.sleep(0.01)
        assert not any(worker.done() for worker in workers), "an opening failed"
        assert site.pin in opened
        assert len(relay.attached) == 1, "the data path did not notice"

        # The long-lived tunnel is renewed although its certificate is the former one, and its flow goes on.
        token = await token_for(laptop, connector)
        signed = transcript(
            exporter=long_lived.exporter(),
            token=token,
            connector=ConnectorId(connector),
            pin=long_lived.peer_pin,
            number=2,
        )
        renewals.expect_another_answer()
        renewals.stream.write(encode_proof(Proof(token, 2, prove(company.laptop._private, signed))))
        assert (await renewals.answer(2)).reason is None
        flow.stream.write(b"lived")
        await flow.until_data(9)
        types = [change.event.TYPE for change in station.store.feed.recent]
        assert types.count("connector.key_announced/1") == types.count("connector.key_rotated/1") == 1
        scope.cancel()
