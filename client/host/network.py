"""The host's network as the client changes it: addresses of the device, our routing table, the rule that leads there.

Routes stand in a table of their own, before ``main``: a more specific route that somebody else
installs, by DHCP for instance, does not pull resource traffic out of the tunnel (T-52), and a resource beats the local
network (T-53). Only used addresses are routed; everything else does not even see the table's routes match (C9).

The rule outlives the process, so it is in the journal. Addresses, routes and sysctls of the device end with the device.
"""

import asyncio
import errno
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final, TypeVar

from client.core.addresses import AddressPlan, host_route
from client.host import RULE_CHANGE
from client.host.journal import Change, Journal
from client.host.netlink import Netlink
from client.host.route_digest import route_digest
from client.host.tun import TunDevice
from protocol.acl.model import IPAddress, IPNetwork
from protocol.errors import LocalError
from protocol.reasons import Reason

_CONF: Final = Path("/proc/sys/net")
_DEVICE_SYSCTLS: Final = (
    # Loose: answers seem to come from addresses for which only our own table has a route. A stricter `all` does not win,
    # the larger of the two values counts.
    ("ipv4", "rp_filter", "2"),
    # No link-local address and nothing that comes with one: the device is a private wire.
    ("ipv6", "accept_ra", "0"),
    ("ipv6", "addr_gen_mode", "1"),
    ("ipv6", "accept_dad", "0"),
)

T = TypeVar("T")


def undo_rule(data: Mapping[str, object]) -> None:
    """Takes the routing rule of one IP version away (journal kind ``rule``)."""
    with Netlink() as netlink:
        netlink.remove_rule(6 if data.get("version") == 6 else 4)


def ipv6_available() -> bool:
    """Tells whether this host's kernel speaks IPv6 at all."""
    try:
        return (_CONF / "ipv6/conf/all/disable_ipv6").read_text().strip() == "0"
    except OSError:
        return False


class HostNetwork:
    """Async face of the host's network. ``open`` it, ``set_up`` the device, keep the routes current, ``close``.

    All methods raise LocalError. Calls are carried out one after the other in a thread of their own.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="netlink")
        self._netlink: Netlink | None = None
        self._index: int | None = None
        self._plan: AddressPlan | None = None
        self._wanted: set[IPNetwork] = set()
        self._fixed: set[IPNetwork] = set()
        self._rules: list[Change] = []
        self._used: tuple[IPNetwork, ...] = ()
        self._used_at: bytes | None = None
        self._looked: bytes | None = None
        """Of routes and rules when they were last found to be in order."""

    async def open(self) -> None:
        """Opens netlink."""
        self._netlink = await self._run(Netlink)

    async def in_use(self) -> tuple[IPNetwork, ...]:
        """Returns the networks of the host's addresses and routes, for ``plan_addresses``; our device's left out."""
        return await self._run(self._read_in_use)

    async def owners(self) -> dict[IPNetwork, str]:
        """Returns the device of each network that the host has a route to."""
        return await self._run(lambda: self._ready().owners())

    async def set_up(self, device: TunDevice, plan: AddressPlan) -> None:
        """Gives the device its addresses, routes N and the probe into it and installs the rules."""
        self._index, self._plan, self._used_at = device.index, plan, None
        fixed = [plan.peer_v4, plan.probe_v4, plan.peer_v6, plan.probe_v6]
        self._fixed = {host_route(address) for address in fixed if address is not None}
        await self._run(lambda: self._set_up(device, plan))

    async def add_routes(self, routes: Iterable[IPNetwork | IPAddress]) -> None:
        """Routes these into the device; those that are routed already cost nothing."""
        missing = {_network(route) for route in routes} - self._wanted - self._fixed
        missing = {network for network in missing if self._routable(network)}
        if missing:
            await self._run(lambda: self._add(missing))
            self._wanted |= missing

    async def remove_routes(self, routes: Iterable[IPNetwork | IPAddress]) -> None:
        """Takes routes away."""
        present = {_network(route) for route in routes} & self._wanted
        if present:
            self._wanted -= present
            await self._run(lambda: self._remove(present))

    async def set_routes(self, routes: Iterable[IPNetwork | IPAddress]) -> None:
        """Makes exactly these routes be there (besides N and the probe)."""
        wanted = {_network(route) for route in routes}
        stale = self._wanted - wanted  # decided now: what is added while we wait stays
        await self.add_routes(wanted)
        await self.remove_routes(stale)

    async def repair(self) -> tuple[str, ...]:
        """Puts back what somebody else took away, and says what; call every few seconds (T-52)."""
        return await self._run(self._repair)

    async def close(self) -> None:
        """Takes the rules away and closes netlink. Routes and addresses end with the device."""
        if self._netlink is not None:
            await self._run(self._tear_down)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _ready(self) -> Netlink:
        if self._netlink is None:
            raise LocalError(Reason.INTERNAL, "the host's network is not open")
        return self._netlink

    def _versions(self) -> tuple[int, ...]:
        assert self._plan is not None
        return (4,) if self._plan.pool_v6 is None else (4, 6)

    def _routable(self, network: IPNetwork) -> bool:
        return network.version in self._versions()

    def _set_up(self, device: TunDevice, plan: AddressPlan) -> None:
        netlink = self._ready()
        for family, key, value in _DEVICE_SYSCTLS:
            _write_sysctl(family, device.name, key, value)
        if plan.own_v6 is not None:
            _write_sysctl("ipv6", device.name, "disable_ipv6", "0")
        device.up()
        for address in (plan.own_v4, plan.own_v6):
            if address is not None:
                netlink.add_address(device.index, address)
        self._add(self._fixed)
        for version in self._versions():
            self._rules.append(self._journal.record(RULE_CHANGE, {"version": version}))
            netlink.add_rule(version)

    def _add(self, networks: Iterable[IPNetwork]) -> None:
        assert self._plan is not None
        assert self._index is not None
        for network in networks:
            source = self._plan.own_v4 if network.version == 4 else self._plan.own_v6
            assert source is not None
            self._ready().add_route(network, self._index, source)

    def _remove(self, networks: Iterable[IPNetwork]) -> None:
        assert self._index is not None
        for network in networks:
            self._ready().remove_route(network, self._index)

    def _read_in_use(self) -> tuple[IPNetwork, ...]:
        netlink = self._ready()
        digest = route_digest()
        if digest is None or digest != self._used_at:
            self._used, self._used_at = netlink.in_use(self._index), digest
        return self._used

    def _repair(self) -> tuple[str, ...]:
        netlink = self._ready()
        digest = route_digest()  # before looking: what changes meanwhile is looked at next time
        if digest is not None and digest == self._looked:
            return ()
        repaired = []
        for version in self._versions():
            if not netlink.has_rule(version):
                netlink.add_rule(version)
                repaired.append(f"rule for IPv{version}")
            wanted = {network for network in self._wanted | self._fixed if network.version == version}
            missing = wanted - netlink.own_routes(version)
            self._add(missing)
            repaired += [f"route {network}" for network in sorted(missing, key=str)]
        self._looked = None if repaired else digest
        return tuple(repaired)

    def _tear_down(self) -> None:
        netlink = self._ready()
        for change in self._rules:
            undo_rule(change.data)
            self._journal.done(change)
        self._rules.clear()
        self._netlink = None
        netlink.close()


def _network(route: IPNetwork | IPAddress) -> IPNetwork:
    if isinstance(route, IPv4Address | IPv6Address):
        return host_route(route)
    return route


def _write_sysctl(family: str, device: str, key: str, value: str) -> None:
    path = _CONF / family / "conf" / device / key
    try:
        path.write_text(value)
    except FileNotFoundError:
        return  # a kernel without IPv6, or without this knob
    except OSError as exc:
        if exc.errno == errno.EROFS and key != "disable_ipv6":
            return  # a container: as its engine has set it; the self-test says whether that works
        if exc.errno == errno.EROFS and read_sysctl(f"{family}/conf/{device}/{key}") == value:
            return
        raise LocalError(Reason.PERMISSION_DENIED, f"{path}: {exc}") from exc


def read_sysctl(name: str) -> str | None:
    """Returns a sysctl by its path below ``/proc/sys/net``; None when there is no such one."""
    try:
        return (_CONF / name).read_text().strip()
    except OSError:
        return None
