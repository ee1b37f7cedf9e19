"""Routes, rules and addresses in a real namespace; what is left after a crash (F-14, F-16, T-52)."""

import json
import sys
from pathlib import Path

import pytest
from client_netns import RESOLV_CONF, ROOT, SUPPORT, Namespace, tun_world

CLEAN_UP = """
import sys
from pathlib import Path
from client.host.cleanup import open_journal
print(len(open_journal(Path(sys.argv[1])).pending))
"""

ROUTES = """
import asyncio, ipaddress, json, subprocess, sys
from pathlib import Path
import uvloop
from client.core.addresses import plan_addresses
from client.host.journal import Journal
from client.host.network import HostNetwork, ipv6_available
from client.host.tun import TunDevice

def table():
    found = []
    for family in ("-4", "-6"):
        shown = subprocess.run(["ip", family, "-br", "route", "show", "table", "29555"], capture_output=True, text=True)
        found += [line.split()[0] for line in shown.stdout.splitlines()]
    return sorted(found)

async def main():
    network = HostNetwork(Journal(Path(sys.argv[1]) / "journal"))
    await network.open()
    plan = plan_addresses(await network.in_use(), pool_v6=None if sys.argv[2:] else ipaddress.ip_network("fd6f::/64"))
    device = TunDevice.open()
    await network.set_up(device, plan)
    steps = [table()]
    host = ipaddress.ip_address
    await network.add_routes([host("100.96.0.20"), host("fd6f::20"), ipaddress.ip_network("10.99.0.0/16")])
    await network.add_routes([host("100.96.0.20")])
    steps.append(table())
    await network.remove_routes([host("100.96.0.20"), host("100.96.0.21")])
    steps.append(table())
    await network.set_routes([ipaddress.ip_network("10.98.0.0/16")])
    steps.append(table())
    await network.set_routes([])
    steps.append(table())
    subprocess.run(["ip", "rule", "del", "pref", "5200"])
    subprocess.run(["ip", "route", "flush", "table", "29555"])
    repaired = await network.repair()
    steps.append(table())
    again = await network.repair()
    own = [str(each) for each in await network.in_use()]
    await network.close()
    device.close()
    device.close()
    print(json.dumps({"steps": steps, "repaired": repaired, "again": again, "in_use": own, "v6": ipv6_available()}))

uvloop.run(main())
"""
FIXED = ["100.96.0.2", "100.96.0.3"]
FIXED_V6 = ["fd6f::2", "fd6f::3"]


def run_code(inside: Namespace, code: str, *arguments: str) -> str:
    process = inside.start([sys.executable, "-c", code, *arguments])
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return said


def test_only_wanted_routes_are_there_and_repair_puts_them_back(inside: Namespace, tmp_path: Path) -> None:
    inside.run("ip", "addr", "add", "192.0.2.7/24", "dev", "lo")
    said = json.loads(run_code(inside, ROUTES, str(tmp_path)))
    fixed = sorted(FIXED + FIXED_V6)
    assert said["steps"] == [
        fixed,
        sorted([*fixed, "100.96.0.20", "fd6f::20", "10.99.0.0/16"]),
        sorted([*fixed, "fd6f::20", "10.99.0.0/16"]),
        sorted([*fixed, "10.98.0.0/16"]),
        fixed,
        fixed,
    ]
    assert "rule for IPv4" in said["repaired"]
    assert "route 100.96.0.2/32" in said["repaired"]
    assert said["again"] == []
    assert said["in_use"] == ["192.0.2.0/24", "192.0.2.255/32", "192.0.2.7/32"] or "192.0.2.0/24" in said["in_use"]
    assert not any(network.startswith(("100.96", "fd6f", "127.")) for network in said["in_use"])
    assert "5200" not in inside.run("ip", "rule") + inside.run("ip", "-6", "rule")


def test_without_ipv6_nothing_of_ipv6_is_touched(inside: Namespace, tmp_path: Path) -> None:
    before = inside.run("ip", "-6", "rule")
    said = json.loads(run_code(inside, ROUTES, str(tmp_path), "v4-only"))
    assert said["steps"][1] == sorted([*FIXED, "100.96.0.20", "10.99.0.0/16"])
    assert inside.run("ip", "-6", "rule") == before


def test_state_is_the_same_before_and_after(inside: Namespace, tmp_path: Path) -> None:
    before = inside.state()
    with tun_world(inside, tmp_path, with_resolver=True) as world:
        during = inside.state()
        assert "not from all fwmark 0x6f73 lookup 29555" in during["rules"]
        assert "nameserver 100.96.0.1\n" in during["resolv.conf"]
        assert "search example.test corp.test\n" in during["resolv.conf"]
        assert "192.0.2.53" not in during["resolv.conf"]
        world.stop()
    assert inside.state() == before


def test_f14_kill_9_is_cleaned_up_at_the_next_start(inside: Namespace, tmp_path: Path) -> None:
    before = inside.state()
    with tun_world(inside, tmp_path, with_resolver=True) as world:
        world.kill()
    left = inside.state()
    assert left["links"] == before["links"]
    assert left["routes"] == before["routes"]
    assert left["resolv.conf"] != before["resolv.conf"]
    assert run_code(inside, CLEAN_UP, str(tmp_path)) == "0\n"
    assert inside.state() == before
    assert inside.resolv_conf.read_bytes() == RESOLV_CONF


def test_f16_crash_loop_leaves_nothing_behind(inside: Namespace, tmp_path: Path) -> None:
    before = inside.state()
    with tun_world(inside, tmp_path, with_resolver=True) as world:
        during = inside.state()
        world.kill()
    for _ in range(5):
        with tun_world(inside, tmp_path, with_resolver=True) as world:
            for key in ("rules", "rules6", "resolv.conf"):
                assert inside.state()[key] == during[key]
            world.kill()
    with tun_world(inside, tmp_path, with_resolver=True) as world:
        world.stop()
    assert inside.state() == before


def test_f16_lost_journal_does_not_double_the_rule(inside: Namespace, tmp_path: Path) -> None:
    before = inside.state()
    with tun_world(inside, tmp_path) as world:
        world.kill()
    (tmp_path / "undo.journal").unlink()
    with tun_world(inside, tmp_path) as world:
        assert inside.run("ip", "rule").count("29555") == 1
        world.stop()
    assert inside.state() == before


def test_t52_rule_that_somebody_removed_is_put_back(inside: Namespace, tmp_path: Path) -> None:
    with tun_world(inside, tmp_path) as world:
        inside.run("ip", "rule", "del", "pref", "5200")
        inside.run("ip", "-6", "rule", "del", "pref", "5200")
        inside.run("ip", "route", "del", "10.99.0.0/16", "table", "29555")
        world.tell(do="repair")
        assert world.wait_for("repaired")["what"] == ["rule for IPv4", "route 10.99.0.0/16", "rule for IPv6"]
        assert "dev ostiary0" in inside.run("ip", "route", "get", "10.99.0.5")
        world.stop()


@pytest.mark.parametrize(
    ("taken", "left"),
    [("100.96.3.0/24", "100.112.0.0/16"), ("100.64.0.0/10", "198.18.0.0/16"), ("198.18.0.0/15", "")],
)
def test_pool_in_use_is_left_alone(inside: Namespace, tmp_path: Path, taken: str, left: str) -> None:
    inside.run("ip", "route", "add", taken, "dev", "lo")
    code = ROUTES.replace("steps = [table()]", "print(plan.pool_v4); sys.exit(0)")
    if taken == "198.18.0.0/15":
        inside.run("ip", "route", "add", "100.64.0.0/10", "dev", "lo")
        process = inside.start([sys.executable, "-c", code, str(tmp_path)])
        process.communicate(timeout=60)
        assert process.returncode != 0
    else:
        assert run_code(inside, code, str(tmp_path)) == f"{left}\n"


def test_support_is_where_it_is_expected() -> None:
    assert (ROOT / "client").is_dir()
    assert (SUPPORT / "tun_world.py").is_file()
