"""Networks as they are: the laptop moves, packets are lost and late, the path is narrow, a portal stands in the way.

The laptop's cable is replaced by a wire of the lab for these tests, and put back afterwards.
"""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.hosts import CLOUD, IP, LAPTOP, NFT, Lab
from lab.processes import wait_for
from lab.product import BIN, Product
from lab.story import CURL
from lab.wire import Wire

WIKI = "http://wiki.corp.internal"
GATEWAY = "198.51.100.1"
SOON_S = 20.0
"""What is promised is told in SECURITY.md; a machine that does ten things at once is given this."""


@pytest.fixture(scope="module")
def wire(product: Product, lab: Lab) -> Iterator[Wire]:
    made = Wire.replace(lab, "laptop")
    wait_online(product)
    yield made
    made.clear()
    made.take_away()
    wait_online(product)


@pytest.fixture(autouse=True)
def perfect_afterwards(wire: Wire) -> Iterator[None]:
    yield
    wire.clear()


def wait_online(product: Product) -> None:
    wait_for("the client to be online", lambda: product.client_status().get("state") == "online", SOON_S)
    wait_for("the wiki", lambda: served(product), SOON_S)


def served(product: Product) -> bool:
    done = product.lab["laptop"].run(*CURL, f"{WIKI}/", check=False)
    return "company wiki" in done.stdout


def controller_error(product: Product) -> str:
    error = product.client_status().get("controller", {}).get("error") or {}
    return str(error.get("reason", ""))


def cpu_seconds(pids: list[int]) -> float:
    total = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def move(product: Product, address: str, old: str) -> None:
    """The laptop loses its address and gets another one, as when it joins another network."""
    laptop = product.lab["laptop"]
    laptop.run(IP, "address", "delete", f"{old}/24", "dev", "uplink")
    laptop.run(IP, "address", "add", f"{address}/24", "dev", "uplink")
    laptop.run(IP, "route", "replace", "default", "via", GATEWAY)


def test_f17_after_a_move_open_flows_end_and_new_ones_work(product: Product, wire: Wire) -> None:
    drip = product.lab.daemon("laptop", "roaming", "/usr/bin/curl", "-sSN", "--max-time", "60", f"{WIKI}/drip")
    wait_for("the stream", lambda: "tick" in product.lab.log("roaming"), SOON_S)
    elsewhere = "198.51.100.77"
    move(product, elsewhere, LAPTOP)
    try:
        ended = wait_for("the old flow to be told", lambda: drip.poll() is not None, SOON_S)
        assert drip.returncode == 56, "reset, not hanging until its own deadline"
        again = wait_for("a new flow", lambda: served(product), SOON_S)
        print(f"after a move: old flow reset after {ended:.2f} s, new one {again:.2f} s later")
    finally:
        move(product, LAPTOP, elsewhere)
    wait_online(product)


def test_f17_a_second_way_out_disturbs_no_flow(product: Product, wire: Wire) -> None:
    laptop = product.lab["laptop"]
    drip = product.lab.daemon("laptop", "docking", "/usr/bin/curl", "-sSN", "--max-time", "60", f"{WIKI}/drip")
    wait_for("the stream", lambda: "tick" in product.lab.log("docking"), SOON_S)
    laptop.run(IP, "address", "add", "198.51.100.88/24", "dev", "uplink")
    laptop.run(IP, "route", "replace", "default", "via", GATEWAY, "src", "198.51.100.88")
    try:
        wait_for("the change to be noticed", lambda: "network.changed" in product.lab.log("client"), SOON_S)
        wait_online(product)
        seen = len(product.lab.log("docking"))
        wait_for("the open flow to go on", lambda: len(product.lab.log("docking")) > seen + 200, SOON_S)
        assert drip.poll() is None
    finally:
        laptop.run(IP, "route", "replace", "default", "via", GATEWAY)
        laptop.run(IP, "address", "delete", "198.51.100.88/24", "dev", "uplink")
        product.lab.stop(drip)
    wait_online(product)


def blob_sum(product: Product, size: int) -> str:
    return product.lab["laptop"].run(*CURL, f"{WIKI}/sum?bytes={size}").stdout.strip()


def download_sum(product: Product, size: int, deadline: float) -> str:
    done = subprocess.run(
        product.lab["laptop"].argv(
            ["/usr/bin/curl", "-sS", "--fail", "--max-time", str(deadline), f"{WIKI}/blob?bytes={size}"]
        ),
        capture_output=True,
        timeout=deadline + 5,
        check=True,
    )
    return hashlib.sha256(done.stdout).hexdigest()


def upload_sum(product: Product, path: Path, deadline: float) -> str:
    laptop = product.lab["laptop"]
    return laptop.run(
        "/usr/bin/curl", "-sS", "--fail", "--max-time", str(deadline), "-T", str(path), f"{WIKI}/up",
        deadline=deadline + 5,
    ).stdout.strip()  # fmt: skip


def test_f19_a_fifth_lost_and_100_ms_of_delay_is_slow_and_whole(product: Product, wire: Wire) -> None:
    size = 300_000
    expected = blob_sum(product, size)
    wire.set(delay_ms=50, jitter_ms=5, loss=0.2, reorder=0.02)
    pids = product.lab.pids("client")
    began, before = time.monotonic(), cpu_seconds(pids)
    assert download_sum(product, size, 60) == expected
    assert served(product)
    took, spent = time.monotonic() - began, cpu_seconds(pids) - before
    print(f"20 % loss, 100 ms: {size} bytes and a page in {took:.1f} s, {spent:.2f} s of CPU in the client")
    assert spent < 0.5 + took / 2, "nothing spins while it waits"
    counted = wire.counters()
    assert counted["back"].lost > 20, "the wire was as bad as it was told to be"
    assert product.client_status()["state"] == "online"


def test_f20_a_narrow_path_that_says_nothing_is_no_black_hole(product: Product, wire: Wire, tmp_path: Path) -> None:
    size = 20_000_000
    expected = blob_sum(product, size)
    wire.set(mtu=1280)
    move(product, "198.51.100.66", LAPTOP)  # a new tunnel over the narrow path, too
    try:
        wait_online(product)
        big = product.lab["laptop"].run("/usr/bin/ping", "-c1", "-W1", "-s", "1400", CLOUD, check=False).stdout
        assert "100% packet loss" in big
        assert "mtu" not in big
        assert download_sum(product, size, 60) == expected
        data = os.urandom(size)
        path = tmp_path / "upload"
        path.write_bytes(data)
        assert upload_sum(product, path, 60) == hashlib.sha256(data).hexdigest()
    finally:
        move(product, LAPTOP, "198.51.100.66")
    wait_online(product)


PORTAL = """
import socket, threading
def serve(sock):
    try:
        sock.settimeout(5)
        if sock.recv(4096).startswith(b"GET "):
            sock.sendall(b"HTTP/1.1 302 Found\\r\\nLocation: http://login.hotel.example/\\r\\nContent-Length: 0\\r\\n\\r\\n")
    except OSError:
        pass
    sock.close()
server = socket.create_server(("198.51.100.1", 8000))
print("open", flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""
HIJACK = """
table ip portal {
    chain catch {
        type nat hook prerouting priority -100;
        iifname "to-laptop" meta l4proto tcp dnat to 198.51.100.1:8000
    }
    chain stale {
        type filter hook forward priority 0;
        iifname "to-laptop" meta l4proto tcp reject with tcp reset
    }
}
"""


def test_a_captive_network_is_named_and_left_by_itself(product: Product, wire: Wire) -> None:
    lab = product.lab
    portal = lab.daemon("internet", "portal", sys.executable, "-c", PORTAL)
    wait_for("the portal", lambda: "open" in lab.log("portal"))
    lab["internet"].run(NFT, "-f", "-", stdin=HIJACK)
    try:
        wait_for("the portal to be named", lambda: controller_error(product) == "captive_network", 40)
        status = product.client_status()
        assert status["state"] != "online"
        warning = next(each for each in status["warnings"] if each["reason"] == "captive_network")
        assert "login.hotel.example" in warning["sentence"]
        text = product.command("laptop", "client", "ostiary", "status", check=False)
        assert "sign in on its own page" in text
    finally:
        lab["internet"].run(NFT, "delete", "table", "ip", "portal")
        lab.stop(portal)
    wait_online(product)


TINYPROXY = """
Port {port}
Listen {address}
Timeout 600
BasicAuth grace secret
ConnectPort 8443
ConnectPort 8444
"""
ONLY_THE_PROXY = """
table ip walled {
    chain forward {
        type filter hook forward priority 0;
        iifname { "to-laptop", "to-gate" } meta l4proto tcp reject with tcp reset
    }
}
"""


def restart(product: Product, name: str, host: str, **env: str) -> None:
    program = {"client": "ostiaryd", "connector": "ostiary-connector"}[name]
    product.lab.stop(product.lab.process(name), signal.SIGKILL)
    verb = () if name == "client" else ("run",)
    product.lab.daemon(host, name, str(BIN / program), *verb, env=product.env(name) | env)


@pytest.mark.skipif(not Path("/usr/bin/tinyproxy").exists(), reason="needs tinyproxy: apt-get install tinyproxy-bin")
def test_client_and_connector_get_out_through_an_http_proxy_alone(product: Product, wire: Wire) -> None:
    lab = product.lab
    for address in (GATEWAY, "192.0.2.1"):
        config = lab.folder / f"tinyproxy-{address}.conf"
        config.write_text(TINYPROXY.format(port=3128, address=address))
        lab.daemon("internet", f"proxy-{address}", "/usr/bin/tinyproxy", "-d", "-c", str(config))
    lab["internet"].run(NFT, "-f", "-", stdin=ONLY_THE_PROXY)
    login = {"OSTIARY_UPSTREAM_PROXY_LOGIN_FILE": product.secret("proxy.login", "grace:secret\n")}
    try:
        restart(product, "connector", "office", **login, HTTPS_PROXY="http://192.0.2.1:3128")
        product.wait_health("office", "connector", "ostiary-connector", "health", "--ready", deadline=40)
        restart(product, "client", "laptop", OSTIARY_UPSTREAM_PROXY=f"http://{GATEWAY}:3128")
        wait_for("the proxy's refusal", lambda: controller_error(product).startswith("proxy_"), SOON_S)
        restart(product, "client", "laptop", OSTIARY_UPSTREAM_PROXY=f"http://{GATEWAY}:3128", **login)
        wait_online(product)
    finally:
        lab["internet"].run(NFT, "delete", "table", "ip", "walled")
        restart(product, "connector", "office")
        restart(product, "client", "laptop")
    product.wait_health("office", "connector", "ostiary-connector", "health", "--ready", deadline=40)
    wait_online(product)
