"""UDP at fixed offers: what arrives, and what is lost."""

from typing import Any, Final

from bench.engines.engine import Engine
from bench.metrics.measure import Note, Plan, iperf
from bench.samples import Metric

OFFERS_MBIT: Final = (100, 300, 1000)
SIZES: Final = (1200, 200)


def datagrams(engine: Engine, note: Note, plan: Plan) -> None:
    """From the client to the servers. The load itself may not reach an offer of small datagrams: then goodput and loss are of less."""
    for size in SIZES:
        for offer in OFFERS_MBIT:
            options = ("-u", "-b", f"{offer}M", "-l", str(size))
            end = iperf(engine, *options, seconds=plan.short)
            goodput, loss = arrived(end)
            what = f"{size:,} B at {offer:,} Mbit/s"
            note(Metric("UDP goodput", what, "Mbit/s", "higher"), goodput)
            note(Metric("UDP loss", what, "%", "lower"), loss)


def arrived(end: dict[str, Any]) -> tuple[float, float]:
    """Mbit/s that the receiver got, and the part of what was sent that it did not get, in percent, from iperf3's end section."""
    sent, got = end["sum_sent"], end["sum_received"]
    lost = sent["packets"] - (got["packets"] - got["lost_packets"])
    seconds = sent["seconds"] or 1.0
    bytes_each = sent["bytes"] / max(sent["packets"], 1)
    arrived_bytes = (sent["packets"] - lost) * bytes_each
    return arrived_bytes * 8 / seconds / 1e6, 100 * max(0.0, lost / max(sent["packets"], 1))
