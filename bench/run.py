"""``make bench``: what the data path and the control path cost, beside references measured in the same run.

All figures come from one machine that runs everything at once (client, relay, connector, controller and the load), so only
ratios travel; absolute figures are printed with the machine's description. Results go to ``bench/results/`` as JSON and as
a Markdown table.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.hosts import CLOUD, Lab
from lab.processes import LabError, wait_for
from lab.product import BIN, Product
from lab.story import Story

RESULTS = Path(__file__).resolve().parent / "results"
TICKS = os.sysconf("SC_CLK_TCK")
ROLES = ("client", "relay", "connector", "controller")


@dataclass
class Figures:
    """Samples by metric name; ``unit`` by metric name."""

    samples: dict[str, list[float]] = field(default_factory=dict)
    unit: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, value: float, unit: str) -> None:
        self.samples.setdefault(name, []).append(value)
        self.unit[name] = unit

    def table(self) -> str:
        rows = ["| metric | median | min | max | n | unit |", "| --- | --: | --: | --: | --: | --- |"]
        for name, values in self.samples.items():
            middle = statistics.median(values)
            rows.append(
                f"| {name} | {middle:.3g} | {min(values):.3g} | {max(values):.3g} | {len(values)} | {self.unit[name]} |"
            )
        return "\n".join(rows)

    def json(self) -> dict[str, Any]:
        return {
            name: {"unit": self.unit[name], "median": statistics.median(values), "samples": values}
            for name, values in self.samples.items()
        }


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its waited-for children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(value) for value in fields[11:15]) / TICKS


def role_pids(product: Product) -> dict[str, list[int]]:
    """The pids of each role's process group, found by the lab's daemons."""
    return {name: product.lab.pids(name) for name in ROLES}


def iperf(product: Product, host: str, target: str, *options: str, seconds: int) -> dict[str, Any]:
    """One iperf3 run; returns its JSON's end section."""
    done = product.lab[host].run(
        "/usr/bin/iperf3", "-c", target, "-J", "-t", str(seconds), *options, deadline=seconds + 30, check=False
    )
    report: dict[str, Any] = json.loads(done.stdout)
    if "error" in report:
        raise LabError(f"iperf3 {target} {options}: {report['error']}")
    end: dict[str, Any] = report["end"]
    return end


def bulk(product: Product, figures: Figures, seconds: int) -> None:
    """Bulk TCP, one and eight streams, both directions, and its CPU by role."""
    for label, options in (
        ("1 up", ()),
        ("1 down", ("-R",)),
        ("8 up", ("-P", "8")),
        ("8 down", ("-P", "8", "-R")),
    ):
        reference = iperf(product, "laptop", CLOUD, *options, seconds=seconds)
        figures.add(f"routed reference, {label}", reference["sum_received"]["bits_per_second"] / 1e9, "Gbit/s")
        pids = role_pids(product)
        before = {role: sum(map(cpu_seconds, pids[role])) for role in ROLES}
        ours = iperf(product, "laptop", "bench.corp.internal", *options, seconds=seconds)
        gigabytes = ours["sum_received"]["bytes"] / 1e9
        figures.add(f"tunnel through the relay, {label}", ours["sum_received"]["bits_per_second"] / 1e9, "Gbit/s")
        total = 0.0
        for role in ROLES:
            spent = sum(map(cpu_seconds, pids[role])) - before[role]
            total += spent
            if label == "1 down" and role != "controller":
                figures.add(f"CPU of the {role}, {label}", spent / gigabytes, "s/GB")
        figures.add(f"CPU of all roles, {label}", total / gigabytes, "s/GB")


def connect_times(product: Product, host: str, count: int) -> tuple[list[float], list[float]]:
    """Connect, 64-byte echo, close, one after the other: until connected, and until closed; seconds, each sorted."""
    out = product.lab["laptop"].run(sys.executable, "-c", _CONNECTS, host, "7", str(count), deadline=120).stdout
    connected, closed = json.loads(out)
    return sorted(connected), sorted(closed)


def connections(product: Product, figures: Figures, count: int) -> None:
    """New connections: routed to a server on the cloud host, and sequentially through a warm tunnel."""
    _, reference = connect_times(product, CLOUD, count)
    figures.add("routed reference, connect, echo, close: p50", statistics.median(reference) * 1000, "ms")
    pids = role_pids(product)
    before = {role: sum(map(cpu_seconds, pids[role])) for role in ROLES}
    connected, times = connect_times(product, "echo.corp.internal", count)
    spent = {role: sum(map(cpu_seconds, pids[role])) - before[role] for role in ROLES}
    figures.add("CPU of all roles, per new connection", sum(spent.values()) / count * 1000, "ms")
    figures.add("new connection, warm: p50", statistics.median(connected) * 1000, "ms")
    figures.add("new connection, warm: p99", connected[int(count * 0.99) - 1] * 1000, "ms")
    figures.add("connect, echo, close, warm: p50", statistics.median(times) * 1000, "ms")
    figures.add("connect, echo, close, warm: p99", times[int(count * 0.99) - 1] * 1000, "ms")
    figures.add("new connections, warm, one after the other", len(times) / sum(times), "1/s")


def udp(product: Product, figures: Figures, seconds: int) -> None:
    """UDP at a fixed offer."""
    for rate in ("100M", "300M"):
        end = iperf(product, "laptop", "bench.corp.internal", "-u", "-b", rate, "-l", "1200", seconds=seconds)
        figures.add(f"UDP 1,200 B at {rate}bit/s: loss", end["sum"]["lost_percent"], "%")


def revocations(product: Product, lab: Lab, figures: Figures, count: int) -> None:
    """From the revocation's event to the end of a running download."""
    story = Story(product, lab)
    for _ in range(count):
        took = story.cut_download("wiki", "http://wiki.corp.internal/blob?bytes=1000000000000")
        figures.add("revocation, event to cut", took * 1000, "ms")
        story.restore("wiki")


def status(product: Product, figures: Figures, count: int) -> None:
    """`ostiary status`, the whole command."""
    for _ in range(count):
        began = time.monotonic()
        product.command("laptop", "client", "ostiary", "status")
        figures.add("ostiary status", (time.monotonic() - began) * 1000, "ms")


def aes_speed() -> float:
    """GB/s: how fast this machine is at the moment, whatever its name. Virtual machines differ by more than two."""
    out = subprocess.run(
        ["/usr/bin/openssl", "speed", "-mr", "-evp", "aes-128-gcm", "-bytes", "16384", "-seconds", "1"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return float(out.strip().rsplit(":", 1)[-1]) / 1e9 if ":" in out else 0.0


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "?",
    )
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    versions = subprocess.run(["/usr/bin/iperf3", "--version"], capture_output=True, text=True, check=False).stdout
    return {
        "AES-128-GCM, one core (openssl speed, 16 KiB)": f"{aes_speed():.1f} GB/s",
        "cpu": f"{os.cpu_count()} x {model}",
        "kernel": platform.release(),
        "python": f"{platform.python_version()} ({_python_build()})",
        "congestion control": congestion,
        "iperf3": versions.splitlines()[0] if versions else "?",
        "load before": Path("/proc/loadavg").read_text().split()[0],
    }


def _python_build() -> str:
    """A Python that was built without profile-guided optimisation is some 10 to 20 % slower."""
    distribution = sys.base_prefix == "/usr"
    optimised = distribution or "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS"))
    return "the distribution's" if distribution else "optimised build" if optimised else "build without optimisation"


def main() -> int:
    """Runs the rounds and writes the results."""
    parser = argparse.ArgumentParser(description="The benchmarks; results go to bench/results/.")
    parser.add_argument("--quick", action="store_true", help="one short round, nothing written")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (default: 5)")
    parser.add_argument("--seconds", type=int, default=8, help="length of one transfer (default: 8)")
    options = parser.parse_args()
    rounds, seconds, small = (1, 3, 5) if options.quick else (options.rounds, options.seconds, 20)
    described = machine()
    figures = Figures()
    folder = Path(tempfile.mkdtemp(prefix="ostiary-bench-"))
    with Lab(folder, f"osb{os.getpid() % 10000}") as lab:
        product = Product(lab)
        product.start_all(lab)
        lab.daemon("cloud", "iperf3-reference", "/usr/bin/iperf3", "-s", "-B", CLOUD, "--forceflush")
        lab.daemon("cloud", "echo-reference", sys.executable, "-c", _ECHO_SERVER, CLOUD, "7")
        wait_for("the reference", lambda: "Server listening" in lab.log("iperf3-reference"))
        wait_for("the reference", lambda: "listening" in lab.log("echo-reference"))
        product.lab["laptop"].run(str(BIN / "python"), "-c", _CONNECTS, "echo.corp.internal", "7", "20")
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            bulk(product, figures, seconds)
            connections(product, figures, 500)
            udp(product, figures, seconds)
            status(product, figures, small)
        revocations(product, lab, figures, small)
    print("\n".join(f"{key}: {value}" for key, value in described.items()))
    print(figures.table())
    if not options.quick:
        RESULTS.mkdir(exist_ok=True)
        stamp = time.strftime("%Y-%m-%d", time.gmtime())
        (RESULTS / f"{stamp}.json").write_text(json.dumps({"machine": described, "figures": figures.json()}, indent=1))
        lines = [f"- {key}: {value}" for key, value in described.items()]
        (RESULTS / f"{stamp}.md").write_text("\n".join(["# Benchmark", "", *lines, "", figures.table(), ""]))
    return 0


_CONNECTS = """
import json, socket, sys, time
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
address = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4]
connected, closed = [], []
for _ in range(count):
    began = time.perf_counter()
    with socket.create_connection(address, 10) as s:
        connected.append(time.perf_counter() - began)
        s.sendall(bytes(64))
        left = 64
        while left:
            left -= len(s.recv(left))
    closed.append(time.perf_counter() - began)
print(json.dumps((connected, closed)))
"""

_ECHO_SERVER = """
import asyncio, sys
class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(data)
async def main():
    server = await asyncio.get_running_loop().create_server(Echo, sys.argv[1], int(sys.argv[2]))
    print("listening", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""

if __name__ == "__main__":
    sys.exit(main())
