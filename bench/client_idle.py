"""``make bench-idle``: what the client costs while nobody does anything, how long a start takes, how fast names are answered.

cold start    from exec to READY=1 on systemd's notification socket: signed in, device up, self-test passed, online;
              its CPU, too, which says more where the machine is busy
memory        RSS of the daemon and its guard, and PSS, which counts a page that several share in parts
CPU           of one core, over the seconds that --seconds names, with one warm tunnel and without one
flows         RSS and CPU of client and connector with 1,000 and 10,000 open, quiet TCP connections, and RSS when they
              have ended (``bench.client_flows``)
names         answers per second and their 99th percentile with one and with 64 questions under way; beside them the
              name server behind the client, asked directly (``bench.client_dns``)

It takes under three minutes on two quiet cores by estimate, and took 213 s beside other work. A megabyte is 10^6 bytes.
"""

import argparse
import json
import os
import socket
import sys
import tempfile
import time
from pathlib import Path

from bench import client_dns, client_flows
from bench.figures import Figures
from bench.machine import machine
from bench.run import RESULTS
from bench.usage import cpu_seconds, rss
from lab.hosts import Lab
from lab.processes import LabError, wait_for
from lab.product import BIN, Product
from lab.story import CURL


def main() -> int:
    """Measures, prints, records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=5, help="cold starts")
    parser.add_argument("--seconds", type=float, default=15.0, help="of watching an idle daemon, for each kind")
    parser.add_argument("--flows", type=int, nargs="*", default=[1_000, 10_000], metavar="COUNT", help="ascending")
    parser.add_argument("--dns-seconds", type=float, default=2.0, help="for each of six measurements of names")
    parser.add_argument("--no-record", action="store_true", help="print only")
    options = parser.parse_args()
    described = machine()
    figures = Figures()
    began = time.monotonic()

    def stage(what: str) -> None:
        print(f"{time.monotonic() - began:4.0f} s  {what}", file=sys.stderr, flush=True)

    with (
        tempfile.TemporaryDirectory(prefix="ostiary-idle-") as folder,
        Lab(Path(folder), f"osti{os.getpid() % 10000}") as lab,
    ):
        stage("the lab")
        product = Product(lab)
        product.start_all(lab)
        stage("cold starts")
        for _ in range(options.starts):
            product.lab.stop(product.lab.process("client"))
            figures.add("cold start to READY=1", start(product, Path(folder)), "s")
            figures.add("cold start, CPU of ostiaryd", sum(map(cpu_seconds, product.lab.pids("client"))), "s")
        wait_for("the client", lambda: product.client_status().get("state") == "online", 20)
        stage("idle")
        idle(product, figures, options.seconds, "no tunnel")
        product.lab["laptop"].run(*CURL, "http://wiki.corp.internal/")
        idle(product, figures, options.seconds, "one tunnel")
        stage("idle flows")
        client_flows.measure(product, figures, options.flows, options.seconds / 2)
        stage("names")
        names(product, figures, options.dns_seconds)
    stage("done")
    print("\n".join(f"{key}: {value}" for key, value in described.items()))
    print(figures.table())
    if not options.no_record:
        stamp = time.strftime("%Y-%m-%d", time.gmtime())
        body = {"machine": described, "figures": figures.json()}
        (RESULTS / f"client-idle-{stamp}.json").write_text(json.dumps(body, indent=1))
        lines = [f"- {key}: {value}" for key, value in described.items()]
        text = "\n".join(["# The idle client", "", *lines, "", figures.table(), ""])
        (RESULTS / f"client-idle-{stamp}.md").write_text(text)
    return 0


def start(product: Product, folder: Path) -> float:
    """Starts ostiaryd; returns the seconds until it says READY=1 to its service manager."""
    path = folder / "notify"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(path))
        heard.settimeout(30)
        began = time.perf_counter()
        env = {**product.env("client"), "NOTIFY_SOCKET": str(path)}
        product.lab.daemon("laptop", "client", str(BIN / "ostiaryd"), env=env)
        while not heard.recv(4096).startswith(b"READY=1"):
            continue
        return time.perf_counter() - began


def idle(product: Product, figures: Figures, seconds: float, kind: str) -> None:
    """Looks at the processes of the daemon while nothing happens."""
    time.sleep(3.0)  # what a start or a connection has begun ends within this
    processes = {pid: name_of(pid) for pid in idle_pids(product)}
    before = {pid: cpu_seconds(pid) for pid in processes}
    began = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    used = sum(cpu_seconds(pid) - before[pid] for pid in processes)
    figures.add(f"CPU idle, {kind}", 100 * used / passed, "% of a core")
    for pid, name in processes.items():
        figures.add(f"RSS idle, {kind}: {name}", rss(pid), "MB")
        figures.add(f"PSS idle, {kind}: {name}", pss(pid), "MB")


def names(product: Product, figures: Figures, seconds: float) -> None:
    """Answers of the client's resolver and of the name server behind it."""
    for case, row in client_dns.measure(product, seconds).items():
        figures.add(f"names, {case}: answers", row["per_s"], "1/s")
        figures.add(f"names, {case}: p99", row["p99_ms"], "ms")


def idle_pids(product: Product) -> list[int]:
    """The daemon and its guard."""
    [daemon] = product.lab.pids("client")
    found = [daemon]
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == daemon:
            found.append(int(entry.parent.name))
    return found


def name_of(pid: int) -> str:
    """``ostiaryd`` or ``ostiary-guard``."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return "guard" if b"ostiary-guard" in words else "ostiaryd"


def pss(pid: int) -> float:
    """Proportional set size in megabytes (10^6 bytes). Raises LabError."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LabError(f"the kernel does not tell the memory of {pid}")


if __name__ == "__main__":
    sys.exit(main())
