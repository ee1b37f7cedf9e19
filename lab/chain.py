"""Hosts in a chain, for measurements: every packet from a client to the servers crosses the relay's host and the connector's.

    laptop ─┐
            ├─ cloud (controller, relay) ── office (connector) ── servers (iperf3, echo, DNS)
    desk  ──┘

The laptop has a client with a TUN device, the desk everything else, so that neither's rules are in the other's way. There is no
NAT and no third host that only forwards: its work would be in every figure. The cloud has no route to the office's servers;
who measures plain routing adds one for a single address (``ChainLab.route``).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from lab.hosts import CLOUD, IP, LAPTOP, OFFICE, PUBLIC_DNS, PUBLIC_WEB, SERVERS, SERVERS_V6, Lab

DESK: Final = "198.51.101.10"
OFFICE_UPLINK: Final = "192.0.2.2"
_SYSCTL: Final = "/usr/sbin/sysctl"


class ChainLab(Lab):
    """The chain; see ``Lab`` for its life.

    Args:
        folder: for logs, state and generated files; made if missing.
        prefix: of the namespaces' names.
        server_addresses: more addresses of the servers, one for each way to reach them.
        congestion: TCP congestion control in all namespaces; empty for the machine's own.
    """

    def __init__(self, folder: Path, prefix: str, server_addresses: Iterable[str] = (), congestion: str = "") -> None:
        super().__init__(folder, prefix)
        self._server_addresses = tuple(server_addresses)
        self._congestion = congestion

    def build(self) -> None:
        """Makes the namespaces, links and routes."""
        for name in ("cloud", "laptop", "desk", "office", "servers"):
            self._add_host(name)
        # The public name server and web live where the controller does: one host fewer to cross.
        self.hosts["internet"] = self.hosts["cloud"]
        self._link("laptop", f"{LAPTOP}/24", "cloud", "198.51.100.1/24")
        self._link("desk", f"{DESK}/24", "cloud", "198.51.101.1/24")
        self._link("office", f"{OFFICE_UPLINK}/24", "cloud", "192.0.2.1/24")
        self._link("servers", f"{SERVERS['bench']}/24", "office", f"{OFFICE}/24")
        cloud, office, servers = self["cloud"], self["office"], self["servers"]
        for address in (CLOUD, PUBLIC_WEB, PUBLIC_DNS):
            cloud.run(IP, "address", "add", f"{address}/32", "dev", "lo")
        for name, gateway in (("laptop", "198.51.100.1"), ("desk", "198.51.101.1"), ("office", "192.0.2.1")):
            self[name].run(IP, "route", "add", "default", "via", gateway)
        servers.run(IP, "route", "add", "default", "via", OFFICE)
        for address in {*SERVERS.values(), *self._server_addresses} - {SERVERS["bench"]}:
            servers.run(IP, "address", "add", f"{address}/24", "dev", "uplink")
        for address in SERVERS_V6.values():
            servers.run(IP, "-6", "address", "add", f"{address}/64", "dev", "uplink", "nodad")
        # The connector pings as an ordinary user through unprivileged ICMP sockets.
        office.run(_SYSCTL, "-qw", "net.ipv4.ping_group_range=0 2147483647")
        for host in (cloud, office):
            host.run(_SYSCTL, "-qw", "net.ipv4.ip_forward=1")
        if self._congestion:
            for host in {*self.hosts.values()}:
                host.run(_SYSCTL, "-qw", f"net.ipv4.tcp_congestion_control={self._congestion}")

    def route(self, address: str) -> None:
        """Lets one of the servers' addresses be reached by plain routing."""
        self["cloud"].run(IP, "route", "replace", f"{address}/32", "via", OFFICE_UPLINK)

    def unroute(self, address: str) -> None:
        """Takes that away again."""
        self["cloud"].run(IP, "route", "delete", f"{address}/32", check=False)

    def remove(self) -> None:
        """Ends what runs and removes the namespaces. Safe to call twice."""
        self.hosts.pop("internet", None)  # another name of the cloud, which is removed once
        super().remove()
