"""The bad wire itself: what it does to packets is what it was told, and the same each time."""

import itertools
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.demo import missing_for_tun
from lab.hosts import CLOUD, Lab
from lab.processes import wait_for
from lab.wire import Conditions, Direction, Wire

PING = "/usr/bin/ping"


def through(direction: Direction, packets: int, *, size: int = 100, gap: float = 0.001) -> list[tuple[float, bytes]]:
    """Sends numbered packets, one each ``gap`` seconds; returns what came out and when."""
    came = []
    for number in range(packets):
        direction.push(number.to_bytes(4, "big") + bytes(size - 4), number * gap)
    while (due := direction.due()) is not None:
        packet = direction.pop(due)
        assert packet is not None
        came.append((due, packet[:4]))
    return came


def test_delay_and_order() -> None:
    came = through(Direction(Conditions(delay_ms=50, jitter_ms=5), seed=1), 200)
    assert [packet for _, packet in came] == [number.to_bytes(4, "big") for number in range(200)]
    assert all(0.05 <= due - number * 0.001 <= 0.0551 for number, (due, _) in enumerate(came))


def test_nothing_comes_out_before_its_time() -> None:
    direction = Direction(Conditions(delay_ms=50), seed=1)
    direction.push(b"packet", 1.0)
    assert direction.pop(1.049) is None
    assert direction.pop(1.051) == b"packet"


def test_loss_is_the_part_that_was_set_and_the_seeds() -> None:
    lossy = Conditions(loss=0.2)
    first, again, other = (through(Direction(lossy, seed), 5000) for seed in (3, 3, 4))
    assert 0.77 < len(first) / 5000 < 0.83
    assert first == again
    assert first != other


def test_late_packets_come_after_those_that_follow() -> None:
    direction = Direction(Conditions(reorder=0.1, late_ms=10), seed=5)
    order = [int.from_bytes(packet, "big") for _, packet in through(direction, 1000)]
    assert sorted(order) == list(range(1000))
    assert 50 < direction.counters.late < 200
    assert sum(late < early for early, late in itertools.pairwise(order)) > 50


def test_the_rate_bounds_and_its_queue_ends() -> None:
    # 100 bytes each millisecond are 800 kbit/s: twice what fits.
    direction = Direction(Conditions(rate_mbit=0.4, queue_ms=100), seed=1)
    came = through(direction, 2000)
    assert len(came) + direction.counters.queue_full == 2000
    assert 0.95 < len(came) * 800 / came[-1][0] / 0.4e6 < 1.05
    assert max(due - int.from_bytes(packet, "big") * 0.001 for due, packet in came) < 0.104


def test_f20_what_is_too_large_vanishes() -> None:
    direction = Direction(Conditions(mtu=1280), seed=1)
    for size in (1279, 1280, 1281, 1500):
        direction.push(bytes(size), 0.0)
    assert (direction.counters.too_large, len(direction.pop(0.0) or b""), len(direction.pop(0.0) or b"")) == (
        2,
        1279,
        1280,
    )
    assert direction.due() is None


def test_a_cut_wire_carries_nothing() -> None:
    direction = Direction(Conditions(cut=True), seed=1)
    assert through(direction, 10) == []


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    if why := missing_for_tun():
        pytest.skip(why)
    with Lab(tmp_path / "lab", f"ow{os.getpid() % 100000}") as built:
        yield built


@pytest.mark.xdist_group("lab")
def test_between_two_hosts(lab: Lab) -> None:
    """In the place of a cable: same addresses and routes; changed while it works; taken away with the lab."""
    laptop = lab["laptop"]
    routes = laptop.run("/usr/sbin/ip", "route", "show").stdout
    wire = Wire.replace(lab, "laptop")
    assert laptop.run("/usr/sbin/ip", "route", "show").stdout == routes

    def ping(*options: str) -> str:
        return laptop.run(PING, "-n", "-c3", "-i0.2", "-W5", *options, CLOUD, check=False, deadline=30).stdout

    assert " 0% packet loss" in ping()
    wire.set(delay_ms=40)
    fastest = re.search(r"rtt min/avg/max/mdev = ([0-9.]+)/", ping())
    assert fastest is not None
    assert 80 <= float(fastest[1]) < 5000
    wire.set(delay_ms=0, mtu=1280)
    assert " 0% packet loss" in ping("-s", str(1280 - 28))
    assert "100% packet loss" in ping("-s", str(1281 - 28), "-W1")
    assert wire.counters()["out"].too_large == 3
    wire.set(mtu=None, loss=0.05, reorder=0.1, late_ms=5)
    sink = lab.daemon("cloud", "sink", sys.executable, "-c", SINK)
    wait_for("the sink", lambda: "listening" in lab.log("sink"))
    sent = laptop.run(sys.executable, "-c", SOURCE, CLOUD, deadline=60).stdout
    assert sink.wait(20) == 0
    assert lab.log("sink").split()[-1] == sent.strip()
    assert wire.counters()["out"].lost > 0
    assert wire.counters()["out"].late > 0


SINK = """
import hashlib, socket
server = socket.create_server(("", 9000))
print("listening", flush=True)
peer, _ = server.accept()
digest = hashlib.sha256()
while data := peer.recv(1 << 16):
    digest.update(data)
print(digest.hexdigest(), flush=True)
"""
SOURCE = """
import hashlib, random, socket, sys
data = random.Random(1).randbytes(2_000_000)
with socket.create_connection((sys.argv[1], 9000)) as sock:
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)
    sock.recv(1)
print(hashlib.sha256(data).hexdigest())
"""
