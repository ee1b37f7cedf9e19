"""Somebody sets the clock of a host while it works, by an hour in either direction: nothing is cut, and it is told (F-13).

The clock of one process is set, by libfaketime; the others and the kernel's counters go on as they were.
"""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.hosts import SERVERS
from lab.processes import wait_for
from lab.product import BIN, Product
from lab.story import CURL

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
SOON_S = 60.0
HOUR_S = 3600
pytestmark = pytest.mark.skipif(not FAKETIME.exists(), reason="needs libfaketime: lab/ensure-tools all")
ROLES = {"client": ("laptop", "ostiaryd"), "connector": ("office", "ostiary-connector", "run")}
GRANTED = f"http://{SERVERS['wiki']}/"
"""In the resource `servers`, which has another port; granted anew for each step."""


class Clock:
    """The clock of one process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set(0)

    def set(self, seconds: int) -> None:
        """So far from the right time, from now on."""
        written = self._path.with_suffix(".new")
        written.write_text(f"{seconds:+d}\n")
        written.replace(self._path)

    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


def start(product: Product, role: str, environment: dict[str, str]) -> None:
    host, program, *words = ROLES[role]
    product.lab.stop(product.lab.process(role), signal.SIGKILL)
    product.lab.daemon(host, role, str(BIN / program), *words, env=product.env(role) | environment)
    wait_for("the client to be online", lambda: product.client_status().get("state") == "online", SOON_S)
    wait_for("the wiki", lambda: served(product, "http://wiki.corp.internal/"), SOON_S)


def served(product: Product, url: str) -> bool:
    return "company wiki" in product.lab["laptop"].run(*CURL, url, check=False).stdout


def hours_off(product: Product, role: str) -> int:
    """What this program says of its clock: by how many whole hours it is ahead."""
    if role == "client":
        ahead = product.client_status().get("controller", {}).get("clock_offset_ms") or 0.0
    else:
        out = product.command("office", "connector", "ostiary-connector", "status", "--json", check=False)
        ahead = -(json.loads(out)["controller"]["clock_offset_ms"] or 0.0)
    return round(ahead / 1000 / HOUR_S)


@pytest.fixture
def resource(product: Product) -> Iterator[str]:
    """A resource that nobody is granted yet."""
    product.admin(
        "resource", "create", "clock", "--network", "office", "--address", f"{SERVERS['wiki']}/32", "--tcp", "80"
    )
    yield "clock"
    product.admin("resource", "delete", "clock", "--yes")


def step(product: Product, role: str, resource: str, hours: tuple[int, ...], path: Path) -> None:
    lab, clock = product.lab, Clock(path / "offset")
    start(product, role, clock.environment())
    drip = lab.daemon("laptop", f"drip-{role}", "/usr/bin/curl", "-sSN", "http://wiki.corp.internal/drip")
    log = f"drip-{role}"
    try:
        wait_for("the stream", lambda: "tick" in lab.log(log), SOON_S)
        for ahead in hours:
            clock.set(ahead * HOUR_S)
            wait_for("the offset to be told", lambda ahead=ahead: hours_off(product, role) == ahead, SOON_S)
            # A new grant needs a new token, and a new proof by the clock of both.
            grant = product.admin("grant", "create", "--to", "group:engineers", "--resource", resource)
            wait_for("what is granted only now", lambda: served(product, GRANTED), SOON_S)
            seen = len(lab.log(log))
            wait_for("the open flow to go on", lambda seen=seen: len(lab.log(log)) > seen + 200, SOON_S)
            assert drip.poll() is None
            if role == "client":
                reasons = {each["reason"] for each in product.client_status()["warnings"]}
                assert ("clock_offset" in reasons) == bool(ahead)
            product.admin("grant", "revoke", grant["id"])
        assert role == "client" or "clock.wrong" in lab.log("connector")
    finally:
        lab.stop(drip)
        start(product, role, {})


def test_f13_a_step_of_the_connectors_clock_cuts_nothing_and_is_told(
    product: Product, resource: str, tmp_path: Path
) -> None:
    step(product, "connector", resource, (1,), tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("role", list(ROLES))
def test_f13_steps_of_an_hour_both_ways_cut_nothing_and_are_told(
    role: str, product: Product, resource: str, tmp_path: Path
) -> None:
    step(product, role, resource, (1, -1, 0), tmp_path)
