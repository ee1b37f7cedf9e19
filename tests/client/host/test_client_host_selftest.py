"""The self-test names what is in the way."""

import shutil
from pathlib import Path

import pytest
from client_netns import Namespace, tun_world


def test_passes_with_strict_rp_filter_everywhere_else(inside: Namespace, tmp_path: Path) -> None:
    for name in ("all", "default"):
        inside.run("sysctl", "-q", "-w", f"net.ipv4.conf.{name}.rp_filter=1")
    with tun_world(inside, tmp_path) as world:
        assert inside.run("sysctl", "-n", "net.ipv4.conf.ostiary0.rp_filter") == "2\n"
        world.stop()


@pytest.mark.skipif(shutil.which("nft") is None, reason="needs nft")
@pytest.mark.parametrize(("family", "said"), [("ip", "IPv4"), ("ip6", "IPv6")])
def test_firewall_is_named(inside: Namespace, tmp_path: Path, family: str, said: str) -> None:
    inside.run("nft", "add", "table", family, "wall")
    inside.run("nft", "add", "chain", family, "wall", "in", "{ type filter hook input priority 0; }")
    inside.run("nft", "add", "rule", family, "wall", "in", "iifname", "ostiary0", "tcp", "dport", "1-65535", "drop")
    with tun_world(inside, tmp_path, first="") as world:
        failed = world.wait_for("failed")
        assert failed["reason"] == "self_test_failed"
        assert failed["detail"].startswith(said)
        assert "firewall" in failed["detail"]
        assert world.wait_for("stopped")["pending"] == 0


def test_other_routing_rule_is_named(inside: Namespace, tmp_path: Path) -> None:
    inside.run("ip", "rule", "add", "pref", "100", "to", "100.96.0.0/16", "blackhole")
    with tun_world(inside, tmp_path, first="") as world:
        detail = world.wait_for("failed")["detail"]
        assert "did not enter ostiary0" in detail
        assert "rule 100" in detail
        world.wait_for("stopped")
