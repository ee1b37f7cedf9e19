"""``python -m bench.client_wires``: how long people wait for a first byte over slow wires, and in how many round trips.

The laptop's cable and the office's are wires with a delay (``lab.wire``), so that client to relay, relay to connector and
client to controller have round trips of their own. A wait is then

    round trips between client and relay or controller x R  +  round trips from client to connector x (R + G)  +  work

and three pairs of R and G give the two counts: they do not depend on how busy this machine is, as the milliseconds do.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lab.hosts import NFT, Lab
from lab.processes import LabError, wait_for
from lab.product import BIN, RELAY_PORT, Product
from lab.wire import Wire

TARGET: Final = "10.20.0.30"
"""An address, so that no question about a name is in the figures. Its port 22 speaks first."""
WIRES_MS: Final = ((20.0, 0.0), (100.0, 0.0), (100.0, 40.0))
"""Round trips of the laptop's wire and of the office's."""

_CONNECT: Final = """
import json, socket, sys, time
began = time.monotonic()
with socket.create_connection((sys.argv[1], 22), timeout=25) as sock:
    connected = time.monotonic()
    sock.recv(100)
    print(json.dumps([connected - began, time.monotonic() - began]))
"""
_CUT: Final = """
table ip cut {{
    chain legs {{
        type filter hook forward priority 0;
        iifname "to-laptop" tcp dport {port} reject with tcp reset
        oifname "to-laptop" tcp sport {port} reject with tcp reset
    }}
}}
"""

Samples = dict[str, dict[tuple[float, float], list[float]]]


def connect(product: Product) -> tuple[float, float]:
    """Seconds until connected, and until the first byte."""
    out = product.lab["laptop"].run(sys.executable, "-c", _CONNECT, TARGET, deadline=40).stdout
    connected, first = json.loads(out)
    return float(connected), float(first)


def reaches(product: Product) -> bool:
    """Whether a connection can be made at all."""
    try:
        connect(product)
    except LabError:
        return False
    return True


def lose_tunnels(product: Product) -> None:
    """Resets the legs between laptop and relay, and nothing else; comes back when the client has noticed."""
    internet = product.lab["internet"]
    internet.run(NFT, "-f", "-", stdin=_CUT.format(port=RELAY_PORT))
    try:
        product.lab["laptop"].run(sys.executable, "-c", _CONNECT, TARGET, check=False, deadline=40)
        wait_for("the tunnels to be lost", lambda: not live_legs(product), 20)
    finally:
        internet.run(NFT, "delete", "table", "ip", "cut")


def live_legs(product: Product) -> bool:
    """Whether the laptop has a connection to the relay."""
    out = product.lab["laptop"].run("/usr/bin/ss", "-Htn", "state", "established", f"dport = :{RELAY_PORT}").stdout
    return bool(out.strip())


def up(product: Product) -> float:
    """`ostiary down`, then the seconds from `ostiary up` to the first byte of a connection."""
    product.command("laptop", "client", "ostiary", "down")
    began = time.monotonic()
    product.command("laptop", "client", "ostiary", "up", deadline=60)
    connect(product)
    return time.monotonic() - began


def measure(product: Product, wires: tuple[Wire, Wire], rounds: int) -> Samples:
    """Runs everything over every pair of wires."""
    found: Samples = {}

    def note(name: str, at: tuple[float, float], value: float) -> None:
        found.setdefault(name, {}).setdefault(at, []).append(value)

    for at in WIRES_MS:
        for wire, round_trip in zip(wires, at, strict=True):
            wire.set(delay_ms=round_trip / 2)
        connect(product)
        for _ in range(rounds):
            lose_tunnels(product)
            connected, first = connect(product)
            note("cold tunnel: connected", at, connected)
            note("cold tunnel: first byte", at, first)
            connected, first = connect(product)
            note("warm tunnel: connected", at, connected)
            note("warm tunnel: first byte", at, first)
        for _ in range(max(1, rounds // 3)):
            note("`ostiary up` to first byte", at, up(product))
    return found


def table(samples: Samples) -> str:
    """Medians in milliseconds, and the counts of round trips that they imply."""
    heads = " | ".join(f"R {near:g}, G {far:g} ms" for near, far in WIRES_MS)
    rows = [f"| wait | {heads} | client-relay or -controller | client-connector |", "| --- |" + " --: |" * 5]
    for name, by_wire in samples.items():
        medians = [statistics.median(by_wire[at]) * 1000 for at in WIRES_MS]
        (near, _), (far, _), (_, beyond) = WIRES_MS
        all_trips = (medians[1] - medians[0]) / (far - near)
        through = (medians[2] - medians[1]) / beyond
        cells = " | ".join(f"{median:.0f}" for median in medians)
        rows.append(f"| {name} | {cells} | {all_trips - through:.1f} | {through:.1f} |")
    return "\n".join(rows)


def run(rounds: int, report: Callable[[str], None]) -> str:
    """Builds the lab, measures, and returns the table."""
    with tempfile.TemporaryDirectory(prefix="ostiary-wires-") as folder, Lab(Path(folder), "ostw") as lab:
        product = Product(lab)
        report("starting the product")
        product.start_all(lab)
        wires = Wire.replace(lab, "laptop", seed=1), Wire.replace(lab, "gate", seed=2)
        product.wait_health("office", "connector", "ostiary-connector", "health", "--ready", deadline=40)
        # Client and connector notice one after the other that what they had open went with the cables.
        wait_for("a connection over the wires", lambda: reaches(product), 60)
        report(f"measuring, {rounds} rounds per wire")
        return table(measure(product, wires, rounds))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.client_wires", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="Connections of each kind per wire (default: 5).")
    options = parser.parse_args()
    if not (BIN / "ostiaryd").exists():
        sys.exit("run `make install` first")
    try:
        print(run(options.rounds, lambda line: print(line, file=sys.stderr, flush=True)))
    except LabError as error:
        sys.exit(f"the lab failed: {error}")


if __name__ == "__main__":
    main()
