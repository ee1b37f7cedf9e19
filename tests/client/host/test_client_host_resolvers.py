"""Resolver settings against the real resolvers, each on a host of its own: who is asked what, and what is left (C9, T-55)."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import client_netns
import pytest
import resolver_host
from resolver_host import UPSTREAM, Host, World

from client.host.guard_link import GUARD_SERVER

pytestmark = pytest.mark.xdist_group("resolvers")

OURS, THEIRS = "100.96.0.9", "203.0.113.9"
RESOURCE, OTHER = "wiki.corp.internal", "public.example"
SHORT, SEARCH = "desk", "office.test"
DOMAINS = [RESOURCE, f"{SHORT}.{SEARCH}", "96.100.in-addr.arpa"]
CONNECTION = f"""[connection]
id=uplink
uuid=6b3f2d1e-0000-4000-8000-000000000001
type=ethernet
interface-name=uplink
[ipv4]
method=manual
address1=198.51.100.10/24
dns={UPSTREAM};
dns-search=office.test;
[ipv6]
method=disabled
"""
PACKAGES = {
    "systemd-resolved": ("systemd-resolved",),
    "NetworkManager": ("network-manager", "libndp0"),
    "openresolv": ("openresolv",),
    "resolvconf": ("resolvconf",),
    "resolv.conf": (),
}
ALL = list(PACKAGES)


@contextmanager
def running(kind: str, folder: Path) -> Iterator[tuple[Host, World]]:
    """A host of that kind with its resolver and its own name server."""
    why = resolver_host.missing(*PACKAGES[kind])
    if why is not None:
        pytest.skip(why)

    def prepare(etc: Path) -> None:
        if kind == "systemd-resolved":
            (etc / "resolv.conf").write_text(f"nameserver 127.0.0.53\noptions edns0\nsearch {SEARCH}\n")
            (etc / "systemd/resolved.conf").write_text(f"[Resolve]\nDNS={UPSTREAM}\nFallbackDNS=\nDNSSEC=no\n")
        elif kind == "NetworkManager":
            (etc / "NetworkManager/NetworkManager.conf").write_text(
                "[main]\nplugins=keyfile\ndns=default\nrc-manager=file\n"
            )
            connections = etc / "NetworkManager/system-connections"
            connections.mkdir(exist_ok=True)
            (connections / "uplink.nmconnection").write_text(CONNECTION)
            (connections / "uplink.nmconnection").chmod(0o600)
        elif kind == "resolvconf":
            (etc / "resolv.conf").symlink_to("/run/resolvconf/resolv.conf")
        elif kind == "resolv.conf":
            (etc / "resolv.conf").write_text(f"# mine\nsearch office.test\nnameserver {UPSTREAM}\n")

    with resolver_host.host(folder, *PACKAGES[kind], prepare=prepare) as host:
        if kind != "NetworkManager":
            host.run("ip", "address", "add", "198.51.100.10/24", "dev", "uplink")
            host.run("ip", "link", "set", "uplink", "up")
            host.run("ip", "route", "add", "default", "via", "198.51.100.1")
        upstream = host.world("upstream", folder)
        upstream.tell("asked")
        if kind == "systemd-resolved":
            host.run("chown", "990:990", "/run/systemd/resolve")
            host.start("/usr/lib/systemd/systemd-resolved")
        elif kind == "NetworkManager":
            host.start("/usr/sbin/NetworkManager", "--no-daemon")
        elif kind in ("openresolv", "resolvconf"):
            host.run("mkdir", "-p", "/run/resolvconf/interface")
            if kind == "resolvconf":
                host.run("resolvconf", "--enable-updates")
            record = f"search office.test\nnameserver {UPSTREAM}\n"
            host.run("sh", "-c", f"printf '{record}' | resolvconf -a eth0")
        host.wait(lambda: THEIRS in host.dig(OTHER))
        yield host, upstream


@pytest.mark.parametrize("kind", ALL)
def test_c9_the_way_is_chosen_used_and_given_back(kind: str, tmp_path: Path) -> None:
    with running(kind, tmp_path) as (host, upstream):
        before = host.resolv_conf()
        client = host.world("client", tmp_path)
        taken = client.tell("take", domains=DOMAINS)
        assert taken["name"] == ("resolvconf" if kind == "openresolv" else kind)
        assert taken["upstreams"] == [UPSTREAM]
        host.wait(lambda: OURS in host.dig(RESOURCE))
        assert not upstream.asked(RESOURCE)
        # Programs ask by the C library, which adds the host's own search domain.
        host.wait(lambda: OURS in host.run("getent", "ahostsv4", SHORT, check=False).stdout)
        assert not upstream.asked(f"{SHORT}.{SEARCH}")
        if kind == "systemd-resolved":
            assert host.resolv_conf() == before
            assert THEIRS in host.dig("another.example")
            assert not client.asked("example")
            client.tell("update", domains=["db.corp.internal"])
            assert OURS in host.dig("db.corp.internal")
            assert THEIRS in host.dig(RESOURCE)
        else:
            assert client.tell("asked_at") in host.resolv_conf()
            assert UPSTREAM not in host.resolv_conf()
            assert "search office.test" in host.resolv_conf()
        client.tell("restore")
        host.wait(lambda: THEIRS in host.dig("restored.example"))
        host.wait(lambda: host.resolv_conf() == before)
        assert "ostiary-dns" not in host.run("ip", "link").stdout


@pytest.mark.parametrize("kind", ALL)
def test_f14_settings_that_somebody_took_away_are_put_back(kind: str, tmp_path: Path) -> None:
    with running(kind, tmp_path) as (host, _):
        client = host.world("client", tmp_path)
        client.tell("take", domains=DOMAINS)
        host.wait(lambda: OURS in host.dig(RESOURCE))
        assert client.tell("repair") is False
        if kind == "systemd-resolved":
            host.run("resolvectl", "revert", "ostiary0")
        elif kind == "resolv.conf":
            host.run("sh", "-c", f"echo nameserver {UPSTREAM} > /etc/resolv.conf")
        else:
            host.run("sh", "-c", f"echo nameserver {UPSTREAM} > /run/other; cat /run/other > /etc/resolv.conf")
            if kind == "NetworkManager":  # its file is not what it was told, its configuration is
                host.run("busctl", "set-property", *_GLOBAL_DNS, check=False)
        assert client.tell("repair") is True
        host.wait(lambda: OURS in host.dig(RESOURCE))


_GLOBAL_DNS = (
    "org.freedesktop.NetworkManager",
    "/org/freedesktop/NetworkManager",
    "org.freedesktop.NetworkManager",
    "GlobalDnsConfiguration",
    "a{sv}",
    "0",
)


@pytest.mark.parametrize("kind", ALL)
def test_t55_strict_dns_holds_while_the_daemon_is_dead_and_is_released(kind: str, tmp_path: Path) -> None:
    with running(kind, tmp_path) as (host, upstream):
        before = host.resolv_conf()
        client = host.world("client", tmp_path)
        client.tell("take", domains=DOMAINS, strict=True)
        host.wait(lambda: OURS in host.dig(RESOURCE))
        assert SEARCH in client.tell("searches")
        client.kill()
        assert "NOERROR" not in host.dig(f"dead.{RESOURCE}")
        # The C library goes on to the name with the search domain behind it, which nobody else may hear either.
        assert host.run("getent", "ahostsv4", RESOURCE, check=False).returncode != 0
        assert "NOERROR" not in host.dig(f"{RESOURCE}.{SEARCH}")
        assert not any("corp.internal" in name for name in upstream.tell("asked"))
        if kind == "systemd-resolved":
            # What is no resource goes on as if nothing had happened.
            assert THEIRS in host.dig("alive.example")
        else:
            assert str(GUARD_SERVER) in host.resolv_conf()
        # The next daemon goes on with what is in force.
        again = host.world("client", tmp_path)
        assert again.tell("take", domains=DOMAINS, strict=True)["upstreams"] == [UPSTREAM]
        host.wait(lambda: OURS in host.dig(RESOURCE))
        again.kill()
        host.run(
            *("env", f"PYTHONPATH={client_netns.ROOT}", sys.executable, "-c"),
            f"from pathlib import Path; from client.host.strict_journal import release; print(release(Path({str(tmp_path)!r})))",
        )
        host.wait(lambda: THEIRS in host.dig(f"released.{RESOURCE}"))
        host.wait(lambda: host.resolv_conf() == before)
        assert "ostiary-dns" not in host.run("ip", "link").stdout
