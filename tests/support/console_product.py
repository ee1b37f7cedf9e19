"""The other three programs beside a console's controller, as processes on loopback, and an office for them to reach.

The office is a web server and a name server on addresses of 127.20.0.0/24, which a connector dials only because the network's
egress list says so. The client runs in the proxy mode. All ports are chosen by the kernel, so that several of these live at once.
"""

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from console_world import World

from lab.processes import Processes, wait_for
from lab.product import BIN, USER, Product
from lab.services import LOCAL_DNS

OFFICE: Final = "127.20.0.0/24"
WIKI: Final = "wiki.corp.internal"
ENDLESS: Final = 1_000_000_000_000


@dataclass
class LiveProduct(Product):
    """Relay, connector and client of the controller that the console under test belongs to."""

    web_port: int = 0
    dns_port: int = 0
    proxy_port: int = 0
    relay_port: int = 0
    approver: Callable[[str], None] | None = None
    """Approves the code that `ostiary up` prints."""

    def env(self, name: str) -> dict[str, str]:
        return {
            **super().env(name),
            "OSTIARY_MODE": "proxy",
            "OSTIARY_RESOLVERS": f"{LOCAL_DNS}:{self.dns_port}",
            "OSTIARY_PROXY_LISTEN": f"127.0.0.1:{self.proxy_port}",
        }

    def enrol_and_run(self, role: str, token: str, *health: str) -> None:
        """Starts a relay or a connector with the one-time token that somebody was shown."""
        program = f"ostiary-{role}"
        self.command(role, role, program, "enroll", "--token-file", self.secret(f"{role}.token", token))
        self.lab.daemon(role, role, str(BIN / program), "run", env=self.env(role))
        self.wait_health(role, role, program, "health", *health)

    def approve(self, user_code: str) -> None:
        """In the browser where one is to do it, and otherwise as the lab does."""
        if self.approver is None:
            super().approve(user_code)
        else:
            self.approver(user_code)

    def curl(self) -> "tuple[int, str]":
        """One request to the wiki through the client's proxy: curl's exit status and what it said."""
        done = self.lab["laptop"].run(*self._curl("/"), "--max-time", "20", check=False)
        return done.returncode, done.stdout + done.stderr

    @contextlib.contextmanager
    def download(self) -> "Iterator[subprocess.Popen[bytes]]":
        """An endless download from the wiki, once its first bytes are there."""
        sink = self.lab.folder / "download"
        curl = self.lab["laptop"].start(
            *self._curl(f"/blob?bytes={ENDLESS}"),
            "--limit-rate",
            "1M",
            "-o",
            str(sink),
            log=self.lab.folder / "curl.log",
        )
        try:
            wait_for(
                "the download to run", lambda: (sink.exists() and sink.stat().st_size > 0) or curl.poll() is not None
            )
            assert curl.poll() is None, self.lab.log("curl")
            yield curl
        finally:
            self.lab.stop(curl, signal.SIGKILL)
            sink.unlink(missing_ok=True)

    def _curl(self, path: str) -> tuple[str, ...]:
        url = f"http://{WIKI}:{self.web_port}{path}"
        return ("/usr/bin/curl", "-sS", "-x", f"socks5h://127.0.0.1:{self.proxy_port}", url)


def everything(world: World, product: LiveProduct) -> None:
    """A network with a relay and a connector, a wiki, and Grace, who was granted it and is signed in on her laptop."""
    relay = world.ask("POST", "/api/v1/relays", {"name": "relay-1", "fqdn": "localhost", "port": product.relay_port})
    office = world.make("networks", name="office", egress_allow=[OFFICE])
    connector = world.ask("POST", "/api/v1/connectors", {"network": office, "name": "office-1"})
    world.ids["office-1"] = connector["id"]
    grace = world.make("users", email=USER, name="Grace", password="a quiet lighthouse")
    ports = {"tcp": [str(product.web_port)]}
    wiki = world.make("resources", network=office, name="wiki", address=WIKI, ports=ports)
    world.ids["grant"] = world.make("grants", subject_kind="user", subject=grace, resource=wiki)
    product.enrol_and_run("relay", relay["enrolment_token"], "--live")
    product.enrol_and_run("connector", connector["enrolment_token"], "--ready")
    product.start_client("--mode", "proxy")
    product.sign_in()


@contextlib.contextmanager
def beside(world: World, folder: Path) -> Iterator[LiveProduct]:
    """The office, and the programs that the block starts; ends all of them."""
    (folder / "home").mkdir(parents=True)
    lab = Processes(folder)
    web, dns, proxy, relay = (_free_port() for _ in range(4))
    product = LiveProduct(
        lab,
        ca_pin=world.ca_pin,
        controller_url=world.url,
        relay_name="localhost",
        web_port=web,
        dns_port=dns,
        proxy_port=proxy,
        relay_port=relay,
    )
    try:
        office = (sys.executable, "-m", "lab.services", "local", str(dns), str(web))
        lab.daemon("office", "services", *office, env={"PYTHONUNBUFFERED": "1"})
        wait_for("the office", lambda: "listening" in lab.log("services"))
        yield product
    finally:
        lab.stop_all()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
    return port
