"""Networks with IPv6 in the lab: IPv6 alone, IPv6 with a NAT64 and DNS64, 464XLAT, and both of which one is broken.

The laptop's cable is given other addresses and another name server, as when it joins another network; ``Families.home``
brings it back. Translation is done by tayga, which real networks and clatd use. Run as ``python -m lab.families`` this module
is the name servers of these networks.
"""

import asyncio
import ipaddress
import subprocess
import sys
from pathlib import Path
from typing import Final

from lab.hosts import CONTROLLER_NAME, IP, LAPTOP, NFT, PUBLIC_DNS, RELAY_NAME, Lab
from lab.processes import wait_for
from lab.services import PUBLIC_ZONE, Http, serve_dns

TAYGA: Final = Path("/usr/sbin/tayga")
LAPTOP_V6: Final = "2001:db8:198::10"
_GATEWAY_V4: Final = "198.51.100.1"
_GATEWAY_V6: Final = "2001:db8:198::1"
CLOUD_V6: Final = "2001:db8:203::10"
PUBLIC_WEB_V6: Final = "2001:db8:80::80"
NAT64_PREFIX: Final = "2001:db8:64::"
_CLAT_NET: Final = "2001:db8:198:c1a7::"
DNS_V6: Final = "2001:db8:53::6"
"""Knows IPv6 addresses alone."""
DNS_NAT64: Final = "2001:db8:53::64"
"""A DNS64: what has IPv4 addresses alone has others behind the NAT64, too."""
DNS_BOTH: Final = "2001:db8:53::46"
"""Knows addresses of both families."""

Zone = dict[tuple[str, str], list[str]]

_ZONE_V6: Final[Zone] = {
    (CONTROLLER_NAME, "AAAA"): [CLOUD_V6],
    (RELAY_NAME, "AAAA"): [CLOUD_V6],
    ("public.example", "AAAA"): [PUBLIC_WEB_V6],
}
_IPV4_ONLY: Final[Zone] = {("ipv4only.arpa", "A"): ["192.0.0.170", "192.0.0.171"]}


def dns64(zone: Zone) -> Zone:
    """Adds an address behind the NAT64 to every name that has IPv4 addresses alone (RFC 6147)."""
    prefix = int(ipaddress.IPv6Address(NAT64_PREFIX))
    made: Zone = {}
    for (name, kind), values in zone.items():
        if kind == "A" and (name, "AAAA") not in zone:
            made[name, "AAAA"] = [str(ipaddress.IPv6Address(prefix | int(ipaddress.IPv4Address(v)))) for v in values]
    return zone | made


class Families:
    """The networks. ``set_up`` once, then ``join`` one after the other, and ``home`` at the end."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._laptop = lab["laptop"]
        self._internet = lab["internet"]
        self._started: list[subprocess.Popen[bytes]] = []
        self._resolv_conf = Path("/etc/netns") / self._laptop.namespace / "resolv.conf"

    def set_up(self) -> None:
        """Gives the internet and the cloud IPv6, and starts the name servers."""
        self._lab["cloud"].run(IP, "address", "add", f"{CLOUD_V6}/64", "dev", "uplink", "nodad")
        self._internet.run(IP, "address", "add", "2001:db8:203::1/64", "dev", "to-cloud", "nodad")
        self._lab["cloud"].run(IP, "-6", "route", "add", "default", "via", "2001:db8:203::1")
        self._internet.run(IP, "address", "add", f"{_GATEWAY_V6}/64", "dev", "to-laptop", "nodad")
        for address in (PUBLIC_WEB_V6, DNS_V6, DNS_NAT64, DNS_BOTH):
            self._internet.run(IP, "address", "add", f"{address}/128", "dev", "lo")
        self._internet.run("/usr/sbin/sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        self._lab.daemon("internet", "families", sys.executable, "-m", "lab.families", env={"PYTHONUNBUFFERED": "1"})
        self._started.append(self._lab.process("families"))
        wait_for("the name servers", lambda: "listening" in self._lab.log("families"), 30)

    def join(self, *, v4: bool, v6: bool, name_server: str) -> None:
        """Another network: these families, and what its DHCP or router advertisement names as the name server."""
        laptop = self._laptop
        had_v4, had_v6 = self._has(f"{LAPTOP}/24"), self._has(f"{LAPTOP_V6}/64")
        if v6 and not had_v6:
            laptop.run(IP, "address", "add", f"{LAPTOP_V6}/64", "dev", "uplink", "nodad")
            laptop.run(IP, "-6", "route", "replace", "default", "via", _GATEWAY_V6)
        if v4 and not had_v4:
            laptop.run(IP, "address", "add", f"{LAPTOP}/24", "dev", "uplink")
            laptop.run(IP, "route", "replace", "default", "via", _GATEWAY_V4)
        if had_v4 and not v4:
            laptop.run(IP, "address", "delete", f"{LAPTOP}/24", "dev", "uplink")
        if had_v6 and not v6:
            # Unlike that of IPv4, the route stays when the address goes.
            laptop.run(IP, "-6", "route", "delete", "default", "via", _GATEWAY_V6, check=False)
            laptop.run(IP, "address", "delete", f"{LAPTOP_V6}/64", "dev", "uplink")
        self._resolv_conf.write_text(f"nameserver {name_server}\noptions timeout:2 attempts:1\n")

    def _has(self, address: str) -> bool:
        return address in self._laptop.run(IP, "address", "show", "dev", "uplink").stdout

    def start_nat64(self) -> None:
        """The provider's translator (RFC 6146, here one address for each customer)."""
        self._tayga(
            self._internet.name,
            "nat64",
            f"ipv4-addr 192.168.255.1\nprefix {NAT64_PREFIX}/96\ndynamic-pool 192.168.255.0/24\n",
        )
        self._internet.run(IP, "route", "add", "192.168.255.0/24", "dev", "nat64")
        self._internet.run(IP, "-6", "route", "add", f"{NAT64_PREFIX}/96", "dev", "nat64")

    def start_clat(self) -> None:
        """The customer's translator (RFC 6877), as clatd sets it up: programs that know IPv4 alone work again."""
        self._tayga(
            self._laptop.name,
            "clat",
            f"ipv4-addr 192.0.0.2\nipv6-addr {_CLAT_NET}2\nprefix {NAT64_PREFIX}/96\nmap 192.0.0.1 {_CLAT_NET}1\n",
        )
        laptop = self._laptop
        laptop.run("/usr/sbin/sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        laptop.run(IP, "address", "add", "192.0.0.1/32", "dev", "clat")
        laptop.run(IP, "route", "add", "default", "dev", "clat", "src", "192.0.0.1", "mtu", "1260")
        laptop.run(IP, "-6", "route", "add", f"{_CLAT_NET}/64", "dev", "clat")
        self._internet.run(IP, "-6", "route", "add", f"{_CLAT_NET}/64", "via", LAPTOP_V6)

    def _tayga(self, host: str, device: str, config: str) -> None:
        folder = self._lab.folder / device
        folder.mkdir(exist_ok=True)
        path = folder / "tayga.conf"
        path.write_text(f"tun-device {device}\ndata-dir {folder}\n{config}")
        self._lab[host].run(str(TAYGA), "-c", str(path), "--mktun")
        self._lab[host].run(IP, "link", "set", device, "up")
        self._started.append(self._lab.daemon(host, device, str(TAYGA), "-c", str(path), "--nodetach"))

    def stop_clat(self) -> None:
        """Takes it away again."""
        self._lab.stop(self._lab.process("clat"))
        self._laptop.run(IP, "link", "delete", "clat")
        self._internet.run(IP, "-6", "route", "delete", f"{_CLAT_NET}/64", check=False)
        self._laptop.run("/usr/sbin/sysctl", "-qw", "net.ipv6.conf.all.forwarding=0")

    def lose(self, family: str) -> None:
        """From here on every packet of the laptop's of this family (``ip`` or ``ip6``) is lost without a word."""
        self._internet.run(NFT, "-f", "-", stdin=_LOSE.format(family=family))

    def find(self) -> None:
        """No packet is lost any more."""
        for family in ("ip", "ip6"):
            self._internet.run(NFT, "delete", "table", family, "lost", check=False)

    def home(self) -> None:
        """The laptop's own network, and the internet without IPv6."""
        self.find()
        self.join(v4=True, v6=False, name_server=PUBLIC_DNS)
        for process in reversed(self._started):
            self._lab.stop(process)
        self._internet.run(IP, "link", "delete", "nat64", check=False)
        self._internet.run("/usr/sbin/sysctl", "-qw", "net.ipv6.conf.all.forwarding=0")
        self._internet.run(IP, "address", "delete", f"{_GATEWAY_V6}/64", "dev", "to-laptop")
        self._internet.run(IP, "address", "delete", "2001:db8:203::1/64", "dev", "to-cloud")
        self._lab["cloud"].run(IP, "address", "delete", f"{CLOUD_V6}/64", "dev", "uplink")
        for address in (PUBLIC_WEB_V6, DNS_V6, DNS_NAT64, DNS_BOTH):
            self._internet.run(IP, "address", "delete", f"{address}/128", "dev", "lo")


_LOSE = """
table {family} lost {{
    chain gone {{
        type filter hook forward priority 0;
        iifname "to-laptop" drop
    }}
}}
"""


async def main() -> None:
    """The name servers of these networks, and the public web over IPv6; until it is ended."""
    await serve_dns(DNS_V6, _ZONE_V6)
    await serve_dns(DNS_NAT64, dns64(PUBLIC_ZONE | _IPV4_ONLY))
    await serve_dns(DNS_BOTH, PUBLIC_ZONE | _ZONE_V6)
    await asyncio.start_server(Http("public web"), PUBLIC_WEB_V6, 80)
    print("listening", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
