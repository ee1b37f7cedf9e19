"""The demo without root: the same story on loopback, through the client's proxy mode.

Every program runs as this user. The "office" is a range of loopback addresses, which the connector may only dial because the
network's egress list says so.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lab.hosts import Lab
from lab.processes import LabError, Processes, wait_for
from lab.product import BIN, USER, Product
from lab.services import LOCAL_DNS, LOCAL_DNS_PORT, LOCAL_WEB_PORT
from lab.story import cut_by_revocation

if TYPE_CHECKING:
    from lab.demo import Narrator

OFFICE_RANGE = "127.20.0.0/24"
PROXY = "127.0.0.1:1055"


class LocalProduct(Product):
    """The four programs on loopback."""

    def __init__(self, lab: Processes) -> None:
        super().__init__(lab, controller_url="https://localhost:8443", relay_name="localhost")

    def env(self, name: str) -> dict[str, str]:
        return {**super().env(name), "OSTIARY_MODE": "proxy", "OSTIARY_RESOLVERS": f"{LOCAL_DNS}:{LOCAL_DNS_PORT}"}

    def start_world(self, lab: Lab | None = None) -> None:
        (self.lab.folder / "home").mkdir(exist_ok=True)
        command = (sys.executable, "-m", "lab.services", "local")
        self.lab.daemon("office", "local-services", *command, env={"PYTHONUNBUFFERED": "1"})
        wait_for("the services", lambda: "listening" in self.lab.log("local-services"))

    def start_connector(self) -> None:
        self.ids["network"] = self.admin("network", "create", "office", "--egress-allow", OFFICE_RANGE)["id"]
        self.enrol_connector()

    def create_policy(self) -> None:
        self.admin(
            "user", "create", USER, "--name", "Grace", "--password-file", self.secret("grace", "a quiet lighthouse")
        )
        for name, address in (("wiki", "wiki.corp.internal"), ("servers", OFFICE_RANGE)):
            tcp = ("--tcp", str(LOCAL_WEB_PORT))
            self.ids[name] = self.admin("resource", "create", name, "--network", "office", "--address", address, *tcp)[
                "id"
            ]
            self.ids[f"grant:{name}"] = self.admin("grant", "create", "--to", f"user:{USER}", "--resource", name)["id"]


class RootlessStory:
    """The steps that a proxy can show."""

    def __init__(self, product: LocalProduct) -> None:
        self.product = product

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        return [
            ("what is no resource bypasses", self.bypass),
            ("curl by name, SOCKS5", lambda: self.curl("socks5h")),
            ("curl by name, HTTP CONNECT", lambda: self.curl("http")),
            ("an address in a CIDR resource", self.address),
            ("an address that is not allowed", self.refused),
            ("revocation cuts a running download", self.revocation),
        ]

    def _curl(self, scheme: str, url: str, *options: str) -> "tuple[int, str]":
        tunnel = ["--proxytunnel"] if scheme == "http" else []
        command = ["/usr/bin/curl", "-sS", "--max-time", "20", *tunnel, "-x", f"{scheme}://{PROXY}", *options, url]
        done = self.product.lab["laptop"].run(*command, check=False)
        return done.returncode, done.stdout + done.stderr

    def bypass(self) -> str:
        code, out = self._curl("socks5h", f"http://127.0.0.1:{LOCAL_WEB_PORT}/")
        _expect(code == 0 and "public web" in out, out)
        return "a host that is no resource was dialled directly"

    def curl(self, scheme: str) -> str:
        code, out = self._curl(scheme, f"http://wiki.corp.internal:{LOCAL_WEB_PORT}/")
        _expect(code == 0 and "company wiki" in out, out)
        return f"`curl -x {scheme}://{PROXY} http://wiki.corp.internal` printed {out.strip()!r}"

    def address(self) -> str:
        code, out = self._curl("socks5h", f"http://127.20.0.10:{LOCAL_WEB_PORT}/")
        _expect(code == 0 and "company wiki" in out, out)
        return "the wiki answers at its address too, by the CIDR resource"

    def refused(self) -> str:
        began = time.monotonic()
        code, out = self._curl("http", "http://127.20.0.10:9/", "-v")
        _expect(code != 0 and "port_not_allowed" in out, out)
        return f"127.20.0.10:9 was refused in {(time.monotonic() - began) * 1000:.0f} ms with `port_not_allowed`"

    def revocation(self) -> str:
        sink = self.product.lab.folder / "download"
        url = f"http://wiki.corp.internal:{LOCAL_WEB_PORT}/blob?bytes=1000000000000"
        curl = self.product.lab["laptop"].start(
            *("/usr/bin/curl", "-sS", "-x", f"socks5h://{PROXY}", "-o", str(sink), "--limit-rate", "50M", url)
        )
        self.product.lab.adopt("download", curl)
        wait_for("the download to run", lambda: sink.exists() and sink.stat().st_size > 1_000_000)
        took = cut_by_revocation(self.product, curl, self.product.ids["grant:wiki"])
        sink.unlink(missing_ok=True)
        return f"the admin revoked the grant while a download ran: curl was cut {took * 1000:.0f} ms after the event"


def _expect(fact: bool, otherwise: str) -> None:
    if not fact:
        raise LabError(otherwise.strip())


def tell(narrator: "Narrator") -> int:
    """Runs the story; returns the exit status."""
    folder = Path(tempfile.mkdtemp(prefix="ostiary-demo-"))
    lab = Processes(folder)
    product = LocalProduct(lab)
    os.environ.setdefault("PATH", str(BIN))
    try:
        product.start_world()
        narrator.say("office: a wiki and its own DNS, on loopback addresses that stand for a private network")
        product.start_controller()
        product.start_relay()
        product.start_connector()
        product.create_policy()
        product.start_client("--mode", "proxy")
        product.sign_in()
        narrator.say(f"controller, relay, connector and client are up; the client's proxy listens on {PROXY}")
        for title, step in RootlessStory(product).steps():
            try:
                narrator.step(title, step())
            except (LabError, OSError, KeyError) as exc:
                narrator.failure(title, str(exc))
    except LabError as exc:
        narrator.failure("the lab", str(exc))
    finally:
        lab.stop_all()
    narrator.say("not shown without root: ping, UDP and DNS interception, and the relay's packets")
    return narrator.summary(folder)
