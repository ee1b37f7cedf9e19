"""The product as it is installed: client, relay, connector and controller, started and set up by their own commands.

Two devices of one user share the relay and the connector: the laptop's client has a TUN device, the desk's is in proxy mode and leads
ports. The product has no path without a relay, so there is no third one.
"""

import dataclasses
import json
import sys
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from bench.engines.engine import OURS, PORTS, Engine, ask_once
from bench.load import ECHO_PORT
from bench.machine import commit
from lab.chain import ChainLab
from lab.hosts import NFT, Lab
from lab.processes import LabError, wait_for
from lab.product import BIN, RELAY_PORT, USER, Product

NAME: Final = "bench.corp.internal"
_RESOURCES: Final = (
    ("bench", "--address", NAME, "--tcp", "1-65535", "--udp", "1-65535"),
    ("wiki", "--address", "wiki.corp.internal", "--tcp", "80"),
)
_CUT: Final = """
table ip cut {{
    chain in {{ type filter hook input priority 0; iifname "{device}" tcp dport {port} reject with tcp reset; }}
    chain out {{ type filter hook output priority 0; oifname "{device}" tcp sport {port} reject with tcp reset; }}
}}
"""


@dataclasses.dataclass
class BenchProduct(Product):
    """The product with what a benchmark needs of it, and without the story's other servers."""

    def env(self, name: str) -> dict[str, str]:
        found = super().env(name)
        if name == "proxy":
            leads = ",".join(f"{port}={NAME}:{port}" for port in PORTS)
            found |= {"OSTIARY_MODE": "proxy", "OSTIARY_FORWARDS": leads}
        elif name.startswith(
            "proxy-"
        ):  # one of many: its proxy's port is in its name, its way to the echo server is the next
            port = int(name.partition("-")[2]) + 1
            found |= {"OSTIARY_MODE": "proxy", "OSTIARY_FORWARDS": f"{port}={NAME}:{ECHO_PORT}"}
        return found

    def start_world(self, lab: Lab) -> None:
        (lab.folder / "home").mkdir(exist_ok=True)
        for host, role in (("internet", "internet"), ("servers", "office")):
            command = (sys.executable, "-m", "lab.services", role)
            lab.daemon(host, f"{role}-services", *command, env={"PYTHONUNBUFFERED": "1"})
        for role in ("internet", "office"):
            wait_for(f"the {role}'s services", partial(self._listens, f"{role}-services"))

    def _listens(self, name: str) -> bool:
        return "listening" in self.lab.log(name)

    def create_policy(self) -> None:
        password = self.secret("grace", "a quiet lighthouse")
        self.admin("user", "create", USER, "--name", "Grace", "--password-file", password)
        self.admin("group", "create", "engineers")
        self.admin("group", "add-member", "engineers", USER)
        for name, *options in _RESOURCES:
            self.ids[name] = self.admin("resource", "create", name, "--network", "office", *options)["id"]
            grant = self.admin("grant", "create", "--to", "group:engineers", "--resource", name)
            self.ids[f"grant:{name}"] = grant["id"]


class Ostiary(Engine):
    """What both devices share. It is started once and stays: a new one would sign in anew, which is no part of any figure."""

    group = OURS
    product: BenchProduct
    _control_planes: ClassVar[dict[Path, BenchProduct]] = {}

    def __init__(self, lab: ChainLab) -> None:
        super().__init__(lab)
        self._started = False

    @classmethod
    def missing(cls) -> str:
        return "" if (BIN / "ostiaryd").exists() else "not installed (make install)"

    @classmethod
    def version(cls) -> str:
        return f"commit {commit()}"

    def control_plane(self) -> BenchProduct:
        """The controller, relay and connector of this lab, started on first use."""
        product = self._control_planes.get(self.lab.folder)
        if product is None:
            product = self._control_planes[self.lab.folder] = BenchProduct(self.lab)
            product.start_world(self.lab)
            product.start_controller()
            product.start_relay()
            product.start_connector()
            product.create_policy()
        return product

    def start(self) -> None:
        if not self._started:
            device = (self.host, self.roles["client"][0])
            self.product = dataclasses.replace(self.control_plane(), device=device)
            self.product.start_client()
            self.product.sign_in()
            self._started = True
        self.wait_until_it_carries(60)

    def stop(self) -> None:
        """Stays: see the class."""

    def cold(self) -> float | None:
        """Resets the legs between client and relay, and nothing else; the client has noticed when the clock starts."""
        cloud, device = self.lab["cloud"], f"to-{self.host}"
        cloud.run(NFT, "-f", "-", stdin=_CUT.format(port=RELAY_PORT, device=device))
        try:
            # A reset answers what is sent: a question makes the client send.
            self.lab[self.host].run(*ask_once(self.target), check=False, deadline=10)
            wait_for("the tunnels to be lost", lambda: not self._live_legs(), 20)
        finally:
            cloud.run(NFT, "delete", "table", "ip", "cut")
        out = self.lab[self.host].run(sys.executable, "-m", "bench.load", "first", self.target, deadline=40).stdout
        return float(_first_byte(out))

    def _live_legs(self) -> bool:
        command = ("/usr/bin/ss", "-Htn", "state", "established", f"dport = :{RELAY_PORT}")
        return bool(self.lab[self.host].run(*command).stdout.strip())


class OstiaryTun(Ostiary):
    """Through the TUN device."""

    name = "ostiary-tun"
    label = "Ostiary, TUN"
    host = "laptop"
    roles: ClassVar = {
        "client": ("client",),
        "relay": ("relay",),
        "connector": ("connector",),
        "controller": ("controller",),
    }

    @classmethod
    def missing(cls) -> str:
        return super().missing() or ("" if Path("/dev/net/tun").exists() else "needs /dev/net/tun")

    @property
    def target(self) -> str:
        return NAME


class OstiaryProxy(Ostiary):
    """Through ports that a client without privileges leads."""

    name = "ostiary-proxy"
    label = "Ostiary, proxy mode"
    carries = frozenset({"tcp"})
    roles: ClassVar = {**OstiaryTun.roles, "client": ("proxy",)}

    @property
    def target(self) -> str:
        return "127.0.0.1"


def _first_byte(out: str) -> float:
    try:
        return float(json.loads(out)["first_byte"])
    except (ValueError, KeyError) as error:
        raise LabError(f"no connection after the tunnel was lost: {out!r}") from error
