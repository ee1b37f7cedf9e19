"""Memory that one more idle tunnel, and one more idle connector, cost those who keep them."""

import dataclasses
import time
from typing import Final

from bench.engines.engine import Engine, ask_once
from bench.engines.ostiary import BenchProduct, OstiaryTun
from bench.metrics.measure import Note, Plan
from bench.samples import Metric
from bench.usage import rss_of
from lab.processes import wait_for
from lab.product import BIN

SETTLE_S: Final = 3.0
_FIRST_PORT: Final = 21_000
_GROUP: Final = "memory of an idle peer"


def tunnels(engine: Engine, note: Note, plan: Plan) -> None:
    """More devices of one user, each with one tunnel, and then more connectors, which park legs at the relay. They run to the end."""
    if not isinstance(engine, OstiaryTun) or engine.name != OstiaryTun.name:
        return
    product = engine.product
    before = _by_role(engine)
    for number in range(plan.peers):
        _one_more_device(product, number)
    after = _noted(engine, note, "tunnel", before, plan.peers, ("relay", "connector", "controller"))
    for number in range(plan.peers):
        _one_more_connector(product, number)
    _noted(engine, note, "connector", after, plan.peers, ("relay", "controller"))


def _one_more_device(product: BenchProduct, number: int) -> None:
    port = _FIRST_PORT + 2 * number
    name = f"proxy-{port}"
    device = dataclasses.replace(product, device=("desk", name))
    device.start_client("--proxy-listen", f"127.0.0.1:{port}")
    device.sign_in()
    desk = product.lab["desk"]
    asked = ask_once("127.0.0.1", port + 1)
    wait_for(f"the tunnel of device {number + 1}", lambda: desk.run(*asked, check=False).returncode == 0, 30)


def _one_more_connector(product: BenchProduct, number: int) -> None:
    name = f"connector-{number + 2}"
    made = product.admin("connector", "create", f"office-{number + 2}", "--network", "office")
    token = product.secret(f"{name}.token", made["enrolment_token"])
    product.command("office", name, "ostiary-connector", "enroll", "--token-file", token)
    product.lab.daemon("office", name, str(BIN / "ostiary-connector"), "run", env=product.env(name))
    product.wait_health("office", name, "ostiary-connector", "health", "--ready")


def _noted(
    engine: Engine, note: Note, peer: str, before: dict[str, float], count: int, roles: tuple[str, ...]
) -> dict[str, float]:
    time.sleep(SETTLE_S)  # what signing in has begun ends within this
    after = _by_role(engine)
    for role in roles:
        note(
            Metric(_GROUP, f"{role}, for each {peer}", "kB", "lower"),
            max(0.0, after[role] - before[role]) * 1000 / count,
        )
    return after


def _by_role(engine: Engine) -> dict[str, float]:
    return {role: rss_of(pids) for role, pids in engine.pids().items()}
