"""The whole client on hosts whose resolver is systemd-resolved or NetworkManager: real glibc, short names, kill -9.

The resolvers are the real ones, on a laptop with files, bus and /usr of its own (``resolver_host``); the network is the lab's.
"""

import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import client_netns
import pytest
import resolver_host
from test_e2e_dns import SECRETS, capture
from test_e2e_faults import host_settings
from test_e2e_killed_client import SEED, Kills, restart_client_online

from lab.hosts import IP, LAPTOP, PUBLIC_DNS, Lab, NamespaceHost
from lab.processes import wait_for
from lab.product import Product
from lab.story import CURL

SOON_S = 40.0
PACKAGES = {"systemd-resolved": ("systemd-resolved",), "NetworkManager": ("network-manager", "libndp0")}
CONNECTION = f"""[connection]
id=uplink
uuid=6b3f2d1e-0000-4000-8000-000000000002
type=ethernet
interface-name=uplink
[ipv4]
method=manual
address1={LAPTOP}/24,198.51.100.1
dns={PUBLIC_DNS};
dns-search=corp.internal;office.example;
[ipv6]
method=disabled
"""


class ResolverLaptop(NamespaceHost):
    """The lab's laptop with a resolver of its own; everything that is started on it finds that one."""

    def __init__(self, laptop: NamespaceHost, host: resolver_host.Host) -> None:
        super().__init__(laptop.name, laptop.namespace)
        self.host = host

    def argv(self, command: Sequence[str]) -> list[str]:
        return self.host.argv(command)


def prepare(kind: str, etc: Path) -> None:
    """The files of such a host, as its distribution and its owner wrote them."""
    (etc / "hosts").write_text("127.0.0.1 localhost\n")
    if kind == "systemd-resolved":
        (etc / "resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
        (etc / "systemd/resolved.conf").write_text(
            f"[Resolve]\nDNS={PUBLIC_DNS}\nFallbackDNS=\nDNSSEC=no\nDomains=corp.internal office.example\n"
        )
        return
    (etc / "NetworkManager/NetworkManager.conf").write_text("[main]\nplugins=keyfile\ndns=default\nrc-manager=file\n")
    connections = etc / "NetworkManager/system-connections"
    connections.mkdir(exist_ok=True)
    (connections / "uplink.nmconnection").write_text(CONNECTION)
    (connections / "uplink.nmconnection").chmod(0o600)


@contextmanager
def resolver_laptop(kind: str, product: Product, lab: Lab, folder: Path) -> Iterator[ResolverLaptop]:
    """The laptop is such a host for a while; its client does not run at first, and is the lab's own again afterwards."""
    why = resolver_host.missing(*PACKAGES[kind])
    if why is not None:
        pytest.skip(why)
    usual = lab["laptop"]
    lab.stop(lab.process("client"), signal.SIGTERM)
    host = resolver_host.Host(client_netns.Namespace(usual.namespace), folder, PACKAGES[kind])
    try:
        prepare(kind, host.etc)
        laptop = lab.hosts["laptop"] = ResolverLaptop(usual, host)
        if kind == "systemd-resolved":
            host.run("chown", "990:990", "/run/systemd/resolve")
            host.start("/usr/lib/systemd/systemd-resolved")
        else:
            # A link that is configured already would be left as it is.
            host.run(IP, "address", "flush", "dev", "uplink")
            host.start("/usr/sbin/NetworkManager", "--no-daemon")
        wait_for("the host's own resolver", lambda: fetch(laptop, "http://public.example/"), SOON_S)
        yield laptop
    finally:
        lab.stop(lab.process("client"), signal.SIGTERM)
        lab.hosts["laptop"] = usual
        host.end()
        usual.run(IP, "address", "replace", f"{LAPTOP}/24", "dev", "uplink")
        usual.run(IP, "route", "replace", "default", "via", "198.51.100.1")
        restart_client_online(product)


def fetch(laptop: NamespaceHost, url: str) -> str:
    return laptop.run(*CURL, url, check=False).stdout


class ResolverKills(Kills):
    """Kills on a host whose resolver holds settings of its own."""

    laptop: ResolverLaptop

    def _files(self) -> list[str]:
        return sorted(path.name for path in self.laptop.host.etc.iterdir())

    def settings(self) -> dict[str, str]:
        found = host_settings(self.product)
        commands = {
            "resolv.conf": ("cat", "/etc/resolv.conf"),
            "its kind": ("stat", "-c", "%F %N %a %u %g", "/etc/resolv.conf"),
            "resolved": ("resolvectl", "--no-pager", "status"),
            "NetworkManager": ("busctl", "--json=short", "get-property", *_GLOBAL_DNS),
            "on disk": ("sh", "-c", "cat /var/lib/NetworkManager/*.conf /etc/NetworkManager/conf.d/* 2>/dev/null"),
        }
        for name, command in commands.items():
            # Each host has one of the two programs; the other one's answer is empty.
            found[name] = self.laptop.run(*command, check=False).stdout
        return found


_GLOBAL_DNS = (
    "org.freedesktop.NetworkManager",
    "/org/freedesktop/NetworkManager",
    "org.freedesktop.NetworkManager",
    "GlobalDnsConfiguration",
)


def kill(product: Product, kind: str, rounds: int) -> None:
    print(f"OSTIARY_SEED={SEED}")
    # What a round makes has a random name: another one than in the other tests that begin with this seed.
    kills = ResolverKills(product, SEED + 1000 * (1 + list(PACKAGES).index(kind)) + rounds)
    for _ in range(rounds):
        kills.round()
    print(f"{rounds} kills: internet after at most {max(kills.internet_s):.2f} s")
    restart_client_online(product)
    assert fetch(kills.laptop, "http://wiki.corp.internal/").startswith("company wiki")


@pytest.mark.parametrize("kind", list(PACKAGES))
def test_f14_kill_9_on_a_host_with_a_resolver_of_its_own(kind: str, product: Product, lab: Lab, tmp_path: Path) -> None:
    with resolver_laptop(kind, product, lab, tmp_path) as laptop:
        restart_client_online(product)
        assert product.client("dns", "status")["mode"] == kind
        names_work(product, laptop)
        kill(product, kind, 1)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", list(PACKAGES))
def test_f14_kill_9_twenty_times_on_a_host_with_a_resolver_of_its_own(
    kind: str, product: Product, lab: Lab, tmp_path: Path
) -> None:
    with resolver_laptop(kind, product, lab, tmp_path):
        kill(product, kind, 20)


@pytest.mark.parametrize("kind", list(PACKAGES))
def test_t55_strict_dns_turned_on_in_use_lets_no_name_out_whatever_is_behind_it(
    kind: str, product: Product, lab: Lab, tmp_path: Path
) -> None:
    with resolver_laptop(kind, product, lab, tmp_path) as laptop:
        restart_client_online(product)
        assert fetch(laptop, "http://wiki.corp.internal/").startswith("company wiki")
        product.client("set", "strict-dns=on")
        try:
            said = product.client("dns", "status")
            assert (said["mode"], said["strict"]) == (kind, True)
            assert "office.example" in said["searches"]
            with capture(product, tmp_path / "strict.pcap") as captured:
                assert fetch(laptop, "http://wiki.corp.internal/").startswith("company wiki")
                product.client("down", check=False)
                unknown(laptop, "wiki.corp.internal")
                product.client("up", check=False)
                lab.stop(lab.process("client"), signal.SIGKILL)
                unknown(laptop, "wiki.corp.internal")
                unknown(laptop, "app.dev.corp.internal")
                for secret in SECRETS:
                    assert not captured.holds(secret)
            if kind == "systemd-resolved":
                assert "public web" in fetch(laptop, "http://public.example/")
        finally:
            restart_client_online(product)
            product.client("set", "strict-dns=off")
        assert product.client("dns", "status")["strict"] is False
        assert "public web" in fetch(laptop, "http://public.example/")


def unknown(laptop: NamespaceHost, name: str) -> None:
    """By glibc, which asks for the name with each search domain behind it as well."""
    assert laptop.run("getent", "ahosts", name, check=False, deadline=60).returncode != 0


def names_work(product: Product, laptop: NamespaceHost) -> None:
    """By glibc: the full name, the short one by the host's search domain, both families, and names of others."""
    assert fetch(laptop, "http://wiki/").startswith("company wiki")
    assert fetch(laptop, "http://wiki.corp.internal/").startswith("company wiki")
    families = laptop.run("getent", "ahosts", "wiki").stdout
    assert ":" in families
    assert "100." in families
    assert "public web" in fetch(laptop, "http://public.example/")
    assert laptop.run("getent", "ahosts", "nothing.dev.corp.internal", check=False).returncode == 2
    both_answered_at_once(laptop)


PAIR = """
import json, select, socket, struct, sys
def query(number, kind):
    labels = b"".join(bytes([len(label)]) + label for label in sys.argv[2].encode().split(b"."))
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\\0" + struct.pack(">2H", kind, 1)
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(20)
sock.connect((sys.argv[1], 53))
sock.send(query(1, 1))
sock.send(query(2, 28))
answers = {}
while len(answers) < 2:
    data = sock.recv(4096)
    answers[struct.unpack_from(">H", data)[0]] = struct.unpack_from(">H", data, 6)[0]
print(json.dumps([answers[1], answers[2]]))
"""


def both_answered_at_once(laptop: NamespaceHost) -> None:
    """As glibc asks: A and AAAA right behind each other from one socket, each sent once. Who answers one costs it 5 s."""
    line = next(line for line in laptop.run("cat", "/etc/resolv.conf").stdout.splitlines() if "nameserver" in line)
    name = "wiki.corp.internal"
    answers = laptop.run(sys.executable, "-c", PAIR, line.split()[1], name, deadline=40).stdout
    assert json.loads(answers) == [1, 1]


def test_c18_glibc_asks_for_both_families_at_once_and_waits_for_nothing(product: Product) -> None:
    laptop = product.lab["laptop"]
    product.client("dns", "reset")
    began = time.monotonic()
    both_answered_at_once(laptop)
    print(f"A and AAAA from one socket, cold: {(time.monotonic() - began) * 1000:.0f} ms")
    # What does not exist is answered twice, too.
    assert laptop.run("getent", "ahosts", "nothing.dev.corp.internal", check=False).returncode == 2


def test_short_names_by_the_search_domain_of_resolv_conf(product: Product) -> None:
    laptop, search = product.lab["laptop"], {"LOCALDOMAIN": "corp.internal"}  # resolver(5): as the line `search`
    assert laptop.run(*CURL, "http://wiki/", env=search).stdout.startswith("company wiki")
    assert "100." in laptop.run("getent", "ahosts", "shell", env=search).stdout
    assert laptop.run("getent", "ahosts", "vault", env=search, check=False).returncode == 2


KDIG: Mapping[str, Sequence[str]] = {
    "udp": (),
    "tcp": ("+tcp", "+keepopen"),
    "small": ("+bufsize=512",),
    "large": ("+bufsize=4096", "+nsid"),
    "dnssec": ("+dnssec", "+cd"),
    "cookie": ("+cookie", "+padding=128"),
}


@pytest.mark.skipif(not Path("/usr/bin/kdig").exists(), reason="needs kdig: apt-get install knot-dnsutils")
@pytest.mark.parametrize("options", list(KDIG))
def test_c18_kdig_of_another_house_understands_every_answer(product: Product, options: str) -> None:
    laptop = product.lab["laptop"]
    for name, kind, status in (
        ("wiki.corp.internal", "A", "NOERROR"),
        ("wiki.corp.internal", "AAAA", "NOERROR"),
        ("wiki.corp.internal", "HTTPS", "NOERROR"),
        ("wiki.corp.internal", "TXT", "NOERROR"),
        ("nothing.dev.corp.internal", "A", "NXDOMAIN"),
        ("public.example", "A", "NOERROR"),
    ):
        out = laptop.run("/usr/bin/kdig", "+timeout=20", "+retry=0", *KDIG[options], name, kind, deadline=40)
        assert f"status: {status}" in out.stdout, (name, kind, out.stdout)
        assert "WARNING" not in out.stdout + out.stderr, (name, kind, out.stderr)
