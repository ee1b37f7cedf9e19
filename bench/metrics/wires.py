"""What distance costs: new connections and bulk over wires with a delay, and with loss.

The client's cable becomes a process that holds each packet back (``lab.wire``), so the round trip between client and relay is known.
The wire is Python, too: what plain routing carries over it is its own ceiling, and no engine is faster than that.
"""

from collections.abc import Callable, Sequence
from typing import Final

from bench.engines.engine import Engine
from bench.metrics.measure import Note, Plan, iperf, load
from bench.samples import Metric
from bench.stats import quantile
from lab.processes import LabError
from lab.wire import Wire

ROUND_TRIPS_MS: Final = (0, 20, 100)
"""Of the wires over which connections are made; the last two give the number of round trips."""
FAR_MS: Final = (50, 200)
LOSSES: Final = (0.0, 0.01)
"""Part of the packets that is lost, in each direction."""
_GROUP: Final = "connections over wires"
SetWires = Callable[[float, float], None]
"""Takes the round trip in milliseconds and the loss."""


def setter(wires: Sequence[Wire]) -> SetWires:
    """Sets all wires alike."""

    def put(round_trip_ms: float, loss: float) -> None:
        for wire in wires:
            wire.set(delay_ms=round_trip_ms / 2, loss=loss)

    return put


def connections_over_wires(engine: Engine, note: Note, plan: Plan, put: SetWires) -> None:
    """Warm: the tunnel is there. Cold: it was lost. A round trip is counted as what 80 ms more of it cost, over 80."""
    first_bytes: dict[str, dict[int, float]] = {"warm": {}, "cold": {}}
    for round_trip in ROUND_TRIPS_MS:
        put(round_trip, 0.0)
        engine.wait_until_it_carries(30)
        warm = min(load(engine, "first")["first_byte"] for _ in range(plan.samples + 2))
        first_bytes["warm"][round_trip] = warm
        cold = [seconds for _ in range(plan.samples) if (seconds := engine.cold()) is not None]
        if cold:
            # The least may have been helped by an attempt before it.
            first_bytes["cold"][round_trip] = quantile(cold, 0.5)
    for state, by_wire in first_bytes.items():
        for round_trip, seconds in by_wire.items():
            note(Metric(_GROUP, f"{state}, first byte at {round_trip} ms", "ms", "lower"), seconds * 1000)
        if by_wire:
            note(Metric(_GROUP, f"{state}, round trips", "", "lower"), round_trips(by_wire))


def round_trips(by_wire: dict[int, float]) -> float:
    """How many round trips the seconds of the two longest wires (milliseconds) imply: work that does not wait cancels out."""
    near, far = sorted(by_wire)[-2:]
    return (by_wire[far] - by_wire[near]) * 1000 / (far - near)


def bulk_over_wires(engine: Engine, note: Note, plan: Plan, put: SetWires) -> None:
    """One stream up and down; the first second, in which windows grow, is in it as it is in life."""
    for round_trip in FAR_MS:
        for loss in LOSSES:
            put(round_trip, loss)
            engine.wait_until_it_carries(30)
            for direction, options in (("up", ()), ("down", ("-R",))):
                received = iperf(engine, *options, seconds=plan.seconds)["sum_received"]
                if not received["bytes"]:
                    raise LabError(f"{round_trip} ms, loss {loss:g}: nothing was received")
                what = f"{round_trip} ms, loss {100 * loss:g} %, {direction}"
                note(Metric("bulk over wires", what, "Mbit/s", "higher"), received["bits_per_second"] / 1e6)
