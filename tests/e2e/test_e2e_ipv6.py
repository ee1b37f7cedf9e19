"""Networks with IPv6: the only one, the only one with a translator behind it, or one of two that is broken.

The laptop joins each of them while the client runs, as people carry theirs from one network to the next.
"""

import re
import sys
from collections.abc import Iterator

import pytest

from lab.families import DNS_BOTH, DNS_NAT64, DNS_V6, LAPTOP_V6, TAYGA, Families
from lab.hosts import CLOUD, LAPTOP, PUBLIC_DNS, PUBLIC_WEB, SERVERS, Lab
from lab.processes import wait_for
from lab.product import Product
from lab.story import CURL

SOON_S = 30.0
WIKI = "http://wiki.corp.internal/"
BANNER = """
import socket, sys
with socket.create_connection((sys.argv[1], 22), timeout=15) as sock:
    print(sock.recv(100).decode().strip())
"""
ECHO = """
import socket, sys
info = socket.getaddrinfo(sys.argv[1], 7, type=socket.SOCK_DGRAM)[0]
with socket.socket(info[0], info[1]) as sock:
    sock.settimeout(5)
    sock.sendto(b"datagram", info[4])
    print(sock.recv(100).decode())
"""
needs_tayga = pytest.mark.skipif(not TAYGA.exists(), reason="needs tayga: lab/ensure-tools all")


@pytest.fixture(scope="module")
def families(product: Product, lab: Lab) -> Iterator[Families]:
    made = Families(lab)
    made.set_up()
    yield made
    made.home()
    wait_online(product, PUBLIC_DNS, LAPTOP)


def wait_online(product: Product, name_server: str, *addresses: str) -> None:
    """Until the client has taken up the network, and goes on in it."""

    def there() -> bool:
        status = product.client_status()
        known = product.client("dns", "status", check=False).get("upstreams") == [name_server]
        return bool(known and status.get("state") == "online")

    wait_for("the client to be online", there, SOON_S)
    wait_for("the wiki", lambda: "company wiki" in fetch(product, WIKI), SOON_S)
    checks = netcheck(product)
    for address in addresses:
        assert address in checks["addresses"]


def fetch(product: Product, url: str, *options: str) -> str:
    return product.lab["laptop"].run(*CURL, *options, url, check=False).stdout


def netcheck(product: Product) -> dict[str, str]:
    """What each check says; all of them pass."""
    body = product.client("netcheck", check=False)
    assert body["ok"], body
    return {check["name"]: check["sentence"] for check in body["checks"]}


def python(product: Product, program: str, *words: str) -> str:
    return product.lab["laptop"].run(sys.executable, "-c", program, *words, check=False, deadline=40).stdout.strip()


def everything_works(product: Product) -> None:
    """Names over both families, an IPv4 and an IPv6 address in networks, UDP; and what is no resource."""
    for family in ("-4", "-6"):
        assert "company wiki" in fetch(product, WIKI, family)
    assert "company wiki" in fetch(product, "http://[fd00:20::10]/")
    assert python(product, BANNER, SERVERS["shell"]).startswith("SSH-2.0")
    assert python(product, BANNER, "shell.corp.internal").startswith("SSH-2.0")
    assert python(product, ECHO, "echo.corp.internal") == "datagram"
    assert "public web" in fetch(product, "http://public.example/")
    product.client("ping", "wiki.corp.internal:80")


def test_f17_a_laptop_comes_to_a_network_with_ipv6_only(product: Product, families: Families) -> None:
    families.join(v4=False, v6=True, name_server=DNS_V6)
    wait_online(product, DNS_V6, "IPv4 no", LAPTOP_V6)
    everything_works(product)
    assert netcheck(product)["dns"].endswith("2001:db8:203::10")


@needs_tayga
def test_f17_behind_nat64_and_dns64_alone_all_works(product: Product, families: Families) -> None:
    families.start_nat64()
    families.join(v4=False, v6=True, name_server=DNS_NAT64)
    wait_online(product, DNS_NAT64, "IPv4 no", LAPTOP_V6)
    everything_works(product)
    # An address has no name that a DNS64 could answer for: the network's prefix is found (RFC 7050).
    text = product.command("laptop", "nobody", "ostiary", "netcheck", f"https://{CLOUD}:8443", check=False)
    assert re.search(r"controller\b.*certificate", text), text
    families.start_clat()
    try:
        wait_online(product, DNS_NAT64, "IPv4 192.0.0.1", LAPTOP_V6)
        # With 464XLAT, programs that know IPv4 alone have their internet again, and the client leaves it alone.
        assert "public web" in fetch(product, f"http://{PUBLIC_WEB}/")
        everything_works(product)
    finally:
        families.stop_clat()


@pytest.mark.soak
@pytest.mark.parametrize("broken", ["ip6", "ip"])
def test_f17_one_family_of_two_that_loses_everything_delays_nobody(
    product: Product, families: Families, broken: str
) -> None:
    families.lose(broken)
    try:
        families.join(v4=True, v6=True, name_server=DNS_BOTH)
        wait_online(product, DNS_BOTH, LAPTOP, LAPTOP_V6)
        # Who waited for the family that is broken would not be through within a check's deadline.
        took = {check["name"]: check["ms"] for check in product.client("netcheck")["checks"]}
        print(f"{broken} lost: controller after {took['controller']} ms")
    finally:
        families.find()
