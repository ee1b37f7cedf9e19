"""The metrics: functions over an engine that runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.metrics import answers, bulk, connections, control, datagrams, memory, tunnels, wires


@dataclass(frozen=True, slots=True)
class Measurement:
    """A metric as the options name it.

    Attributes:
        run: measures one engine in one round; takes engine, note and plan, and over wires what sets them.
        says: what, for ``--help``.
        once: measured in the first round only.
        needs: what an engine must carry.
        ours: only of the product's engines.
        over_wires: after the others, with a wire in the place of each client's cable.
    """

    run: Callable[..., None]
    says: str
    once: bool = False
    needs: str = "tcp"
    ours: bool = False
    over_wires: bool = False


METRICS: Final[dict[str, Measurement]] = {
    "integrity": Measurement(bulk.integrity, "SHA-256 of what was sent and of what came", once=True),
    "bulk": Measurement(bulk.bulk, "TCP with 1 and 8 streams up and down; CPU by role and of the whole machine"),
    "connections": Measurement(connections.connections, "new connections, one after the other and 32 at once"),
    "answers": Measurement(answers.answers, "answers on an open connection: idle, beside 300 and 1,000 Mbit/s"),
    "udp": Measurement(datagrams.datagrams, "UDP at fixed offers: goodput and loss", needs="udp"),
    "status": Measurement(control.status, "`ostiary status`, the whole command", ours=True),
    "revocation": Measurement(control.revocation, "from a revocation to the end of a download", ours=True),
    "memory": Measurement(memory.memory, "memory of each role, idle and with open connections", once=True),
    "tunnels": Measurement(tunnels.tunnels, "memory of an idle tunnel and connector", once=True, ours=True),
    "wires": Measurement(wires.connections_over_wires, "first bytes and round trips at 0, 20, 100 ms", over_wires=True),
    "far": Measurement(wires.bulk_over_wires, "bulk over 50 and 200 ms, loss 0 and 1 %", over_wires=True),
}
"""In the order of each round. Memory comes late: what the others bring about is in it, as it is in life."""

QUICK: Final = ("integrity", "bulk", "connections", "answers", "udp", "memory", "wires")
"""What ``make bench-quick`` measures."""
