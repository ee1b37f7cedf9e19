"""Bringing the TUN mode up, keeping it, and taking it back: device, addresses, rules, routes, resolver, self-test (F-14).

The order matters: leftovers of an earlier run are undone first, so that nothing here needs a resolver that a dead daemon
has left behind; the host asks our resolver only when it answers; and all is undone in reverse.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

import dns.message
import dns.rcode
import structlog

from client.core.addresses import AddressPlan, plan_addresses
from client.core.classify import Classifier
from client.core.dns import CANARY, DnsDecider
from client.core.intercept import Interceptor
from client.core.synthetic import SyntheticPool
from client.daemon.dns_server import DnsServer
from client.daemon.doctor import HostCheck
from client.daemon.gateway import Gateway
from client.daemon.intercept import Interception
from client.daemon.same_address import LocalNetworks
from client.daemon.settings import ClientSettings
from client.host import SOCKET_MARK
from client.host.guard import Guard
from client.host.journal import Journal
from client.host.listener import open_listener
from client.host.network import HostNetwork, ipv6_available
from client.host.resolv_conf import RESOLV_CONF
from client.host.resolver_settings import ResolverSettings, SystemdResolved, choose_resolver_settings
from client.host.selftest import self_test
from client.host.tun import TunDevice
from client.host.upstream import forward_query, parse_nameservers
from protocol.acl.model import IPAddress
from protocol.errors import LocalError, OstiaryError
from protocol.reasons import Reason
from runtime.clock import Clock
from runtime.tasks import TaskScope

REPAIR_EVERY_S: Final = 5.0

_log = structlog.get_logger(__name__)


class TunMode:
    """The TUN mode of a running daemon. ``prepare`` chooses addresses; ``start`` changes the host; ``stop`` undoes it."""

    def __init__(self, settings: ClientSettings, journal: Journal, clock: Clock, scope: TaskScope) -> None:
        self._settings = settings
        self._journal = journal
        self._clock = clock
        self._scope = scope
        self._network = HostNetwork(journal)
        self._guard = Guard(settings.state_dir, log_json=settings.log_json) if settings.guard else None
        self._undo = AsyncExitStack()
        self._plan: AddressPlan | None = None
        self._pool: SyntheticPool | None = None
        self._device: TunDevice | None = None
        self._decider: DnsDecider | None = None
        self._resolver: ResolverSettings | None = None
        self._upstreams: tuple[str, ...] = ()
        self._gateway: Gateway | None = None
        self.interception: Interception | None = None
        self.spared: Callable[[], frozenset[str]] = frozenset
        """Names of the controller and the relays."""
        self.active: Callable[[], bool] = lambda: True
        """Whether the host's questions and traffic are ours to look at."""
        self.warnings: dict[str, LocalError] = {}
        self.local = LocalNetworks(self._network.in_use, self.warnings)
        self._resolver_lock = asyncio.Lock()

    @property
    def plan(self) -> AddressPlan:
        """The addresses; after ``prepare``."""
        assert self._plan is not None
        return self._plan

    @property
    def dns(self) -> dict[str, str]:
        """How the host's questions come here, for status."""
        resolver = self._resolver
        if resolver is None:
            return {"mode": "off", "server": "", "explanation": ""}
        return {"mode": resolver.name, "server": str(self.plan.own_v4), "explanation": resolver.explanation}

    async def prepare(self) -> SyntheticPool:
        """Chooses addresses that nobody uses. Raises LocalError(ADDRESS_COLLISION)."""
        if self._guard is not None:
            await asyncio.to_thread(self._guard.start)
            self._undo.push_async_callback(self._dismiss_guard)
        await self._network.open()
        self._undo.push_async_callback(self._network.close)
        pools_v4, pool_v6 = self._settings.pools()
        in_use = await self._network.in_use()
        owners = await self._network.owners()
        pool_v6 = pool_v6 if ipv6_available() else None
        self._plan = plan_addresses(in_use, pools_v4=pools_v4, pool_v6=pool_v6, owners=owners)
        self._pool = SyntheticPool(self._plan)
        return self._pool

    async def start(self, classifier: Classifier, gateway: Gateway) -> None:
        """Makes the device and sends the host's traffic for resources into it.

        Raises:
            LocalError: NEEDS_ROOT, NO_TUN, ALREADY_RUNNING, PORT_IN_USE, DNS_SETUP_FAILED. Call ``stop`` all the same.
        """
        plan, pool = self.plan, self._pool
        assert pool is not None
        self._gateway = gateway
        device = self._device = TunDevice.open(mtu=self._settings.mtu)
        self._undo.callback(device.close)
        await self._network.set_up(device, plan)
        own: dict[int, IPAddress] = {4: plan.own_v4, **({} if plan.own_v6 is None else {6: plan.own_v6})}
        listeners: dict[int, socket.socket] = {}
        for version, address in own.items():
            listeners[version] = open_listener(address, device.name)
            self._undo.callback(listeners[version].close)
        ports = {version: listener.getsockname()[1] for version, listener in listeners.items()}
        interceptor = Interceptor(classifier, plan, ports, udp_idle_s=self._settings.udp_idle_s)
        self.interception = Interception(interceptor, device, listeners, plan, gateway, self._clock, self._scope)
        self.interception.start()
        self._undo.callback(self.interception.stop)
        self._scope.spawn(self.interception.run_timers(), name="packet-timers")
        await self._start_dns(classifier, pool, gateway)
        await self._test()
        self._scope.spawn_supervised(self._watch, name="host-watch")

    async def follow_policy(self) -> None:
        """Routes and resolver settings follow the resources; names may lie in other networks now.

        While we are not active the host's resolver settings are its own, and nothing but N is routed here.
        """
        if self._decider is None or self._gateway is None or self._pool is None:
            return
        self._decider.clear()
        policy = self._gateway.policy
        try:
            if self.active():
                await self._network.set_routes([*policy.routes(), *self._pool.routes()])
                await self.local.refresh(self.plan, policy.routes())
                await self._take_resolver(policy.domains())
            else:
                await self._give_resolver_back()
                await self._network.set_routes(())
        except OstiaryError as error:
            _log.error("host.not_updated", reason=error.reason.code, detail=error.detail)
            self.warnings["host"] = LocalError(error.reason, error.detail)
        else:
            self.warnings.pop("host", None)

    def checks(self) -> dict[str, HostCheck]:
        """What ``doctor`` looks at on this host."""
        return {"tun device": self._check_device, "resolver": self._check_resolver}

    async def stop(self) -> None:
        """Takes everything back, the newest first."""
        await self._undo.aclose()

    async def _dismiss_guard(self) -> None:
        assert self._guard is not None
        await asyncio.to_thread(self._guard.stop, all_undone=not self._journal.pending)

    async def _start_dns(self, classifier: Classifier, pool: SyntheticPool, gateway: Gateway) -> None:
        self._decider = DnsDecider(classifier, pool)
        server = DnsServer(
            self.plan.own_v4,
            self._decider,
            gateway,
            upstreams=lambda: self._upstreams,
            routes=self._network.add_routes,
            spared=lambda: self.spared(),
            clock=self._clock,
            scope=self._scope,
            mark=SOCKET_MARK,
        )
        await server.start()
        self._undo.callback(server.stop)
        self._undo.push_async_callback(self._give_resolver_back)

    async def _take_resolver(self, domains: tuple[str, ...]) -> None:
        async with self._resolver_lock:
            if self._resolver is not None:
                await asyncio.to_thread(self._resolver.update, domains)
                return
            assert self._device is not None
            resolver = choose_resolver_settings(self._journal, self._device.name, [self.plan.own_v4])
            self._upstreams = await asyncio.to_thread(resolver.upstreams)
            await asyncio.to_thread(resolver.apply, domains)
            self._resolver = resolver
            _log.info("dns.mode", mode=resolver.name, why=resolver.explanation, upstreams=len(self._upstreams))

    async def _give_resolver_back(self) -> None:
        async with self._resolver_lock:
            resolver, self._resolver = self._resolver, None
            if resolver is not None:
                await asyncio.to_thread(resolver.restore)
                _log.info("dns.restored", mode=resolver.name)

    async def _test(self) -> None:
        """Raises nothing: ``status`` and ``doctor`` name what is in the way, and it is tried again."""
        assert self._device is not None
        assert self.interception is not None
        tcp = self.interception.interceptor.tcp
        try:
            await self_test(self.plan, self._device.name, lambda: tcp.probes_seen)
        except LocalError as error:
            if "self_test" not in self.warnings:
                _log.error("self_test.failed", detail=error.detail)
            self.warnings["self_test"] = error
        else:
            if self.warnings.pop("self_test", None) is not None:
                _log.info("self_test.passed")

    async def _check_device(self) -> str:
        if self._device is None:
            raise LocalError(Reason.NO_TUN)
        await self._test()
        if "self_test" in self.warnings:
            raise self.warnings["self_test"]
        return f"Connections through {self._device.name} arrive."

    async def _check_resolver(self) -> str:
        """Asks as the host does: whoever answers NXDOMAIN to the canary is us."""
        if self._resolver is None:
            return "This host's own: the client is not up."
        query = dns.message.make_query(CANARY, "A").to_wire()
        server = "127.0.0.53" if isinstance(self._resolver, SystemdResolved) else None
        servers = (server,) if server else parse_nameservers(await asyncio.to_thread(RESOLV_CONF.read_bytes))
        reply = dns.message.from_wire(await forward_query(query, servers[:1], tcp=False, mark=0))
        if server is None and reply.rcode() is not dns.rcode.NXDOMAIN:
            raise LocalError(Reason.DNS_SETUP_FAILED, f"{servers[0]} answers this host's questions, not we")
        why = f"{self._resolver.name}: {self._resolver.explanation}"
        return f"Questions about resources come to {self.plan.own_v4} ({why})."

    async def _watch(self) -> None:
        """Every few seconds: puts back what others took away (T-52), reads the upstreams again, releases addresses."""
        while True:
            await asyncio.sleep(REPAIR_EVERY_S)
            if self._guard is not None and await asyncio.to_thread(self._guard.keep):
                _log.warning("guard.restarted")
            repaired = list(await self._network.repair())
            async with self._resolver_lock:
                resolver = self._resolver
                if resolver is not None:
                    if await asyncio.to_thread(resolver.repair):
                        repaired.append("resolver settings")
                    self._upstreams = await asyncio.to_thread(resolver.upstreams)
            if repaired:
                _log.warning("host.repaired", what=repaired)
            if self._gateway is not None:
                await self.local.refresh(self.plan, self._gateway.policy.routes() if self.active() else ())
            if self._pool is not None:
                gone = [address for item in self._pool.tick(self._clock.monotonic()) for address in item.addresses]
                await self._network.remove_routes(gone)
            if "self_test" in self.warnings:
                await self._test()
