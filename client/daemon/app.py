"""The composition of the client daemon: what is made in which order, and taken back in reverse (F-14, T-50)."""

import asyncio
import os
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final

import structlog

from client.core.addresses import POOL_V6, POOLS_V4, AddressPlan
from client.core.classify import Classifier
from client.core.dns_guard import NameGuard
from client.core.synthetic import SyntheticPool
from client.daemon import known_preferences, metrics
from client.daemon.access_control import group_id
from client.daemon.accounts import Accounts
from client.daemon.denials import Denials
from client.daemon.dns_verbs import dns_verbs
from client.daemon.doctor import Doctor, HostCheck
from client.daemon.flows import FlowRegistry
from client.daemon.forwards import Forwards, parse_forward
from client.daemon.gateway import Gateway
from client.daemon.host_dns import HostDns
from client.daemon.identity import IdentityStore
from client.daemon.known_preferences import Knobs
from client.daemon.log_buffer import LogBuffer
from client.daemon.netcheck import netcheck_verb
from client.daemon.ping import Pinger
from client.daemon.policy import Policy
from client.daemon.preferences import Preferences
from client.daemon.proxy import Proxy
from client.daemon.proxy_names import ProxyNames
from client.daemon.proxy_ways import Ways
from client.daemon.reach import Reach
from client.daemon.report import Reporter
from client.daemon.session import Session
from client.daemon.settings import ClientSettings
from client.daemon.strict_names import StrictNames
from client.daemon.tun_mode import TunMode
from client.daemon.verbs import Desk, Verbs
from client.host.cleanup import claim, open_journal
from protocol.errors import LocalError
from protocol.reasons import Reason
from protocol.version import SOFTWARE
from runtime import upstream_proxy
from runtime.clock import SystemClock
from runtime.controller_clock import ControllerClock, boot_seconds
from runtime.files import StateDir
from runtime.http import check_url
from runtime.lifecycle import Lifecycle
from runtime.metrics import SOCKET_NAME as METRICS_SOCKET
from runtime.metrics import MetricsServer
from runtime.status_socket import StatusServer
from runtime.tasks import TaskScope

READY_WITHIN_S: Final = 10.0
"""A signed-in daemon tells systemd that it is ready when it is online; or after this long, because a controller that is
away must not make the service fail."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _WayIn:
    """How connections come to us, as far as the verbs must know it."""

    names: HostDns | ProxyNames
    knobs: Knobs
    checks: dict[str, HostCheck]


class Daemon:
    """One client daemon. ``run`` it once."""

    def __init__(self, settings: ClientSettings, logs: LogBuffer) -> None:
        self._settings = settings
        self._logs = logs
        self._clock = ControllerClock(SystemClock(), boot_seconds)

    async def run(self, lifecycle: Lifecycle) -> None:
        """Runs until ``lifecycle.stop``. Raises LocalError when it cannot start; whatever was changed is undone."""
        settings = self._settings
        state = StateDir(settings.state_dir)
        state.ensure()
        await asyncio.to_thread(claim, state)
        try:
            async with AsyncExitStack() as undo, TaskScope("client") as scope:
                await self._run(lifecycle, state, undo, scope)
        finally:
            state.unlock()
        _log.info("daemon.stopped")

    async def _run(self, lifecycle: Lifecycle, state: StateDir, undo: AsyncExitStack, scope: TaskScope) -> None:
        clock, tun = self._clock, None
        # First of all, and before anything asks a resolver: what a dead daemon has left behind (F-14).
        journal = await asyncio.to_thread(open_journal, state.path) if self._settings.mode == "tun" else None
        chosen = await asyncio.to_thread(known_preferences.chosen, self._settings, state)
        settings = chosen.settings
        pool = SyntheticPool(AddressPlan(POOLS_V4[0], POOL_V6))
        if journal is not None:
            tun = TunMode(settings, journal, clock, scope, wanted_pool=chosen.pool_v4)
            undo.push_async_callback(tun.stop)
            pool = await tun.prepare()
        classifier = Classifier(pool)
        classifier.set_clock(clock.monotonic(), clock.wall())
        flows = FlowRegistry()
        accounts = Accounts(state)
        store = accounts.store
        denials = Denials(clock, entry=lambda resource: policy.entry(resource), revision=lambda: policy.revision)
        policy = Policy(store, classifier, flows, lambda: denials, clock)
        gateway = Gateway(policy, flows, denials, clock)
        session = Session(store, policy, gateway, denials, clock, scope, sock_mark=settings.mark)
        reporter = Reporter(session, policy, gateway, denials, clock, mode=settings.mode, pool=pool)
        if tun is None:
            way_in = await self._by_proxy(settings, state, classifier, gateway, reporter, undo, scope)
        else:
            way_in = await self._by_tun(tun, classifier, session, gateway, reporter)
        # Only root can give the socket to a group; a user's own daemon is that user's alone.
        gid = group_id(settings.group) if os.geteuid() == 0 else None
        desk = self._desk(session, gateway, reporter, way_in.checks, accounts, scope)
        forwards = Forwards(classifier, gateway, clock, scope)
        desk.more["forward"] = forwards.verb
        undo.push_async_callback(forwards.stop)
        await forwards.keep(tuple(map(parse_forward, settings.forwards)))
        desk.more.update(dns_verbs(way_in.names))
        preferences = Preferences(state, known_preferences.known(self._settings, way_in.knobs, policy, desk.reach))
        await preferences.load()
        desk.more.update(preferences.verbs())
        if not chosen.connect:
            await asyncio.to_thread(_stay_down, accounts.store)
        verbs = Verbs(desk, gid=gid)
        mode = 0o600 if gid is None else 0o660
        shown = metrics.source(session, policy, reporter, denials)
        metrics_at = settings.runtime_dir / METRICS_SOCKET
        async with (
            StatusServer(settings.socket, verbs.handle, mode=mode, gid=gid),
            MetricsServer(shown, settings.metrics_listen, metrics_at),
        ):
            await session.start()
            try:
                await self._serve(lifecycle, session, reporter)
            finally:
                await session.stop()

    async def _by_proxy(
        self,
        settings: ClientSettings,
        state: StateDir,
        classifier: Classifier,
        gateway: Gateway,
        reporter: Reporter,
        undo: AsyncExitStack,
        scope: TaskScope,
    ) -> _WayIn:
        """Serves the programs that ask the proxy."""
        stored = StrictNames(state, NameGuard(strict=settings.strict_dns))
        await asyncio.to_thread(stored.load)
        names = ProxyNames(stored, gateway.policy)
        gateway.policy.on_change.append(names.follow)
        proxy = await self._start_proxy(settings, Ways(classifier, self._clock, stored.guard), gateway, scope)
        undo.callback(proxy.stop)
        reporter.proxy = lambda: proxy.address
        checks: dict[str, HostCheck] = {"proxy": lambda: _said(f"SOCKS5 and HTTP CONNECT on {proxy.address}.")}
        return _WayIn(names, Knobs(proxy.set_udp_idle, names.set_strict, proxy.move), checks)

    async def _by_tun(
        self, tun: TunMode, classifier: Classifier, session: Session, gateway: Gateway, reporter: Reporter
    ) -> _WayIn:
        """Serves every program on the host."""
        gateway.policy.on_change.append(tun.follow_policy)
        tun.active = lambda: session.active
        await tun.start(classifier, gateway)
        reporter.local_networks = lambda: tun.local.current
        reporter.dns, reporter.warnings = tun.dns.status, tun.warnings
        tun.spared = lambda: _infrastructure(session, gateway)
        return _WayIn(tun.dns, Knobs(tun.set_udp_idle, tun.dns.set_strict), tun.checks())

    def _desk(
        self,
        session: Session,
        gateway: Gateway,
        reporter: Reporter,
        checks: dict[str, HostCheck],
        accounts: Accounts,
        scope: TaskScope,
    ) -> Desk:
        """Whom the control socket's verbs ask."""
        policy, clock, mark = gateway.policy, self._clock, self._settings.mark
        reach = reporter.reach = Reach(session, policy, gateway, clock, scope)
        desk = Desk(
            session,
            reporter,
            Doctor(session, policy, reach, checks),
            reach,
            Pinger(session, policy, gateway, reach, reporter, clock, mark=mark),
            gateway.denials.activity,
            self._logs,
            accounts.owner,
        )
        session.notice.on_ending = lambda: desk.activity.state("sign_in_ending", Reason.SIGN_IN_ENDING)
        scope.spawn_supervised(reach.keep_checking, name="reach")
        desk.more.update(accounts.verbs(session))
        desk.more["netcheck"] = netcheck_verb(session, gateway, SystemClock(), mark=mark)
        return desk

    async def _start_proxy(self, settings: ClientSettings, ways: Ways, gateway: Gateway, scope: TaskScope) -> Proxy:
        """Listens where `ostiary set` says; else where the configuration says. Raises LocalError(PORT_IN_USE)."""
        configured, wanted = self._settings.proxy_address(), settings.proxy_address()
        proxy = Proxy(*configured, ways, gateway, self._clock, scope, udp_idle_s=settings.udp_idle_s)
        if wanted != configured:
            try:
                await proxy.move(*wanted)
            except LocalError as error:
                _log.error("proxy.not_moved", reason=error.reason.code, detail=error.detail)
            else:
                return proxy
        await proxy.start()
        return proxy

    async def _serve(self, lifecycle: Lifecycle, session: Session, reporter: Reporter) -> None:
        _log.info("daemon.started", version=SOFTWARE, mode=self._settings.mode, state=session.state)
        async with TaskScope("ready") as scope:
            scope.spawn(self._announce(lifecycle, session, reporter), name="announce")
            await lifecycle.stop.wait()

    async def _announce(self, lifecycle: Lifecycle, session: Session, reporter: Reporter) -> None:
        """READY when traffic can flow; without a session, when somebody can sign in."""
        for _ in range(round(READY_WITHIN_S / 0.05)):
            if session.state != "connecting":
                break
            await asyncio.sleep(0.05)
        while (blocked := reporter.warnings.get("self_test")) is not None:
            lifecycle.status(str(blocked))
            await asyncio.sleep(1.0)
        lifecycle.ready(session.state)
        shown = session.state
        while True:
            await asyncio.sleep(1.0)
            if session.state != shown:
                shown = session.state
                lifecycle.status(shown)


def _stay_down(store: IdentityStore) -> None:
    """As after `ostiary down`: nobody wants us to come up by ourselves."""
    controller = store.controller()
    if controller is not None and controller.enabled:
        store.store_controller(replace(controller, enabled=False))


def _infrastructure(session: Session, gateway: Gateway) -> frozenset[str]:
    """Names that our own connections need: never answered by synthetic addresses."""
    names = set() if gateway.tunnels is None else set(gateway.tunnels.relay_names)
    if session.controller is not None:
        host = check_url(session.controller.url).hostname
        if host is not None:
            names.add(host)
    if session.link is not None:
        names |= session.link.controllers.hosts
    proxy = upstream_proxy.current()
    if proxy is not None:
        names.add(proxy.host.lower())
    return frozenset(names)


def _said(sentence: str) -> Awaitable[str]:
    async def say() -> str:
        return sentence

    return say()
