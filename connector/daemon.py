"""The connector's daemon: its link to the controller, its uplinks, its tunnels, and the order in which changes apply.

Order matters: a Revoke is enforced before the config that follows it; LiveFlows goes out after every Welcome; a config is
acknowledged when it is enforced, not when it has arrived. With the controller away everything goes on until the leases end.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping
from typing import Final
from weakref import WeakSet

import structlog

from connector.announcing import announce
from connector.destination_tests import DestinationTests
from connector.direct import DirectListener
from connector.enforcer import Enforcer
from connector.identity import Identity, forget_config, load_config, load_floor, save_config, save_keys
from connector.live_flows import exchange_live_flows
from connector.peer import Trust, TunnelPeer
from connector.resolver import Resolver
from connector.rotation import KeyRotation
from connector.settings import Settings
from connector.streams import StreamServer
from connector.timekeeper import Timekeeper
from connector.uplink import Uplink, Uplinks
from connector.witnessing import Observer
from protocol.control import (
    Enforced,
    Goodbye,
    Heartbeat,
    Hello,
    Message,
    PushConfig,
    Revoke,
    Revoked,
    Welcome,
)
from protocol.control_keys import KeysChanged
from protocol.control_tests import TestDestination
from protocol.errors import OstiaryError, RemoteError
from protocol.ids import RelayId
from protocol.limits import LEASE_MAX_S
from protocol.reasons import Reason, reason_from_code
from protocol.tokens.claims import Config, ConfigRelay
from protocol.tokens.digests import token_digest
from protocol.tokens.keys import VerificationKeys
from protocol.tokens.verify import verify_config
from protocol.version import PROTOCOL, SOFTWARE
from runtime.agent_link import AgentLink
from runtime.clock import Clock, SystemClock
from runtime.controller_clock import ControllerClock, boot_seconds
from runtime.controllers import load_controllers
from runtime.files import StateDir
from runtime.leg_roles import LegLike
from runtime.lifecycle import Lifecycle
from runtime.record_reporter import Reporter
from runtime.tasks import TaskScope

TICK_S: Final = 0.5
RECORDS_FLUSH_S: Final = 3.0
"""At the end, for the last records."""

_log = structlog.get_logger(__name__)


class Daemon:
    """Everything between ``run`` and the end. Make it inside a running event loop; await ``run`` once."""

    def __init__(self, settings: Settings, identity: Identity, state: StateDir, *, clock: Clock | None = None) -> None:
        self.settings = settings
        self.identity = identity
        self.clock = ControllerClock(SystemClock(), boot_seconds) if clock is None else ControllerClock(clock)
        self.started_at = self.clock.monotonic()
        self.enforcer = Enforcer(connector=identity.connector, network=identity.network, clock=self.clock)
        self.resolver = Resolver(self.clock, settings.resolver_addresses)
        self.trust = Trust(identity.key_pem, identity.certificate_pem, identity.issuer, identity.keys)
        self.peers: dict[int, TunnelPeer] = {}
        self.problem: OstiaryError | None = None
        """Why the last config was refused, or our standing lost; None when all is well."""
        self.draining = False
        self.observer = Observer(identity.issuer, state)
        self._state = state
        self._context = identity.context()
        self._next_number = 0
        self._scope = TaskScope("connector")
        self._flow_scope = TaskScope("flows")
        self._server = StreamServer(self.enforcer, self.resolver, self._flow_scope, udp_idle_s=settings.udp_idle_s)
        self.uplinks = Uplinks(self._make_uplink, self._scope)
        self._progress = asyncio.Event()
        """A flow ended, or records were acknowledged: what the drain waits for."""
        self._timekeeper = Timekeeper(self.clock)
        self.enforcer.on_record = self._on_record
        self.link = AgentLink(
            url=identity.controller_url,
            context=self._context,
            assertion=lambda: self.identity.assertion(self.clock.wall()),
            hello=self._hello,
            heartbeat=self._heartbeat,
            on_message=self._on_message,
            on_connected=self._on_connected,
            clock=self.clock.base,
            known=load_controllers(state, identity.controller_url, self.clock.wall),
        )
        self.rotation = KeyRotation(self, self.link, state, self.clock, every_days=settings.key_rotation_days)
        self._made: WeakSet[TunnelPeer] = WeakSet()
        """All ends of tunnels, parked ones included."""
        self.direct = DirectListener(settings, host=self, keeper=self.enforcer.keeper, clock=self.clock)
        self.reporter = Reporter(self.enforcer.records, self.link, on_progress=self._progress.set)
        self._tests = DestinationTests(self.enforcer.keeper, self.resolver, self.clock, self._scope, self.link.send)

    @property
    def ready(self) -> bool:
        """A valid config, and at least one relay through which clients can come."""
        served = self.enforcer.keeper.current
        return (
            not self.draining
            and served is not None
            and not served.expired(self.clock.wall())
            and bool(self.uplinks.attached)
        )

    async def run(self, lifecycle: Lifecycle) -> None:
        """Serves until ``lifecycle.stop``; then drains."""
        self._load_stored_config()
        self.direct.open()
        async with self._scope, self._flow_scope:
            self._scope.spawn_supervised(self.link.run, name="link")
            self._scope.spawn_supervised(self._tick, name="tick")
            self._scope.spawn_supervised(self.reporter.run, name="records")
            self._scope.spawn_supervised(self.rotation.run, name="rotation")
            self._scope.spawn(self.direct.run(), name="direct")
            told = announce(lifecycle, ready=lambda: self.ready, relays=lambda: len(self.uplinks.attached))
            self._scope.spawn(told, name="announce")
            await lifecycle.stop.wait()
            await self._drain(lifecycle)

    # PeerHost

    def make_peer(self, leg: LegLike, relay: RelayId | None) -> TunnelPeer:
        """Makes the connector's end of a tunnel: over a leg that is about to be parked, or over a client's own connection."""
        self._next_number += 1
        peer = TunnelPeer(
            number=self._next_number,
            leg=leg,
            relay=relay,
            trust=self.trust,
            enforcer=self.enforcer,
            server=self._server,
            clock=self.clock,
        )
        self._made.add(peer)
        return peer

    def adopt(self, peer: TunnelPeer) -> None:
        """A client was paired with a parked leg: serves the tunnel to its end."""
        if self.draining:
            peer.close(Reason.SHUTTING_DOWN)
            return
        self.peers[peer.number] = peer
        self._flow_scope.spawn(self._serve_peer(peer), name=f"tunnel-{peer.number}", on_crash=self._peer_crashed)

    async def _serve_peer(self, peer: TunnelPeer) -> None:
        try:
            await peer.serve()
        finally:
            self.peers.pop(peer.number, None)
            peer.close(Reason.INTERNAL)

    def _peer_crashed(self, error: Exception) -> None:
        _log.error("tunnel.crashed", exc_info=error)

    def _make_uplink(self, relay: ConfigRelay) -> Uplink:
        return Uplink(relay, context=self._context, host=self, clock=self.clock, parked_legs=self.settings.parked_legs)

    # connector.rotation.Host

    def use_identity(self, identity: Identity) -> None:
        """Shows another certificate on tunnels that begin (F-23)."""
        self.identity = identity
        self.trust.key_pem, self.trust.certificate_pem = identity.key_pem, identity.certificate_pem

    def let_go(self, key_pem: bytes) -> None:
        """Asks clients to open nothing more on tunnels with a former certificate; what is open in them goes on.

        One whose client is still proving itself is left for the next time: its proof must not be lost.
        """
        for peer in tuple(self.peers.values()):
            if peer.key_pem == key_pem and peer.admitted is not None and not peer.let_go:
                peer.let_go = True
                peer.go_away(Reason.NORMAL)

    def drop_tunnels_of(self, key_pem: bytes) -> None:
        """Ends what still shows the certificate of a former key."""
        for peer in tuple(self._made):
            if peer.key_pem == key_pem:
                peer.close(Reason.SHUTTING_DOWN)

    # The controller's words

    def _hello(self) -> Hello:
        epoch, revision = self.enforcer.keeper.floor
        if self.enforcer.keeper.current is None:
            # Nothing is enforced: the controller must send the config even if it is the one that we had.
            epoch, revision = type(epoch)(0), type(revision)(0)
        return Hello(
            PROTOCOL,
            SOFTWARE,
            round(self.clock.base.wall() * 1000),
            epoch=epoch,
            revision=revision,
            hostname=socket.gethostname()[:255],
            pin=self.identity.pin,
            next_pin=self.rotation.next_pin,
            tests=True,
        )

    def _heartbeat(self, clock_ms: int, echo_ms: int | None) -> Heartbeat:
        return Heartbeat(
            clock_ms,
            echo_ms,
            pin=self.identity.pin,
            next_pin=self.rotation.next_pin,
            relays=() if self.draining else self.uplinks.attached,
            flows=len(self.enforcer.flows),
            tunnels=sum(1 for peer in self.peers.values() if peer.admitted is not None),
            direct=self.direct.told,
        )

    def _on_connected(self, welcome: Welcome) -> None:
        self._timekeeper.look(self.link.state, fresh=True)
        self.enforcer.heard(self.clock.monotonic())
        self._take_keys(welcome.jwks)
        self._scope.spawn(exchange_live_flows(self.enforcer, self.link), name="live-flows")
        self.reporter.wake()

    def _on_message(self, message: Message) -> None:
        match message:
            case Revoke(revision, cutoffs):
                self.enforcer.revoke(revision, cutoffs)
                self.observer.witness.note_cutoffs(self.enforcer.keeper.floor[0], revision, cutoffs)
            case PushConfig(token):
                self._take_config(token)
            case KeysChanged(jwks):
                self._take_keys(jwks)
            case TestDestination():
                self._tests.begin(message)
            case Revoked(code):
                self._lose_standing(reason_from_code(code))

    def _take_keys(self, jwks: Mapping[str, object]) -> None:
        try:
            keys = VerificationKeys.from_jwks_untrusted(jwks)
        except RemoteError as error:
            self._complain("keys.refused", error)
            return
        if keys.to_jwks() == self.trust.keys.to_jwks():
            return
        self.trust.keys = keys
        _log.info("keys.changed", kids=sorted(keys.keys))
        try:
            save_keys(self._state, keys)
        except OstiaryError as error:
            self._complain("state.not_written", error)
        for peer in tuple(self.peers.values()):
            peer.keys_changed()

    def _take_config(self, token: str) -> None:
        try:
            config = self._verify(token)
            try:
                self.observer.observe(config, self.trust.keys, self.clock.wall())
            except OstiaryError:
                # Whatever its log says: access that it takes away is taken away.
                self.enforcer.revoke(config.revision, config.cutoffs)
                raise
            self._enforce(config)
        except OstiaryError as error:
            self._complain("config.refused", error)
            return
        self.problem = None
        self.link.send(Enforced(config.epoch, config.revision, token_digest(token)))
        try:
            save_config(self._state, token, config.epoch, config.revision)
        except OstiaryError as error:
            # The config is in force all the same; only a restart without the controller would miss it (F-11).
            self._complain("state.not_written", error)

    def _verify(self, token: str) -> Config:
        return verify_config(
            token,
            keys=self.trust.keys,
            issuer=self.identity.issuer,
            connector=self.identity.connector,
            now=self.clock.wall(),
        )

    def _enforce(self, config: Config) -> None:
        self.enforcer.accept_config(config)
        self.uplinks.apply(() if self.draining else config.relays)
        if config.egress_allow:
            _log.warning("egress.overridden", networks=list(config.egress_allow))
        _log.info(
            "config.enforced",
            epoch=config.epoch,
            revision=config.revision,
            resources=len(config.acl.entries),
            relays=len(config.relays),
        )

    def _load_stored_config(self) -> None:
        """Begins with the last good config, verified again; without one, waits for the controller (T-57)."""
        self.enforcer.keeper.restore_floor(*load_floor(self._state))
        try:
            token = load_config(self._state)
            if token is None:
                return
            config = self._verify(token)
            self._enforce(config)
        except OstiaryError as error:
            self._complain("config.stored_one_refused", error)
            return
        # The controller was heard when it signed this config, and perhaps later; the lease counts from the earlier.
        away_s = min(max(0.0, self.clock.wall() - config.issued_at), float(LEASE_MAX_S))
        self.enforcer.heard_at = self.clock.monotonic() - away_s

    def _lose_standing(self, reason: Reason) -> None:
        self.problem = RemoteError(reason, "the controller revoked this connector")
        _log.error("standing.lost", reason=reason.code)
        self.uplinks.apply(())
        self.enforcer.lose_standing(reason)
        try:
            forget_config(self._state)
        except OstiaryError as error:
            _log.error("state.not_written", reason=error.reason.code, detail=error.detail)
        for peer in tuple(self.peers.values()):
            peer.close(reason)

    def _complain(self, event: str, error: OstiaryError) -> None:
        self.problem = error
        _log.error(event, reason=error.reason.code, detail=error.detail)

    # Tasks

    def _on_record(self) -> None:
        self.reporter.wake()
        self._progress.set()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if self.link.state.connected:
                self.enforcer.heard(self.link.state.last_contact)
            self.enforcer.tick()
            self._timekeeper.look(self.link.state)

    # The end

    async def _drain(self, lifecycle: Lifecycle) -> None:
        """Takes nothing new, lets what is open go on for a while, says goodbye (F-2)."""
        self.draining = True
        self.direct.close()
        lifecycle.status("draining")
        self.link.send(self._heartbeat(round(self.clock.base.wall() * 1000), None))
        self.uplinks.apply(())
        for peer in tuple(self.peers.values()):
            peer.go_away(Reason.SHUTTING_DOWN)
        flows = len(self.enforcer.flows)
        _log.info("drain.begun", flows=flows, longest_s=self.settings.drain_s)
        await self._until(lambda: not len(self.enforcer.flows), self.settings.drain_s)
        _log.info("drain.ended", left=len(self.enforcer.flows))
        for peer in tuple(self.peers.values()):
            peer.close(Reason.SHUTTING_DOWN)
        await self._flush_records()
        self.link.send(Goodbye(Reason.SHUTTING_DOWN.code))
        await self.link.flush()

    async def _flush_records(self) -> None:
        self.reporter.hurry()
        if self.link.state.connected:
            await self._until(lambda: not len(self.enforcer.records), RECORDS_FLUSH_S)
        left = len(self.enforcer.records)
        if left:
            _log.error("records.lost", count=left)

    async def _until(self, done: Callable[[], bool], deadline_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                while not done():
                    self._progress.clear()
                    await self._progress.wait()
