"""``python -m bench.control``: one controller process under many agents, who are light clients of the control protocol.

What is measured: authorisations per second and their p99; memory per connected agent; from a policy edit over the API to the
last acknowledgement, for an edit that touches one agent, 100, and all; a start after a kill; all agents back after it; then the log
(``bench.log``). Controller and agents share this machine's cores: what the agents' process took is named beside each figure.
With ``--workers N`` the same over PostgreSQL with N worker processes; the results go to a file of their own.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from bench import log
from bench.control_world import HUNDRED, Api, Controller, SwarmProcess, World, build
from bench.figures import Figures
from bench.machine import machine
from bench.run import RESULTS
from protocol.ids import DeviceId
from runtime.entropy import new_id

ASKING: Final = 64
EDITS: Final = 3
QUIET_S: Final = 10.0

NOTES: Final = (
    "Light agents (`bench.swarm`): TLS and WebSocket for real, heartbeats as often as the controller tells them; they check neither "
    "its certificate nor signatures. They are one process on the same two cores: CPU of both is given as cores (CPU seconds per second).",
    f"{ASKING} agents that ask one question after the other get their relay's ticket again (`controller/publish/tickets.py`), as "
    "applications of one client that start together do; who asks once, as most clients do, costs another signature: both are measured.",
    "An edit is a `POST /api/v1/grants`; it ends when the last agent that it touches sends its acknowledgement.",
    "A start ends with the first 200 of `/healthz/ready`; agents are back when the last one has a token that it can enforce.",
    "What the controller's time is made of, and what made it less: `bench/NOTES.md`.",
)


def say(text: str) -> None:
    """Progress, for whoever waits."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Run:
    """One run over one world."""

    def __init__(self, world: World, figures: Figures) -> None:
        self.world = world
        self.figures = figures
        self.controller = Controller(world)
        self.swarm = SwarmProcess(world)

    def attach(self) -> None:
        """Everybody connects for the first time."""
        before, began, used = self.controller.rss_kib(), time.monotonic(), self.controller.cpu_seconds()
        answer = self.swarm.order("attach")
        took, count = answer["at"] - began, len(self.world.devices)
        self.figures.add(f"{count} agents attached: agents per second", count / took, "1/s")
        self._cores("attaching", took, used)
        self.figures.add("controller's memory per agent", (self.controller.rss_kib() - before) / count, "KiB")
        say(f"{count} agents attached after {took:.1f} s; {answer['complaints'] or 'no attempt failed'}")

    def rest(self) -> None:
        """Nothing but heartbeats."""
        used, began = self.controller.cpu_seconds(), time.monotonic()
        self.swarm.order("report")
        time.sleep(QUIET_S)
        spent = self.controller.cpu_seconds() - used
        self.figures.add("controller's CPU while nothing happens", spent / (time.monotonic() - began), "cores")
        self.figures.add("connections lost while nothing happens", self.swarm.order("report")["lost"], "")

    def authorise(self, seconds: float) -> None:
        """Some agents ask, one question after the other; then every agent asks once."""
        order = {"asking": ASKING, "resource": self.world.resources[0]}
        self._ask(
            "authorise", f"authorisations, {ASKING} agents asking", "authorisation", {**order, "seconds": seconds}
        )
        self._ask("authorise_once", "authorisations, every agent asking once", "authorisation asked once", order)

    def _ask(self, do: str, rate: str, what: str, order: dict[str, Any]) -> None:
        used, began = self.controller.cpu_seconds(), time.monotonic()
        answer = self.swarm.order(do, **order)
        took = time.monotonic() - began
        times = sorted(answer["times"])
        self.figures.add(rate, len(times) / took, "1/s")
        self.figures.add(f"{what}: p50", statistics.median(times) * 1000, "ms")
        self.figures.add(f"{what}: p99", times[int(len(times) * 0.99) - 1] * 1000, "ms")
        self._cores(f"{what.replace('authorisation', 'authorising', 1)}", took, used)
        each = (self.controller.cpu_seconds() - used) / len(times)
        self.figures.add(f"CPU for each {what}: controller", each * 1e6, "us")

    def edit(self) -> None:
        """A new grant for one person, for a hundred, for everybody."""
        world, api = self.world, Api(self.world.port)
        api.sign_in(world)
        cases = (
            ("1 agent", "user", world.users[-1], world.devices[-1:]),
            (f"{HUNDRED} agents", "group", world.hundred, world.devices[:HUNDRED]),
            ("all agents", "group", world.everybody, world.devices),
        )
        for number in range(EDITS):
            for label, kind, subject, touched in cases:
                address = f"{label.replace(' ', '-')}-{number}.corp.internal"
                resource = {"network": world.network, "name": address, "address": address, "ports": {"tcp": ["443"]}}
                status, made = api.call("POST", "/api/v1/resources", resource)
                assert status == 201, made
                revision = api.revision() + 1
                self.swarm.order("enforced", agents=[world.connector], revision=revision - 1)
                self.swarm.give("enforced", agents=touched, revision=revision)
                used, began = self.controller.cpu_seconds(), time.monotonic()
                grant = {"subject_kind": kind, "subject": subject, "resource": made["id"]}
                status, answer = api.call("POST", "/api/v1/grants", grant)
                assert status == 201, answer
                took = self.swarm.take()["at"] - began
                self.figures.add(f"edit to last acknowledgement, {label}", took * 1000, "ms")
                if label.startswith("all"):
                    self._cores("an edit for all", took, used)
                    each = (self.controller.cpu_seconds() - used) / len(touched)
                    self.figures.add("CPU for each agent of an edit for all: controller", each * 1e6, "us")

    def kill(self) -> None:
        """Kills the controller, starts it again at once, and waits for everybody."""
        lost = self.swarm.order("report")["lost"]
        self.figures.add("connections lost since", lost, "")
        self.controller.kill()
        began = time.monotonic()
        self.controller = Controller(self.world)
        self.swarm.give("attach")
        self.figures.add("killed controller: serves again", self.controller.started_s, "s")
        answer = self.swarm.take()
        took = answer["at"] - began
        self.figures.add(f"killed controller: all {len(self.world.devices)} agents back", took, "s")
        self._cores("coming back", took, 0.0)
        say(f"all back after {took:.1f} s; {answer['complaints'] or 'no attempt failed'}")

    def end(self) -> None:
        """Ends both processes."""
        self.swarm.end()
        self.controller.kill()

    def _cores(self, what: str, took: float, used: float) -> None:
        self.figures.add(f"cores while {what}: controller", (self.controller.cpu_seconds() - used) / took, "cores")
        self.figures.add(f"cores while {what}: agents", self.swarm.cpu / took, "cores")


def starts(world: World, figures: Figures) -> None:
    """Starts of a controller with few events, one after the other."""
    for _ in range(EDITS):
        controller = Controller(world)
        figures.add("start with few events: serves", controller.started_s, "s")
        figures.add("start with few events: CPU", controller.cpu_seconds(), "s")
        controller.kill()


def measure(count: int, seconds: float, events: int, figures: Figures, home: Path) -> None:
    """All of it, once, with one process over SQLite."""
    port = 20_000 + os.getpid() % 10_000
    few = World(home / "few", port, [])
    asyncio.run(build(few))
    say("starting with few events")
    starts(few, figures)
    agents(World(home / "many", port, _devices(count)), seconds, figures)
    if events:
        say("the log")
        log.measure(figures, home / "log", events)


def measure_workers(workers: int, count: int, seconds: float, figures: Figures, home: Path) -> None:
    """Many agents at several workers over PostgreSQL."""
    with log.postgresql() as url:
        if url is None:
            raise SystemExit("PostgreSQL is not installed")
        world = World(home / "many", 20_000 + os.getpid() % 10_000, _devices(count), url, workers)
        agents(world, seconds, figures)


def _devices(count: int) -> list[DeviceId]:
    return [DeviceId(new_id("device")) for _ in range(count)]


def agents(world: World, seconds: float, figures: Figures) -> None:
    """What many agents do with one controller."""
    say(f"making {len(world.devices)} people and devices")
    asyncio.run(build(world))
    run = Run(world, figures)
    try:
        run.attach()
        run.rest()
        say("authorising")
        run.authorise(seconds)
        say("editing")
        run.edit()
        say("killing the controller")
        run.kill()
    finally:
        run.end()
        print(world.log, file=sys.stderr)


def write(described: dict[str, str], figures: Figures, workers: int) -> None:
    """Records the results."""
    stamp = time.strftime("%Y-%m-%d", time.gmtime())
    name = f"{stamp}-control" + (f"-workers-{workers}" if workers else "")
    lines = [*(f"- {key}: {value}" for key, value in described.items()), "", *(f"{note}\n" for note in NOTES)]
    text = "\n".join(["# Benchmark of the control plane", "", *lines, figures.table(), ""])
    (RESULTS / f"{name}.md").write_text(text)
    recorded = {"machine": described, "notes": NOTES, "figures": figures.json()}
    (RESULTS / f"{name}.json").write_text(json.dumps(recorded, indent=1))


def main() -> int:
    """Runs it and writes the results."""
    parser = argparse.ArgumentParser(description="The control plane under many agents; results go to bench/results/.")
    parser.add_argument("--agents", type=int, default=5000, help="how many agents (default: 5000)")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="how long authorisations are asked for (default: 10)"
    )
    parser.add_argument(
        "--events", type=int, default=1_000_000, help="length of the log that is folded (default: a million)"
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that serve, over PostgreSQL (default: one, over SQLite)"
    )
    parser.add_argument("--dry", action="store_true", help="nothing written")
    options = parser.parse_args()
    described, figures = machine(), Figures()
    with tempfile.TemporaryDirectory(prefix="ostiary-bench-") as folder:
        if options.workers:
            described["workers"] = f"{options.workers} over PostgreSQL"
            measure_workers(options.workers, options.agents, options.seconds, figures, Path(folder))
        else:
            measure(options.agents, options.seconds, options.events, figures, Path(folder))
    print("\n".join(f"{key}: {value}" for key, value in described.items()))
    print(figures.table())
    if not options.dry:
        write(described, figures, options.workers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
