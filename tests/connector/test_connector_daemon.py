"""The whole daemon between a fake controller, a fake relay and a real client's protocol (C3 to C5, C22 to C24)."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from connector_lab import LOOPBACK, ClientStream, echo_server, port_of
from connector_world import DEVICE, GRANT, World, acl, entry, flow_id, res
from fake_controller import FakeController, fake_controller
from fake_relay import FakeRelay, fake_relay
from tls_material import tls_material

from connector import daemon as module
from connector import live_flows, metrics
from connector.daemon import Daemon
from connector.identity import (
    CONFIG_FILE,
    FLOOR_FILE,
    Identity,
    load_identity,
    make_certificate,
    save_config,
    save_identity,
)
from connector.settings import Settings
from connector.status import describe, status_handler, why_not_ready
from protocol.acl.model import Acl
from protocol.control import (
    Cutoff,
    Enforced,
    Goodbye,
    Heartbeat,
    Hello,
    LiveFlows,
    LiveVerdict,
    Message,
    PushConfig,
    Records,
    Revoke,
    Revoked,
)
from protocol.errors import LocalError
from protocol.ids import NetworkId, Revision
from protocol.reasons import Reason
from protocol.streams import StreamHeader, encode_header, encode_proof
from protocol.tokens.keys import SigningKey, generate_key, key_to_pem
from protocol.tokens.verify import verify_assertion
from runtime.backoff import Backoff
from runtime.clock import SystemClock
from runtime.files import StateDir
from runtime.lifecycle import Lifecycle
from runtime.status_socket import Peer
from runtime.tasks import TaskScope
from runtime.tunnel import Tunnel

WHITELIST = acl(entry("127.0.0.0/8", lease_s=30))


@dataclass
class Stage:
    """A running connector and everybody around it."""

    world: World
    controller: FakeController
    relay: FakeRelay
    state: StateDir
    identity: Identity
    daemon: Daemon
    lifecycle: Lifecycle
    scope: TaskScope
    running: "asyncio.Task[None] | None" = None
    clients: list[Tunnel] = field(default_factory=list)

    @property
    def now(self) -> int:
        return int(SystemClock().wall())

    def start(self) -> None:
        self.running = self.scope.spawn(self.daemon.run(self.lifecycle), name="daemon")

    async def stop(self) -> None:
        self.lifecycle.stop.set()
        if self.running is not None:
            async with asyncio.timeout(60):
                await asyncio.wait([self.running])

    def config(self, whitelist: Acl = WHITELIST, *, revision: int = 7, **fields: Any) -> str:
        fields = {"relays": (self.relay.entry(),), "egress_allow": LOOPBACK, "issued_at": self.now, **fields}
        return self.world.config(self.world.config_claims(whitelist, revision=revision, **fields))

    async def enforce(self, token: str) -> Enforced:
        count = len(self.controller.seen(Enforced))
        await self.controller.push(PushConfig(token))
        return await self.controller.wait_for(Enforced, nth=count + 1)

    async def client(self, whitelist: Acl = WHITELIST) -> Tunnel:
        """A client comes through the relay and proves itself."""
        leg = await self.relay.connect()
        tunnel = Tunnel.client(leg, [self.identity.pin], SystemClock())
        await tunnel.handshake(10)
        self.clients.append(tunnel)
        self.world.pins = (self.identity.pin,)
        token = self.world.access(whitelist, issued_at=self.now)
        proof = ClientStream(tunnel.open_stream())
        made = self.world.proof(token, exporter=tunnel.exporter(), pin=self.identity.pin)
        proof.stream.write(encode_proof(made))
        assert (await proof.answer()).reason is None
        return tunnel

    def open(self, tunnel: Tunnel, port: int, number: int, data: bytes = b"") -> ClientStream:
        stream = ClientStream(tunnel.open_stream())
        header = StreamHeader("tcp", "127.0.0.1", port, flow_id(number), res(1))
        stream.stream.write(encode_header(header) + data)
        return stream


def answer_live_flows(stage: Stage, allow: Callable[[LiveFlows], tuple[Any, ...]]) -> None:
    """Makes the fake controller answer LiveFlows."""

    def react(message: Message) -> None:
        if isinstance(message, LiveFlows):
            verdict = LiveVerdict(message.id, Revision(7), allow(message))
            stage.scope.spawn(stage.controller.push(verdict), name="verdict")

    stage.controller.on_message = react


@asynccontextmanager
async def staged(tmp_path: Path, *, start: bool = True) -> AsyncIterator[Stage]:
    async with fake_controller() as controller, fake_relay() as relay, TaskScope("stage") as scope:
        world = World(issuer=controller.issuer, signing=controller.key)
        key, state = generate_key(), StateDir(tmp_path / "state")
        state.ensure()
        wall = SystemClock().wall()
        identity = Identity(
            world.connector,
            NetworkId("net_AAAAAAAAAAAAAAAAAAAAAA"),
            world.issuer,
            controller.url,
            key,
            key_to_pem(key),
            make_certificate(key, wall),
            tls_material().ca_pem,
            world.keys,
        )
        save_identity(state, identity)
        settings = Settings(state_dir=state.path, runtime_dir=tmp_path / "run", drain_s=0.3)
        daemon = Daemon(settings, load_identity(state), state)
        daemon.link.backoff = Backoff(initial_s=0.001, cap_s=0.02)
        stage = Stage(world, controller, relay, state, identity, daemon, Lifecycle(), scope)
        answer_live_flows(stage, lambda message: tuple(flow.flow for flow in message.flows))
        if start:
            stage.start()
            await controller.wait_for(Hello)
        yield stage
        await stage.stop()
        for tunnel in stage.clients:
            tunnel.close()


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not done():
            await asyncio.sleep(0.005)


async def test_c2_it_says_who_it_is_with_its_own_key(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        token = stage.controller.authorizations[0].removeprefix("Bearer ")
        key = stage.identity.key.public_key()
        claims = verify_assertion(token, key=key, audience=stage.controller.url, now=stage.now)
        assert claims.agent == stage.world.connector
        hello = await stage.controller.wait_for(Hello)
        assert (hello.epoch, hello.revision, hello.pin) == (0, 0, stage.identity.pin)


async def test_c3_c4_a_config_is_enforced_acknowledged_and_kept(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        token = stage.config()
        enforced = await stage.enforce(token)
        digest = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        assert enforced == Enforced(1, Revision(7), digest)
        await stage.relay.until(attached=1, parked=2)
        await until(lambda: stage.daemon.ready)
        assert stage.state.read(CONFIG_FILE) == token.encode()
        assert stage.state.read_json(FLOOR_FILE) == {"epoch": 1, "revision": 7}
        assert why_not_ready(stage.daemon) is None


async def test_c5_heartbeats_tell_pin_relays_and_flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.agent_link.HEARTBEAT_INTERVAL_S", 0.05)
    async with staged(tmp_path) as stage, await echo_server() as server:
        await stage.enforce(stage.config())
        tunnel = await stage.client()
        await stage.open(tunnel, port_of(server), 1, b"x").until_data(1)
        count = len(stage.controller.heartbeats)
        beat = await stage.controller.wait_for(Heartbeat, nth=count + 2)
        assert beat.pin == stage.identity.pin
        assert (beat.relays, beat.flows, beat.tunnels) == ((stage.relay.relay,), 1, 1)


async def test_the_whole_way_of_a_connection_and_its_record(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, await echo_server() as server:
        await stage.enforce(stage.config())
        tunnel = await stage.client()
        stream = stage.open(tunnel, port_of(server), 1, b"end to end")
        assert await stream.until_data(10) == b"end to end"
        stream.stream.write_eof()
        records = await stage.controller.wait_for(Records)
        (record,) = records.records
        assert (record.flow, record.device, record.resource, record.relay) == (
            flow_id(1),
            DEVICE,
            res(1),
            stage.relay.relay,
        )
        assert (record.outcome, record.bytes_up, record.bytes_down, record.grants) == ("normal", 10, 10, (GRANT,))
        await until(lambda: len(stage.daemon.enforcer.records) == 0)


async def test_metrics_and_readiness_follow_what_the_connector_has(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, await echo_server() as server:
        shown = metrics.source(stage.daemon)
        assert await shown.why_not_ready() is not None  # no config yet
        await stage.enforce(stage.config())
        tunnel = await stage.client()
        await stage.open(tunnel, port_of(server), 1, b"x").until_data(1)
        assert (await stage.open(tunnel, 1, 2).answer()).reason == "connection_refused"
        assert await shown.why_not_ready() is None
        found = {metric.name: metric.samples for metric in shown.collect()}
        assert (found["ostiary_connector_ready"], found["ostiary_connector_flows"]) == ({(): 1.0}, {(): 1})
        assert found["ostiary_connector_config_revision"] == {(): 7}
        assert found["ostiary_connector_outcomes_total"] == {("connection_refused",): 1}
        await stage.controller.push(PushConfig(stage.config(revision=8, relays=())))
        await until(lambda: not stage.daemon.ready)
        assert await shown.why_not_ready() is not None


async def test_c23_a_revocation_resets_open_connections_within_a_second(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, await echo_server() as server:
        await stage.enforce(stage.config())
        tunnel = await stage.client()
        stream = stage.open(tunnel, port_of(server), 1, b"x")
        await stream.until_data(1)
        began = asyncio.get_running_loop().time()
        cutoff = Cutoff(DEVICE, res(1), stage.now + 1, "access_revoked")
        await stage.controller.push(Revoke(Revision(8), (cutoff,)))
        assert await stream.until_reset() is Reason.ACCESS_REVOKED
        assert asyncio.get_running_loop().time() - began < 1.0
        await stage.enforce(stage.config(revision=8, cutoffs=(cutoff,)))
        assert (await stage.open(tunnel, port_of(server), 2).answer()).reason == "token_revoked"


async def test_c22_a_config_without_the_resource_resets_too(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, await echo_server() as server:
        await stage.enforce(stage.config())
        tunnel = await stage.client()
        stream = stage.open(tunnel, port_of(server), 1, b"x")
        await stream.until_data(1)
        await stage.enforce(stage.config(acl(), revision=8))
        assert await stream.until_reset() is Reason.RESOURCE_CHANGED


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"revision": 6}, Reason.SNAPSHOT_ROLLBACK),
        ({"revision": 9, "epoch": 0}, Reason.SNAPSHOT_ROLLBACK),
        ({"revision": 9, "issued_at": 1_000_000}, Reason.TOKEN_EXPIRED),
    ],
)
async def test_t8_bad_configs_are_refused_and_told(tmp_path: Path, change: dict[str, int], reason: Reason) -> None:
    async with staged(tmp_path) as stage:
        await stage.enforce(stage.config())
        await stage.controller.push(PushConfig(stage.config(**change)))  # type: ignore[arg-type]
        await until(lambda: stage.daemon.problem is not None)
        assert stage.daemon.problem is not None
        assert stage.daemon.problem.reason is reason
        assert stage.daemon.enforcer.keeper.floor == (1, 7)
        assert len(stage.controller.seen(Enforced)) == 1
        await stage.enforce(stage.config(revision=8))
        assert stage.daemon.problem is None


async def test_a_config_of_another_controller_is_refused(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.world.signing = SigningKey("key-1", generate_key())
        await stage.controller.push(PushConfig(stage.config()))
        await until(lambda: stage.daemon.problem is not None)
        assert stage.daemon.problem is not None
        assert stage.daemon.problem.reason is Reason.TOKEN_SIGNATURE
        assert not stage.daemon.ready


async def test_d4_after_every_reconnect_the_live_set_is_exchanged(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, await echo_server() as server:
        await stage.enforce(stage.config())
        tunnel = await stage.client()
        kept, gone = (stage.open(tunnel, port_of(server), number, b"x") for number in (1, 2))
        await kept.until_data(1)
        await gone.until_data(1)
        answer_live_flows(stage, lambda _message: (flow_id(1),))
        stage.controller.drop()
        live = await stage.controller.wait_for(LiveFlows, nth=2)
        assert {item.flow for item in live.flows} == {flow_id(1), flow_id(2)}
        assert await gone.until_reset() is Reason.ACCESS_REVOKED
        kept.stream.write(b"y")
        assert await kept.until_data(2) == b"xy"
        hello = stage.controller.seen(Hello)[1]
        assert (hello.epoch, hello.revision) == (1, 7)


async def test_d4_t36_a_verdict_that_does_not_come_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_flows, "VERDICT_DEADLINE_S", 0.05)
    async with staged(tmp_path) as stage, await echo_server() as server:
        await stage.enforce(stage.config())
        gone = stage.open(await stage.client(), port_of(server), 1, b"x")
        await gone.until_data(1)
        # The controller lives, but is too busy after its restart to judge in time.
        stage.controller.on_message = lambda _message: None
        stage.controller.drop()
        await stage.controller.wait_for(LiveFlows, nth=2)
        answer_live_flows(stage, lambda _message: ())
        assert await gone.until_reset() is Reason.ACCESS_REVOKED


async def test_c24_without_the_controller_everything_goes_on_until_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TICK_S", 0.02)
    async with staged(tmp_path) as stage, await echo_server() as server:
        await stage.enforce(stage.config())
        tunnel = await stage.client()
        old = stage.open(tunnel, port_of(server), 1, b"x")
        await old.until_data(1)
        stage.controller.refuse = (503, {})
        stage.controller.drop()
        await until(lambda: not stage.daemon.link.state.connected)
        new = stage.open(tunnel, port_of(server), 2, b"new")
        assert await new.until_data(3) == b"new"
        old.stream.write(b"y")
        assert await old.until_data(2) == b"xy"
        # 31 seconds pass without a word of the controller; the lease is 30.
        stage.daemon.enforcer.heard_at -= 31
        assert await old.until_reset() is Reason.LEASE_EXPIRED
        assert await new.until_reset() is Reason.LEASE_EXPIRED
        assert (await stage.open(tunnel, port_of(server), 3).answer()).reason == "lease_expired"
        stage.controller.refuse = None
        records = await stage.controller.wait_for(Records)
        assert {record.outcome for record in records.records} == {"lease_expired"}
        back = stage.open(tunnel, port_of(server), 4, b"back")
        assert await back.until_data(4) == b"back"


async def test_records_are_resent_until_they_are_accepted(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.enforce(stage.config())
        tunnel = await stage.client()
        stage.controller.accept_records = False
        assert (await stage.open(tunnel, 1, 1).answer()).reason == "connection_refused"
        first = await stage.controller.wait_for(Records)
        stage.controller.accept_records = True
        stage.controller.drop()
        second = await stage.controller.wait_for(Records, nth=2)
        assert first.records == second.records
        await until(lambda: len(stage.daemon.enforcer.records) == 0)


async def test_t57_a_restart_begins_with_the_last_good_config(tmp_path: Path) -> None:
    async with staged(tmp_path, start=False) as stage:
        stage.controller.refuse = (503, {})
        save_config(stage.state, stage.config(), 1, 7)
        stage.start()
        await stage.relay.until(attached=1, parked=2)
        await until(lambda: stage.daemon.ready)
        assert not stage.daemon.link.state.connected


@pytest.mark.parametrize("damage", ["edited", "expired", "other", "binary"])
async def test_t57_a_stored_config_is_verified_again(tmp_path: Path, damage: str) -> None:
    async with staged(tmp_path, start=False) as stage:
        stage.controller.refuse = (503, {})
        token = {
            "edited": stage.config()[:-4] + "AAAA",
            "expired": stage.config(issued_at=1_000_000),
            "other": World(signing=SigningKey("key-1", generate_key())).config(stage.world.config_claims(WHITELIST)),
            "binary": "\udcff\udcfe",
        }[damage]
        stage.state.write(CONFIG_FILE, token.encode("utf-8", "surrogateescape"))
        stage.start()
        await until(lambda: stage.daemon.link.state.attempts > 1)
        assert stage.daemon.enforcer.keeper.current is None
        assert stage.relay.tickets == []


async def test_t57_the_floor_survives_the_loss_of_the_config(tmp_path: Path) -> None:
    async with staged(tmp_path, start=False) as stage:
        stage.state.write_json(FLOOR_FILE, {"epoch": 1, "revision": 50})
        stage.start()
        hello = await stage.controller.wait_for(Hello)
        assert (hello.epoch, hello.revision) == (0, 0)
        await stage.controller.push(PushConfig(stage.config(revision=49)))
        await until(lambda: stage.daemon.problem is not None)
        await stage.enforce(stage.config(revision=50))


async def test_f8_a_restart_does_not_begin_a_new_lease(tmp_path: Path) -> None:
    async with staged(tmp_path, start=False) as stage, await echo_server() as server:
        stage.controller.refuse = (503, {})
        save_config(stage.state, stage.config(issued_at=stage.now - 60), 1, 7)
        stage.start()
        tunnel = await stage.client()
        assert (await stage.open(tunnel, port_of(server), 1).answer()).reason == "lease_expired"


async def test_a_removed_connector_serves_nothing_and_forgets_its_config(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, await echo_server() as server:
        await stage.enforce(stage.config())
        tunnel = await stage.client()
        stream = stage.open(tunnel, port_of(server), 1, b"x")
        await stream.until_data(1)
        await stage.controller.push(Revoked("access_revoked"))
        assert await stream.until_reset() is Reason.ACCESS_REVOKED
        await until(lambda: not stage.daemon.peers and not stage.daemon.uplinks.attached)
        assert stage.state.read(CONFIG_FILE) is None
        why = why_not_ready(stage.daemon)
        assert why is not None
        assert why["reason"] == "access_revoked"


async def test_f22_new_keys_come_with_welcome_and_are_kept(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.enforce(stage.config())
        stage.controller.key = stage.world.signing = SigningKey("key-2", generate_key())
        stage.controller.drop()
        await stage.controller.wait_for(Hello, nth=2)
        await stage.enforce(stage.config(revision=8))
        assert load_identity(stage.state).keys.to_jwks() == stage.world.keys.to_jwks()


async def test_f2_on_sigterm_it_drains_and_says_goodbye(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, await echo_server() as server:
        await stage.enforce(stage.config())
        tunnel = await stage.client()
        stream = stage.open(tunnel, port_of(server), 1, b"x")
        await stream.until_data(1)
        stage.lifecycle.stop.set()
        await until(lambda: tunnel.gone_away is not None)
        assert tunnel.gone_away is Reason.SHUTTING_DOWN
        stream.stream.write(b"y")
        assert await stream.until_data(2) == b"xy"
        assert await stream.until_reset() is Reason.SHUTTING_DOWN
        goodbye = await stage.controller.wait_for(Goodbye)
        assert goodbye.reason == "shutting_down"
        assert [record.outcome for batch in stage.controller.seen(Records) for record in batch.records] == [
            "shutting_down"
        ]
        beats = stage.controller.heartbeats
        assert beats[-1].relays == ()


async def test_the_status_says_it_all(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, await echo_server() as server:
        handler = status_handler(stage.daemon)
        steps: list[Any] = []

        async def ask(verb: str, **args: Any) -> Any:
            async def emit(step: Any) -> None:
                steps.append(step)

            return await handler(verb, args, Peer(0, 0, 0), emit)

        assert (await ask("health"))["why"]["reason"] == "controller_unreachable"
        await stage.enforce(stage.config())
        tunnel = await stage.client()
        await stage.open(tunnel, port_of(server), 1, b"x").until_data(1)
        status = await ask("status")
        assert status == describe(stage.daemon) | {
            key: status[key] for key in ("uptime_s", "controller", "relays", "tunnels")
        }
        assert (status["ready"], status["flows"], status["config"]["revision"]) == (True, 1, 7)
        assert status["controller"]["connected"]
        assert status["relays"][0]["attached"]
        assert status["tunnels"][0]["device"] == DEVICE
        answer = await ask("test", target=f"127.0.0.1:{port_of(server)}")
        assert (answer["resource"], answer["address"]) == (res(1), "127.0.0.1")
        assert [step["step"] for step in steps] == ["policy", "resolve", "egress"]
        for verb, args in (("dance", {}), ("test", {}), ("test", {"target": "x"})):
            with pytest.raises(LocalError) as caught:
                await ask(verb, **args)
            assert caught.value.reason is Reason.INVALID_INPUT
