"""The product as it is installed: client, relay, connector and controller, started and set up by their own commands.

Two devices of one user share the relay and the connector: the laptop's client has a TUN device, the desk's is in proxy mode and leads
ports. A second connector, of a network of its own, also listens: the laptop's client reaches it without the relay.
"""

import dataclasses
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from bench.engines.engine import OURS, OURS_DIRECT, PORTS, Engine
from bench.load import ECHO_PORT
from bench.machine import commit
from lab.chain import OFFICE_UPLINK
from lab.hosts import NFT, Lab
from lab.processes import LabError, wait_for
from lab.product import BIN, RELAY_PORT, USER, Product

NAME: Final = "bench.corp.internal"
DIRECT_ADDRESS: Final = "10.20.0.65"
DIRECT_PORT: Final = 8446
COLD_DEADLINE_S: Final = 40.0
_RESOURCES: Final = (
    ("bench", "--address", NAME, "--tcp", "1-65535", "--udp", "1-65535"),
    ("wiki", "--address", "wiki.corp.internal", "--tcp", "80"),
)
_CUT: Final = """
table ip cut {{
    chain in {{ type filter hook input priority 0; iifname "{device}" tcp dport {port} reject with tcp reset; }}
    chain out {{ type filter hook output priority 0; oifname "{device}" tcp sport {port} reject with tcp reset; }}
    chain through {{
        type filter hook forward priority 0;
        iifname "{device}" tcp dport {port} reject with tcp reset
        oifname "{device}" tcp sport {port} reject with tcp reset
    }}
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
        elif name == "direct-connector":
            found["OSTIARY_DIRECT_LISTEN"] = f"{OFFICE_UPLINK}:{DIRECT_PORT}"
        elif name.startswith("proxy-"):
            # One of many: its proxy's port is in its name, its way to the echo server is the next.
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
    leg_port: ClassVar[int] = RELAY_PORT
    _control_planes: ClassVar[dict[Path, BenchProduct]] = {}
    _devices: ClassVar[dict[tuple[Path, str], BenchProduct]] = {}

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
        key = self.lab.folder, self.host
        if key not in self._devices:
            product = dataclasses.replace(self.control_plane(), device=(self.host, self.roles["client"][0]))
            product.start_client()
            product.sign_in()
            self._devices[key] = product
        self.product = self._devices[key]
        self.wait_until_it_carries(60)

    def stop(self) -> None:
        """Stays: see the class."""

    def cold(self) -> float | None:
        """Resets the legs between client and relay, and nothing else; the client has noticed when the clock starts.

        It does not prewarm meanwhile: a tunnel that it makes anew by itself would have a head start.
        """
        self._prewarm("off")
        try:
            self._lose_tunnels()
            out = (
                self.lab[self.host]
                .run(sys.executable, "-m", "bench.load", "first", self.target, deadline=COLD_DEADLINE_S)
                .stdout
            )
            return _first_byte(out)
        finally:
            self._prewarm("on")

    def _prewarm(self, state: str) -> None:
        self.product.command(*self.product.device, "ostiary", "set", f"prewarm={state}")

    def _lose_tunnels(self) -> None:
        cloud, device = self.lab["cloud"], f"to-{self.host}"
        cloud.run(NFT, "-f", "-", stdin=_CUT.format(port=self.leg_port, device=device))
        try:
            # A reset answers what is sent: a connection makes the client send. It ends when the client refuses it, and not before: an
            # attempt that is still held would make the tunnel anew as soon as that is possible.
            self.lab[self.host].run(
                sys.executable, "-m", "bench.load", "first", self.target, check=False, deadline=COLD_DEADLINE_S
            )
            wait_for("the tunnels to be lost", lambda: not self.live_legs(), 20)
        finally:
            cloud.run(NFT, "delete", "table", "ip", "cut")

    def live_legs(self) -> bool:
        """Whether the client's host has a connection to the relay, or to where this engine goes instead."""
        command = ("/usr/bin/ss", "-Htn", "state", "established", f"dport = :{self.leg_port}")
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


class OstiaryDirect(OstiaryTun):
    """Through the TUN device to a connector that listens."""

    name = "ostiary-direct"
    label = "Ostiary, TUN, direct"
    group = OURS_DIRECT
    roles: ClassVar = {"client": ("client",), "connector": ("direct-connector",), "controller": ("controller",)}
    leg_port = DIRECT_PORT

    @classmethod
    def missing(cls) -> str:
        if why := super().missing():
            return why
        command = [str(BIN / "ostiary-connector"), "check-config"]
        settings = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return "" if "direct_listen" in settings else "the product has no path without a relay"

    @property
    def target(self) -> str:
        return DIRECT_ADDRESS

    def start(self) -> None:
        product = self.control_plane()
        if "direct" not in product.ids:
            product.admin("network", "create", "near")
            made = product.admin("connector", "create", "near-1", "--network", "near")
            token = product.secret("direct.token", made["enrolment_token"])
            product.command("office", "direct-connector", "ostiary-connector", "enroll", "--token-file", token)
            environment = product.env("direct-connector")
            product.lab.daemon("office", "direct-connector", str(BIN / "ostiary-connector"), "run", env=environment)
            product.wait_health("office", "direct-connector", "ostiary-connector", "health", "--ready")
            what = ("--network", "near", "--address", DIRECT_ADDRESS, "--tcp", "1-65535", "--udp", "1-65535")
            product.ids["direct"] = product.admin("resource", "create", "direct", *what)["id"]
            product.admin("grant", "create", "--to", "group:engineers", "--resource", "direct")
        super().start()
        # New flows go to the better tunnel once it is there; until then they take the relay.
        wait_for("a connection without the relay", self._goes_direct, 30)

    def _goes_direct(self) -> bool:
        self.wait_until_it_carries(10)
        return self.live_legs()


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
