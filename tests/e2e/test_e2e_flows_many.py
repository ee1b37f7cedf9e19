"""Many flows at once and over time: nothing runs out, nothing is left behind (F-28, F-35). The long forms run by `make soak`."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from lab import flow_services as at
from lab.processes import wait_for
from lab.product import Product

BENCH = "bench.corp.internal"
SETTLE_S = 30.0

IDLE = """
import json, resource, socket, sys, time
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
address = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4]
socks = []
for number in range(count):
    sock = socket.create_connection(address, 30)
    sock.sendall(b"%05d" % number)
    socks.append(sock)
print("open", flush=True)
sys.stdin.readline()
alive = 0
for number, sock in enumerate(socks):
    sock.settimeout(30)
    sock.sendall(b"again")
    data = b""
    while len(data) < 10:
        piece = sock.recv(10 - len(data))
        if not piece:
            break
        data += piece
    alive += data == b"%05dagain" % number
print(alive, flush=True)
"""

OVER_TIME = """
import concurrent.futures, socket, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
tcp = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4]
dns = (tcp[0], int(sys.argv[4]))
query = b"\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\4wiki\\4corp\\x08internal\\0\\0\\1\\0\\1"
def one(number):
    if number % 2:
        with socket.create_connection(tcp, 30) as sock:
            sock.sendall(b"x")
            return sock.recv(1) == b"x"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(30)
        sock.connect(dns)
        sock.send(query)
        return sock.recv(512)[:2] == query[:2]
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    print(sum(pool.map(one, range(count))))
"""


class Use:
    """Open files and memory of client and connector."""

    def __init__(self, product: Product) -> None:
        self.files: dict[str, int] = {}
        self.kib: dict[str, int] = {}
        self.limit: dict[str, int] = {}
        for name in ("client", "connector"):
            (pid,) = product.lab.pids(name)
            self.files[name] = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            self.kib[name] = int(status["VmRSS"].split()[0])
            (limits,) = [each for each in Path(f"/proc/{pid}/limits").read_text().splitlines() if "open files" in each]
            self.limit[name] = int(limits.split()[3])


def flows(product: Product) -> int:
    return int(product.client("status")["flows"])


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=[pytest.mark.soak, pytest.mark.timeout(600)])])
def test_f28_idle_flows_live_in_bounded_memory_and_files(bench: Product, count: int) -> None:
    before, open_before = Use(bench), flows(bench)
    process = bench.lab["laptop"].start(
        sys.executable, "-c", IDLE, BENCH, str(at.ECHO_PORT), str(count), log=bench.lab.folder / "idle.log", pipe=True
    )
    bench.lab.adopt("idle-flows", process)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n", bench.lab.log("idle")
    during = Use(bench)
    wait_for("the flows to be counted", lambda: flows(bench) >= open_before + count, SETTLE_S)
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"%d\n" % count
    process.wait(30)
    wait_for("the flows to end", lambda: flows(bench) <= open_before, SETTLE_S)
    figures: dict[str, Any] = {}
    for name in ("client", "connector"):
        # Each flow is one file; not two, and not fewer than the limit lets open.
        assert during.files[name] - before.files[name] <= count + 50
        assert during.limit[name] > during.files[name]
        per_flow = (during.kib[name] - before.kib[name]) / count
        figures[name] = f"{per_flow:.1f} KiB and {(during.files[name] - before.files[name]) / count:.2f} files a flow"
        assert per_flow < 32
        wait_for(
            f"the files of the {name}", lambda name=name: Use(bench).files[name] <= before.files[name] + 50, SETTLE_S
        )
    print(f"{count} idle flows: {json.dumps(figures)}")


@pytest.mark.parametrize("count", [2_000, pytest.param(65_000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])])
def test_f35_flows_over_time_exhaust_nothing(bench: Product, count: int) -> None:
    laptop = bench.lab["laptop"]
    before, open_before = Use(bench), flows(bench)
    # fmt: off
    out = laptop.run(
        sys.executable, "-c", OVER_TIME, BENCH, str(at.ECHO_PORT), str(count), str(at.DNS_PORT), deadline=1500
    ).stdout
    # fmt: on
    assert int(out) == count
    after = Use(bench)
    # UDP has no end: what is quiet stays open for a while, up to a bound.
    udp_open = min(count // 2, 8_192)
    assert flows(bench) <= open_before + udp_open
    for name in ("client", "connector"):
        assert after.files[name] <= before.files[name] + udp_open + 50
        assert after.kib[name] - before.kib[name] < 32 * udp_open + 64 * 1024
