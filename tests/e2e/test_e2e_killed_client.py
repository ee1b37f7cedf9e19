"""kill -9 at random moments, under traffic, policy changes and DNS switches: the host gets its own settings back (F-14).

No supervisor runs here. The guard gives back what the kernel does not; the next start finds a clean host. The seed is
printed, and OSTIARY_SEED repeats a run.
"""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_e2e_faults import host_settings, stop_client

from lab.processes import LabError, wait_for
from lab.product import BIN, Product
from lab.story import CURL

SEED = int(os.environ.get("OSTIARY_SEED") or random.SystemRandom().randrange(1_000_000))


class Kills:
    """Rounds of: start, be busy, die at a random moment, look at the host."""

    def __init__(self, product: Product, seed: int) -> None:
        self.product = product
        self.random = random.Random(seed)
        self.laptop = product.lab["laptop"]
        stop_client(product, signal.SIGTERM)
        self.before = self.settings()
        self.files = self._files()
        self.internet_s: list[float] = []
        self.start_s: list[float] = []

    def settings(self) -> dict[str, str]:
        """What the host has to be given back."""
        return host_settings(self.product)

    def round(self) -> None:
        """One life and death."""
        began = time.monotonic()
        starting = self.random.random() < 0.3
        if starting:
            self.product.lab.daemon("laptop", "client", str(BIN / "ostiaryd"), env=self.product.env("client"))
            time.sleep(self.random.uniform(0.2, 2.0))  # not a wait for anything: the moment of death is what is random
        else:
            restart_client_online(self.product)
            self.start_s.append(time.monotonic() - began)
            assert self._guards(), "nobody waits for the daemon's end"
            with self._busy():
                time.sleep(self.random.uniform(0.0, 1.0))
                stop_client(self.product, signal.SIGKILL)
        if starting:
            stop_client(self.product, signal.SIGKILL)
        self._look()

    def _look(self) -> None:
        killed = time.monotonic()
        wait_for("the internet by name", self._internet, 20)
        self.internet_s.append(time.monotonic() - killed)
        wait_for("the host as it was found", lambda: self.settings() == self.before, 20)
        wait_for("the guards to end", lambda: not self._guards(), 20)
        assert self._files() == self.files, "something is left beside resolv.conf"

    def _internet(self) -> bool:
        options = ("/usr/bin/curl", "-sS", "--max-time", "1", "http://public.example/")
        return "public web" in self.laptop.run(*options, check=False).stdout

    def _files(self) -> list[str]:
        """What lies beside resolv.conf."""
        folder = Path("/etc/netns") / self.laptop.argv([])[3]
        return sorted(path.name for path in folder.iterdir())

    def _guards(self) -> list[str]:
        """Who waits for this client's end, or works after it."""
        state = str(self.product.lab.folder / "client").encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if b"client.host.guard" in words and state in words:
                    found.append(path.parent.name)
        return found

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        """One of the things during which a daemon may die."""
        jobs: tuple[Callable[[], list[subprocess.Popen[bytes]]], ...] = (
            self._traffic,
            self._policy_change,
            self._dns_switch,
        )
        started = self.random.choice(jobs)()
        try:
            yield
        finally:
            for process in started:
                with contextlib.suppress(LabError):
                    self.product.lab.stop(process, signal.SIGKILL)

    def _traffic(self) -> list[subprocess.Popen[bytes]]:
        url = "http://wiki.corp.internal/blob?bytes=1000000000"
        return [self.laptop.start("/usr/bin/curl", "-sS", "-o", "/dev/null", "--limit-rate", "20M", url)]

    def _policy_change(self) -> list[subprocess.Popen[bytes]]:
        """Routes and names come and go."""
        name = f"round-{len(self.internet_s)}-{self.random.randrange(10**6)}"
        address = f"{name}.corp.internal" if self.random.random() < 0.5 else f"10.77.{self.random.randrange(256)}.0/24"
        made = self.product.admin(
            "resource", "create", name, "--network", "office", "--address", address, "--tcp", "80"
        )
        assert made["id"]
        return [self.product.start_admin("grant", "create", "--to", "group:engineers", "--resource", name)]

    def _dns_switch(self) -> list[subprocess.Popen[bytes]]:
        """`down` gives the resolver back, `up` takes it again."""
        script = f"while :; do {BIN}/ostiary down; {BIN}/ostiary up; done"
        return [self.laptop.start("/bin/sh", "-c", script, env=self.product.env("client"))]


def _go(product: Product, rounds: int, seed: int) -> None:
    print(f"OSTIARY_SEED={seed}")
    kills = Kills(product, seed)
    try:
        for _ in range(rounds):
            kills.round()
    finally:
        product.lab.stop(product.lab.process("client"), signal.SIGKILL)
        restart_client_online(product)
    assert "company wiki" in product.lab["laptop"].run(*CURL, "http://wiki.corp.internal/").stdout
    journal = product.lab.folder / "client" / "undo.journal"
    assert journal.stat().st_size < 64 * 1024, "the journal grows"
    slowest = max(kills.internet_s)
    print(f"{rounds} kills: internet after at most {slowest:.2f} s, starts {[f'{took:.1f}' for took in kills.start_s]}")


def restart_client_online(product: Product) -> None:
    """A round may have ended in the middle of `ostiary down`, which is remembered."""
    product.start_client()
    if product.client_status().get("state") != "online":
        product.client("up", check=False)
    wait_for("the client to be online", lambda: product.client_status().get("state") == "online", 20)


def test_f14_kill_9_at_random_moments_leaves_the_host_its_own(product: Product) -> None:
    _go(product, 3, SEED)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_f14_kill_9_fifty_times(product: Product) -> None:
    _go(product, 50, SEED)
