"""Hosts made of network namespaces: the private internet in which the demo, the end-to-end tests and the bench run.

    laptop ── internet ── cloud (controller, relay)
                 │
               gate (NAT, nothing comes in) ── office (connector)
                                            └─ servers (wiki, database, ssh, DNS, echo)

Every address lies inside namespaces that this module made; nothing leaves the machine. ``ip netns exec`` shows each host
its own /etc/hosts and /etc/resolv.conf from /etc/netns/<name>/.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from lab.processes import Host, LabError, Processes

IP = "/usr/sbin/ip" if Path("/usr/sbin/ip").exists() else "/sbin/ip"
NFT = "/usr/sbin/nft"

CLOUD = "203.0.113.10"
LAPTOP = "198.51.100.10"
PUBLIC_WEB = "203.0.113.80"
PUBLIC_DNS = "203.0.113.53"
OFFICE = "10.20.0.2"
SERVERS = {
    "wiki": "10.20.0.10",
    "db": "10.20.0.20",
    "shell": "10.20.0.30",
    "echo": "10.20.0.40",
    "bench": "10.20.0.50",
    "dns": "10.20.0.53",
}
SERVERS_V6 = {"wiki": "fd00:20::10", "echo": "fd00:20::40"}
CONTROLLER_NAME = "controller.ostiary.test"
RELAY_NAME = "relay.ostiary.test"


class NamespaceHost(Host):
    """A host that is a network namespace."""

    def __init__(self, name: str, namespace: str) -> None:
        super().__init__(name)
        self.namespace = namespace

    def argv(self, command: Sequence[str]) -> list[str]:
        return [IP, "netns", "exec", self.namespace, *command]


def _ip(*args: str) -> None:
    done = subprocess.run([IP, *args], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"ip {' '.join(args)}: {done.stderr.strip()}")


class Lab(Processes):
    """Builds the hosts, keeps what runs on them, and removes it all again.

    Args:
        folder: for logs, state and generated files; made if missing.
        prefix: of the namespaces' names, so that several labs may exist side by side.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        super().__init__(folder)
        self.prefix = prefix
        self.hosts: dict[str, NamespaceHost] = {}

    def __enter__(self) -> "Lab":
        try:
            self.build()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.remove()

    def __getitem__(self, name: str) -> NamespaceHost:
        return self.hosts[name]

    def build(self) -> None:
        """Makes the namespaces, links, routes and the office's NAT."""
        for name in ("internet", "laptop", "cloud", "gate", "office", "servers"):
            self._add_host(name)
        self._link("laptop", f"{LAPTOP}/24", "internet", "198.51.100.1/24")
        self._link("cloud", f"{CLOUD}/24", "internet", "203.0.113.1/24")
        self._link("gate", "192.0.2.2/24", "internet", "192.0.2.1/24")
        for host, gateway in (("laptop", "198.51.100.1"), ("cloud", "203.0.113.1"), ("gate", "192.0.2.1")):
            self[host].run(IP, "route", "add", "default", "via", gateway)
        internet = self["internet"]
        for address in (PUBLIC_WEB, PUBLIC_DNS):
            internet.run(IP, "address", "add", f"{address}/32", "dev", "lo")
        internet.run("/usr/sbin/sysctl", "-qw", "net.ipv4.ip_forward=1")
        self._office_lan()

    def _add_host(self, name: str) -> None:
        namespace = f"{self.prefix}-{name}"
        _ip("netns", "add", namespace)
        host = self.hosts[name] = NamespaceHost(name, namespace)
        etc = Path("/etc/netns") / namespace
        etc.mkdir(parents=True, exist_ok=True)
        resolver = SERVERS["dns"] if name in ("office", "servers") else PUBLIC_DNS
        (etc / "resolv.conf").write_text(f"nameserver {resolver}\noptions timeout:2 attempts:1\n")
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {name}\n")
        (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n")
        host.run(IP, "link", "set", "lo", "up")

    def _link(self, left: str, left_address: str, right: str, right_address: str) -> None:
        one, two = self.hosts[left], self.hosts[right]
        # Made inside a namespace, so that the names never collide with another lab's in the root namespace.
        one.run(IP, "link", "add", "uplink", "type", "veth", "peer", "name", f"to-{left}", "netns", two.namespace)
        for host, device, address in ((one, "uplink", left_address), (two, f"to-{left}", right_address)):
            host.run(IP, "address", "add", address, "dev", device)
            host.run(IP, "link", "set", device, "up")

    def _office_lan(self) -> None:
        gate = self["gate"]
        gate.run(IP, "link", "add", "lan", "type", "bridge")
        gate.run(IP, "address", "add", "10.20.0.1/24", "dev", "lan")
        gate.run(IP, "link", "set", "lan", "up")
        for name in ("office", "servers"):
            host = self[name]
            host.run(IP, "link", "add", "lan0", "type", "veth", "peer", "name", f"lan-{name}", "netns", gate.namespace)
            gate.run(IP, "link", "set", f"lan-{name}", "master", "lan", "up")
            host.run(IP, "link", "set", "lan0", "up")
        office, servers = self["office"], self["servers"]
        office.run(IP, "address", "add", f"{OFFICE}/24", "dev", "lan0")
        office.run(IP, "-6", "address", "add", "fd00:20::2/64", "dev", "lan0", "nodad")
        # The connector pings as an ordinary user through unprivileged ICMP sockets.
        office.run("/usr/sbin/sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
        for address in SERVERS.values():
            servers.run(IP, "address", "add", f"{address}/24", "dev", "lan0")
        for address in SERVERS_V6.values():
            servers.run(IP, "-6", "address", "add", f"{address}/64", "dev", "lan0", "nodad")
        for host in (office, servers):
            host.run(IP, "route", "add", "default", "via", "10.20.0.1")
        gate.run("/usr/sbin/sysctl", "-qw", "net.ipv4.ip_forward=1")
        gate.run(NFT, "-f", "-", stdin=_GATE_RULES)

    def enter_office(self, name: str, address: str) -> None:
        """Plugs a host into the office's network, beside the connector and the servers; its way to the internet stays."""
        gate, host = self["gate"], self[name]
        host.run(IP, "link", "add", "desk0", "type", "veth", "peer", "name", f"desk-{name}", "netns", gate.namespace)
        gate.run(IP, "link", "set", f"desk-{name}", "master", "lan", "up")
        host.run(IP, "address", "add", f"{address}/24", "dev", "desk0")
        host.run(IP, "link", "set", "desk0", "up")

    def leave_office(self, name: str) -> None:
        """Pulls that plug again. Safe to call twice."""
        self[name].run(IP, "link", "delete", "desk0", check=False)

    def remove(self) -> None:
        """Ends what runs and removes the namespaces. Safe to call twice."""
        self.stop_all()
        for host in self.hosts.values():
            listed = subprocess.run(
                [IP, "netns", "pids", host.namespace], capture_output=True, text=True, check=False
            ).stdout
            for pid in listed.split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    continue
            subprocess.run([IP, "netns", "delete", host.namespace], capture_output=True, check=False)
            shutil.rmtree(Path("/etc/netns") / host.namespace, ignore_errors=True)
        self.hosts.clear()


_GATE_RULES = """
table inet gate {
    chain forward {
        type filter hook forward priority 0; policy accept;
        iifname "uplink" ct state established,related accept
        iifname "uplink" drop
    }
    chain postrouting {
        type nat hook postrouting priority 100;
        oifname "uplink" masquerade
    }
}
"""
