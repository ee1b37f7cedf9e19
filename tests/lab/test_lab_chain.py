"""The chain of hosts for measurements: one way to the servers, and only when it is given."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.chain import ChainLab
from lab.demo import missing_for_tun
from lab.hosts import CLOUD, IP, OFFICE, SERVERS

PING = "/usr/bin/ping"
ADDRESS = "10.20.0.60"


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[ChainLab]:
    if why := missing_for_tun():
        pytest.skip(why)
    with ChainLab(tmp_path / "lab", f"oc{os.getpid() % 100000}", (ADDRESS,), congestion="reno") as built:
        yield built


@pytest.mark.xdist_group("lab")
def test_only_a_route_leads_to_the_servers(chain: ChainLab) -> None:
    def reaches(host: str, address: str) -> bool:
        return chain[host].run(PING, "-n", "-c1", "-W1", address, check=False, deadline=10).returncode == 0

    for host in ("laptop", "desk"):
        assert reaches(host, CLOUD)
        assert not reaches(host, ADDRESS)
    assert reaches("office", SERVERS["bench"])
    assert reaches("servers", OFFICE)
    chain.route(ADDRESS)
    assert reaches("desk", ADDRESS)
    assert not reaches("desk", SERVERS["bench"])
    chain.unroute(ADDRESS)
    assert not reaches("desk", ADDRESS)
    for host in ("desk", "cloud", "office", "servers"):
        said = chain[host].run("/usr/sbin/sysctl", "-n", "net.ipv4.tcp_congestion_control").stdout
        assert said.strip() == "reno"
    chain.remove()
    listed = subprocess.run([IP, "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert chain.prefix not in listed
