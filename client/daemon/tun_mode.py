"""Bringing the TUN mode up, keeping it, and taking it back: device, addresses, rules, routes, resolver, self-test (F-14).

The order matters: leftovers of an earlier run are undone first, so that nothing here needs a resolver that a dead daemon
has left behind; the host asks our resolver only when it answers; and all is undone in reverse.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from ipaddress import IPv4Network
from typing import Final

import structlog

from client.core.addresses import AddressPlan, plan_addresses
from client.core.classify import Classifier
from client.core.intercept import Interceptor
from client.core.synthetic import SyntheticPool
from client.daemon.doctor import HostCheck
from client.daemon.gateway import Gateway
from client.daemon.host_dns import HostDns
from client.daemon.intercept import Interception
from client.daemon.same_address import LocalNetworks
from client.daemon.settings import ClientSettings
from client.host.guard import Guard
from client.host.journal import Journal
from client.host.listener import open_listener
from client.host.network import HostNetwork, ipv6_available
from client.host.selftest import self_test
from client.host.tun import TunDevice
from protocol.acl.model import IPAddress
from protocol.errors import LocalError, OstiaryError
from protocol.reasons import Reason
from runtime.clock import Clock
from runtime.tasks import TaskScope

REPAIR_EVERY_S: Final = 5.0

_log = structlog.get_logger(__name__)


class TunMode:
    """The TUN mode of a running daemon. ``prepare`` chooses addresses; ``start`` changes the host; ``stop`` undoes it.

    ``wanted_pool`` is taken for synthetic addresses when nobody uses it, before those of the settings.
    """

    def __init__(
        self,
        settings: ClientSettings,
        journal: Journal,
        clock: Clock,
        scope: TaskScope,
        *,
        wanted_pool: IPv4Network | None = None,
    ) -> None:
        self._settings = settings
        self._wanted_pool = wanted_pool
        self._journal = journal
        self._clock = clock
        self._scope = scope
        self._network = HostNetwork(journal)
        self._guard = Guard(settings.state_dir, log_json=settings.log_json) if settings.guard else None
        self._undo = AsyncExitStack()
        self._plan: AddressPlan | None = None
        self._pool: SyntheticPool | None = None
        self._device: TunDevice | None = None
        self.dns = HostDns(settings, journal, clock, scope, spared=lambda: self.spared())
        self._gateway: Gateway | None = None
        self.interception: Interception | None = None
        self.spared: Callable[[], frozenset[str]] = frozenset
        """Names of the controller and the relays."""
        self.active: Callable[[], bool] = lambda: True
        """Whether the host's questions and traffic are ours to look at."""
        self.warnings: dict[str, LocalError] = {}
        self.local = LocalNetworks(self._network.in_use, self.warnings)

    @property
    def plan(self) -> AddressPlan:
        """The addresses; after ``prepare``."""
        assert self._plan is not None
        return self._plan

    async def prepare(self) -> SyntheticPool:
        """Chooses addresses that nobody uses. Raises LocalError(ADDRESS_COLLISION)."""
        if self._guard is not None:
            await asyncio.to_thread(self._guard.start)
            self._undo.push_async_callback(self._dismiss_guard)
        await self.dns.prepare()
        await self._network.open()
        self._undo.push_async_callback(self._network.close)
        pools_v4, pool_v6 = self._settings.pools()
        if self._wanted_pool is not None:
            pools_v4 = (self._wanted_pool, *pools_v4)
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
        self._undo.push_async_callback(self.dns.stop)
        await self.dns.start(plan, device, classifier, pool, gateway, self._network.add_routes)
        await self._test()
        self._scope.spawn_supervised(self._watch, name="host-watch")

    async def follow_policy(self) -> None:
        """Routes and resolver settings follow the resources; names may lie in other networks now.

        While we are not active the host's resolver settings are its own, and nothing but N is routed here.
        """
        if self._gateway is None or self._pool is None:
            return
        policy = self._gateway.policy
        try:
            if self.active():
                await self._network.set_routes([*policy.routes(), *self._pool.routes()])
                await self.local.refresh(self.plan, policy.routes())
                await self.dns.follow(policy, active=True)
            else:
                await self.dns.follow(policy, active=False)
                await self._network.set_routes(())
        except OstiaryError as error:
            _log.error("host.not_updated", reason=error.reason.code, detail=error.detail)
            self.warnings["host"] = LocalError(error.reason, error.detail)
        else:
            self.warnings.pop("host", None)

    def set_udp_idle(self, idle_s: float) -> None:
        """UDP associations end after this many quiet seconds from here on."""
        if self.interception is not None:
            self.interception.interceptor.udp.set_idle(idle_s)

    def checks(self) -> dict[str, HostCheck]:
        """What ``doctor`` looks at on this host."""
        return {"tun device": self._check_device, "resolver": self.dns.check}

    async def stop(self) -> None:
        """Takes everything back, the newest first."""
        await self._undo.aclose()

    async def _dismiss_guard(self) -> None:
        assert self._guard is not None
        await asyncio.to_thread(self._guard.stop, all_undone=not self._journal.pending)

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

    async def _watch(self) -> None:
        """Every few seconds: puts back what others took away (T-52), reads the upstreams again, releases addresses."""
        while True:
            await asyncio.sleep(REPAIR_EVERY_S)
            if self._guard is not None and await asyncio.to_thread(self._guard.keep):
                _log.warning("guard.restarted")
            repaired = list(await self._network.repair())
            if await self._repair_dns():
                repaired.append("resolver settings")
            if repaired:
                _log.warning("host.repaired", what=repaired)
            if self._gateway is not None:
                await self.local.refresh(self.plan, self._gateway.policy.routes() if self.active() else ())
            if self._pool is not None:
                gone = [address for item in self._pool.tick(self._clock.monotonic()) for address in item.addresses]
                await self._network.remove_routes(gone)
            if "self_test" in self.warnings:
                await self._test()

    async def _repair_dns(self) -> bool:
        """A resolver that cannot be set up again is a warning until it can."""
        try:
            repaired = await self.dns.repair()
        except OstiaryError as error:
            if "resolver" not in self.warnings:
                _log.error("dns.not_repaired", reason=error.reason.code, detail=error.detail)
            self.warnings["resolver"] = LocalError(error.reason, error.detail)
            return False
        self.warnings.pop("resolver", None)
        return repaired
