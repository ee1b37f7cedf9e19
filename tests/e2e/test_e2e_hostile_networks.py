"""Networks that want our traffic, or that are numbered like a resource: nothing of a resource leaves in clear.

A real DHCP server (dnsmasq) and a real DHCP client (udhcpc) on the laptop's cable, as any café has them.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.hosts import IP, LAPTOP, NFT
from lab.processes import wait_for
from lab.product import Product
from lab.story import CURL

SHELL = "10.20.0.30"
"""In the resource `servers`, 10.20.0.0/24."""
GATEWAY = "198.51.100.1"
SOON_S = 20.0
PROGRAMS = (Path("/usr/sbin/dnsmasq"), Path("/usr/sbin/udhcpc"))

BANNER = """
import socket, sys
with socket.create_connection((sys.argv[1], 22), timeout=15) as sock:
    print(sock.recv(100).decode().strip())
"""
LEASE = f"""#!/bin/sh
# What every DHCP client does with a lease: the address, and the classless static routes in place of the router (RFC 3442).
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
{IP} address replace "$ip/24" dev "$interface"
set -- $staticroutes
while [ $# -ge 2 ]; do
    {IP} route replace "$1" via "$2" dev "$interface"
    shift 2
done
echo "routes: $staticroutes"
"""
COUNTER = """
table ip spy {
    chain taken {
        type filter hook prerouting priority -300;
        iifname "to-laptop" ip daddr 10.20.0.0/24 counter accept
    }
}
"""


def taken(product: Product) -> int:
    """How many packets for the office's network came out of the laptop in clear."""
    words = product.lab["internet"].run(NFT, "list", "chain", "ip", "spy", "taken").stdout.split()
    return int(words[words.index("packets") + 1])


@pytest.fixture
def spy(product: Product) -> Iterator[None]:
    internet = product.lab["internet"]
    internet.run(NFT, "-f", "-", stdin=COUNTER)
    yield
    internet.run(NFT, "delete", "table", "ip", "spy")


def banner(product: Product) -> str:
    return product.lab["laptop"].run(sys.executable, "-c", BANNER, SHELL, check=False, deadline=40).stdout.strip()


@pytest.mark.skipif(not all(map(Path.exists, PROGRAMS)), reason="needs dnsmasq-base and udhcpc")
def test_t52_routes_from_a_hostile_dhcp_server_get_nothing_of_a_resource(
    product: Product, spy: None, tmp_path: Path
) -> None:
    lab = product.lab
    laptop = lab["laptop"]
    evil = ",".join(f"{net},{GATEWAY}" for net in ("10.20.0.0/24", f"{SHELL}/32", "0.0.0.0/1", "128.0.0.0/1"))
    # fmt: off
    server = lab.daemon(
        "internet", "dhcp", "/usr/sbin/dnsmasq", "--no-daemon", "--port=0", "--conf-file=/dev/null", "--interface=to-laptop",
        "--bind-interfaces", "--no-ping", "--dhcp-range=198.51.100.10,198.51.100.10,255.255.255.0,2m", "--dhcp-authoritative",
        f"--dhcp-option=121,{evil}", f"--dhcp-leasefile={tmp_path / 'leases'}", "--user=root",
    )
    # fmt: on
    script = tmp_path / "lease"
    script.write_text(LEASE)
    script.chmod(0o755)
    before = laptop.run(IP, "route", "show").stdout
    try:
        wait_for("the DHCP server", lambda: "DHCP, IP range" in lab.log("dhcp"), SOON_S)
        got = laptop.run(
            "/usr/sbin/udhcpc", "-i", "uplink", "-n", "-q", "-f", "-t", "10", "-T", "1", "-s", str(script), "-O", "staticroutes",
            deadline=40,
        )  # fmt: skip
        assert "10.20.0.0/24" in got.stdout + got.stderr
        routes = laptop.run(IP, "route", "show").stdout
        assert f"10.20.0.30 via {GATEWAY}" in routes, "the attack took place"
        assert "0.0.0.0/1" in routes
        assert banner(product).startswith("SSH-2.0")
        assert "company wiki" in laptop.run(*CURL, "http://wiki.corp.internal/").stdout
        assert taken(product) == 0
    finally:
        lab.stop(server)
        for net in ("10.20.0.0/24", f"{SHELL}/32", "0.0.0.0/1", "128.0.0.0/1"):
            laptop.run(IP, "route", "delete", net, check=False)
        laptop.run(IP, "address", "replace", f"{LAPTOP}/24", "dev", "uplink")
        laptop.run(IP, "route", "replace", "default", "via", GATEWAY)
    assert laptop.run(IP, "route", "show").stdout == before


def test_t53_a_local_network_like_a_resources_is_told_and_gets_nothing(product: Product, spy: None) -> None:
    laptop = product.lab["laptop"]
    laptop.run(IP, "address", "add", "10.20.0.77/24", "dev", "uplink")
    try:
        wait_for(
            "the warning",
            lambda: any(each["reason"] == "network_overlap" for each in product.client_status()["warnings"]),
            SOON_S,
        )
        told = product.client("explain", f"{SHELL}:22", check=False)
        assert told["allowed"]
        assert told["local_network"] == "10.20.0.0/24"
        assert told["network_name"] == "office"
        assert "the resource wins" in product.command("laptop", "client", "ostiary", "explain", f"{SHELL}:22")
        assert banner(product).startswith("SSH-2.0")
        assert taken(product) == 0
    finally:
        laptop.run(IP, "address", "delete", "10.20.0.77/24", "dev", "uplink")
    wait_for(
        "the end of the warning",
        lambda: all(each["reason"] != "network_overlap" for each in product.client_status()["warnings"]),
        SOON_S,
    )


def test_an_address_in_a_network_has_a_name_that_works(product: Product) -> None:
    name = "10-20-0-30.office.net.ostiary.internal"
    laptop = product.lab["laptop"]
    assert laptop.run(sys.executable, "-c", BANNER, name, deadline=40).stdout.startswith("SSH-2.0")
    told = product.client("explain", f"{name}:22", check=False)
    assert (told["allowed"], told["host"]) == (True, SHELL)
    refused = product.client("explain", f"{name}:23", check=False)
    assert refused["reason"] == "port_not_allowed"
