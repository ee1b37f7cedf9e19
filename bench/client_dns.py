"""``python -m bench.client_dns``: the client's resolver under load, beside the name server behind it, asked directly.

    resource    a name that the client answers itself, from what the connector has said
    passed on   a public name, which the client hands to the host's own name server and back
    direct      the same public name, asked of that name server: the reference of "passed on"

Everything runs on one machine, the load too. Answers per second are with many questions under way, latencies with one.
"""

import argparse
import json
import selectors
import socket
import statistics
import struct
import sys
import tempfile
import time
from pathlib import Path

from lab.hosts import PUBLIC_DNS, Lab
from lab.processes import wait_for
from lab.product import Product

RESOURCE = "wiki.corp.internal"
PUBLIC = "public.example"
CLIENT = "100.96.0.1"
MANY = 64
_LOST_AFTER_S = 2.0


def query(name: str, number: int) -> bytes:
    """An A question with EDNS."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 1) + labels + b"\0\0\1\0\1" + b"\0\0\x29\x10\0\0\0\0\0\0\0"


def load(server: str, name: str, seconds: float, window: int) -> dict[str, float]:
    """Keeps ``window`` questions under way for so long; returns answers per second, losses and milliseconds of one."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.connect((server, 53))
    selector = selectors.DefaultSelector()
    selector.register(sock, selectors.EVENT_READ)
    sent: dict[int, float] = {}
    took: list[float] = []
    lost = number = 0
    began = time.perf_counter()
    while (now := time.perf_counter()) - began < seconds:
        while len(sent) < window:
            number = (number + 1) % 65536
            sent[number] = time.perf_counter()
            sock.send(query(name, number))
        if not selector.select(0.5):
            late = [each for each, when in sent.items() if now - when > _LOST_AFTER_S]
            lost += len(late)
            for each in late:
                del sent[each]
            continue
        while True:
            try:
                reply = sock.recv(4096)
            except BlockingIOError:
                break
            when = sent.pop(reply[0] << 8 | reply[1], None)
            if when is not None:
                took.append(time.perf_counter() - when)
    elapsed = time.perf_counter() - began
    return {
        "per_s": len(took) / elapsed,
        "p50_ms": statistics.median(took) * 1000,
        "p99_ms": statistics.quantiles(took, n=100)[98] * 1000,
        "lost": lost,
    }


def measure(product: Product, seconds: float) -> dict[str, dict[str, float]]:
    """Asks from the laptop. Returns by case, with ``many`` and ``one`` question under way."""
    laptop = product.lab["laptop"]
    cases = {"resource": (CLIENT, RESOURCE), "passed on": (CLIENT, PUBLIC), "direct": (PUBLIC_DNS, PUBLIC)}
    found = {}
    for case, (server, name) in cases.items():
        for window in (MANY, 1):
            out = laptop.run(
                *(sys.executable, "-m", "bench.client_dns", "--load", server, name, str(seconds), str(window)),
                deadline=seconds + 60,
            ).stdout
            found[f"{case}, {window} under way"] = json.loads(out)
    return found


def main() -> None:
    """Builds the lab, measures, prints a table or JSON."""
    parser = argparse.ArgumentParser(description="The client's resolver under load.")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each of the six measurements")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--load", nargs=4, metavar=("SERVER", "NAME", "SECONDS", "WINDOW"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        server, name, seconds, window = options.load
        print(json.dumps(load(server, name, float(seconds), int(window))))
        return
    with tempfile.TemporaryDirectory(prefix="ostiary-dns-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with Lab(folder, "ostbd") as lab:
            product = Product(lab)
            product.start_all(lab)
            dig = ("/usr/bin/dig", "+short", RESOURCE)
            wait_for("the first answer", lambda: "100." in lab["laptop"].run(*dig, check=False).stdout, 20)
            found = measure(product, options.seconds)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print("| case | answers/s | p50 ms | p99 ms | lost |\n| --- | --: | --: | --: | --: |")
    for case, row in found.items():
        print(f"| {case} | {row['per_s']:.0f} | {row['p50_ms']:.2f} | {row['p99_ms']:.2f} | {row['lost']:.0f} |")


if __name__ == "__main__":
    main()
