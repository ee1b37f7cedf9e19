"""Drives the installed commands as an admin and a user would: nothing here imports the product's code."""

import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.hosts import CONTROLLER_NAME, RELAY_NAME, SERVERS, Lab
from lab.processes import LabError, Processes, wait_for
from lab.servers import start_iperf, start_postgres, start_sshd

BIN = Path(sys.executable).parent
ADMIN = "ada@corp.example"
USER = "grace@corp.example"
CONTROLLER_URL = f"https://{CONTROLLER_NAME}:8443"
RELAY_PORT = 8444

# fmt: off
RESOURCES = (
    ("wiki", "--address", "wiki.corp.internal", "--tcp", "80", "--tcp", "8081", "--icmp"),
    ("six", "--address", "six.corp.internal", "--tcp", "80"),
    ("database", "--address", "db.corp.internal", "--tcp", "5432"),
    ("shell", "--address", "shell.corp.internal", "--tcp", "22"),
    ("echo", "--address", "echo.corp.internal", "--tcp", "7", "--udp", "7", "--icmp"),
    ("bench", "--address", "bench.corp.internal", "--tcp", "1-65535", "--udp", "1-65535"),
    ("dead", "--address", "dead.corp.internal", "--tcp", "80"),
    ("dev", "--address", "*.dev.corp.internal", "--tcp", "80"),
    ("servers", "--address", "10.20.0.0/24", "--tcp", "22", "--tcp", "5432", "--udp", "7", "--icmp"),
    ("vault", "--address", "vault.corp.internal", "--tcp", "443"),
    ("servers-v6", "--address", "fd00:20::/64", "--tcp", "80", "--tcp", "7", "--udp", "7"),
)
# fmt: on
"""Name and options of each resource; all but the vault are granted to the engineers."""


@dataclass
class Product:
    """The four programs on the lab's hosts.

    Every program has its own state folder below the lab's; ``env(name)`` is what its commands need to find it.
    """

    lab: Processes
    ca_pin: str = ""
    controller_url: str = CONTROLLER_URL
    relay_name: str = RELAY_NAME
    ids: dict[str, str] = field(default_factory=dict)
    device: tuple[str, str] = ("laptop", "client")
    """The user's host, and the name that its daemon and folders have."""

    def env(self, name: str) -> dict[str, str]:
        return {
            "OSTIARY_STATE_DIR": str(self.lab.folder / name),
            "OSTIARY_RUNTIME_DIR": str(self.lab.folder / "run" / name),
            "PYTHONUNBUFFERED": "1",
            # Some environments forbid it, and then every command compiles the product anew.
            "PYTHONDONTWRITEBYTECODE": "",
            "NO_COLOR": "1",
            "HOME": str(self.lab.folder / "home"),
        }

    def command(self, host: str, name: str, *argv: str, check: bool = True, deadline: float = 30.0) -> str:
        """Runs one of our commands on a host and returns its standard output."""
        program, *rest = argv
        done = self.lab[host].run(str(BIN / program), *rest, env=self.env(name), check=check, deadline=deadline)
        return done.stdout

    def admin(self, *argv: str) -> Any:
        """``ostiary admin … --json`` on the controller's host."""
        return json.loads(self.command("cloud", "admin", "ostiary", "admin", *argv, "--json"))

    def start_admin(self, *argv: str) -> "subprocess.Popen[bytes]":
        """The same, not waited for."""
        process = self.lab["cloud"].start(str(BIN / "ostiary"), "admin", *argv, "--json", env=self.env("admin"))
        self.lab.adopt("admin", process)
        return process

    def client(self, *argv: str, check: bool = True) -> Any:
        """``ostiary … --json`` on the user's host."""
        out = self.command(*self.device, "ostiary", *argv, "--json", check=check)
        return json.loads(out) if out.strip() else {}

    def secret(self, name: str, text: str) -> str:
        path = self.lab.folder / "secrets" / name
        path.parent.mkdir(exist_ok=True, mode=0o700)
        path.write_text(text)
        path.chmod(0o600)
        return str(path)

    # --- the office and the internet ---------------------------------------------------------------------------------

    def start_world(self, lab: Lab) -> None:
        """The public internet and the office's servers; no part of the product."""
        (lab.folder / "home").mkdir(exist_ok=True)
        for host, role in (("internet", "internet"), ("servers", "office")):
            lab.daemon(
                host, f"{role}-services", sys.executable, "-m", "lab.services", role, env={"PYTHONUNBUFFERED": "1"}
            )
        start_postgres(lab)
        start_sshd(lab)
        start_iperf(lab)
        wait_for("the internet", lambda: "listening" in lab.log("internet-services"))
        wait_for("the office", lambda: "listening" in lab.log("office-services"))

    # --- the product -------------------------------------------------------------------------------------------------

    def start_controller(self) -> None:
        """``init`` with the first owner, then ``serve``, then sign the admin command in."""
        password = self.secret("ada", "correct horse battery staple")
        out = self.command(
            "cloud",
            "controller",
            "ostiary-controller",
            *(
                "init",
                "--public-url",
                self.controller_url,
                "--owner",
                ADMIN,
                "--owner-name",
                "Ada",
                "--password-file",
                password,
            ),
            "--json",
        )
        self.ca_pin = json.loads(out)["ca_pin"]
        self.serve_controller()
        self.command(
            "cloud",
            "admin",
            "ostiary",
            *(
                "admin",
                "login",
                self.controller_url,
                "--ca-pin",
                self.ca_pin,
                "--email",
                ADMIN,
                "--password-file",
                password,
            ),
        )

    def serve_controller(self) -> None:
        self.lab.daemon("cloud", "controller", str(BIN / "ostiary-controller"), "serve", env=self.env("controller"))
        self.wait_health("cloud", "controller", "ostiary-controller", "health", "--ready")

    def wait_health(self, host: str, name: str, *argv: str, deadline: float = 20.0) -> float:
        """Runs a health command until it succeeds; returns the seconds that it took."""
        began = time.monotonic()
        while True:
            done = self.lab[host].run(str(BIN / argv[0]), *argv[1:], env=self.env(name), check=False)
            if done.returncode == 0:
                return time.monotonic() - began
            if time.monotonic() - began > deadline:
                raise LabError(f"{name} is not healthy after {deadline} s:\n{done.stderr}{self.lab.log(name)[-3000:]}")
            time.sleep(0.1)

    def start_relay(self) -> None:
        made = self.admin("relay", "create", "relay-1", "--fqdn", self.relay_name, "--port", str(RELAY_PORT))
        token = self.secret("relay.token", made["enrolment_token"])
        self.command("cloud", "relay", "ostiary-relay", "enroll", "--token-file", token)
        self.run_relay()

    def run_relay(self) -> None:
        self.lab.daemon("cloud", "relay", str(BIN / "ostiary-relay"), "run", env=self.env("relay"))
        self.wait_health("cloud", "relay", "ostiary-relay", "health", "--live")

    def start_connector(self) -> None:
        self.ids["network"] = self.admin("network", "create", "office")["id"]
        self.enrol_connector()

    def enrol_connector(self) -> None:
        made = self.admin("connector", "create", "office-1", "--network", "office")
        self.ids["connector"] = made["id"]
        token = self.secret("connector.token", made["enrolment_token"])
        self.command("office", "connector", "ostiary-connector", "enroll", "--token-file", token)
        self.run_connector()

    def run_connector(self, **settings: str) -> None:
        env = self.env("connector") | {f"OSTIARY_{name.upper()}": value for name, value in settings.items()}
        self.lab.daemon("office", "connector", str(BIN / "ostiary-connector"), "run", env=env)
        self.wait_health("office", "connector", "ostiary-connector", "health", "--ready")

    def create_policy(self) -> None:
        """The user, the group, the resources and the grants of the story."""
        self.admin(
            "user", "create", USER, "--name", "Grace", "--password-file", self.secret("grace", "a quiet lighthouse")
        )
        self.admin("group", "create", "engineers")
        self.admin("group", "add-member", "engineers", USER)
        # Each is a whole command; together they take half the time on two cores.
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._create_resource, RESOURCES))

    def _create_resource(self, resource: tuple[str, ...]) -> None:
        name, *options = resource
        self.ids[name] = self.admin("resource", "create", name, "--network", "office", *options)["id"]
        if name != "vault":
            grant = self.admin("grant", "create", "--to", "group:engineers", "--resource", name)
            self.ids[f"grant:{name}"] = grant["id"]

    def start_client(self, *options: str) -> None:
        """``ostiaryd`` on the user's host."""
        host, name = self.device
        process = self.lab.daemon(host, name, str(BIN / "ostiaryd"), *options, env=self.env(name))

        def answers() -> object:
            if process.poll() is not None:
                # A port in use, mostly. What it said is the cause; that nobody answers is not.
                raise LabError(f"ostiaryd ended: {' '.join(self.lab.log(name).split())[-400:]}")
            return self.client_status().get("state")

        wait_for("ostiaryd's control socket", answers, 15)

    def client_status(self) -> Any:
        try:
            return self.client("status", check=False)
        except (LabError, json.JSONDecodeError):
            return {}

    def sign_in(self) -> None:
        """``ostiary up URL``, the approval on the web page as a browser would do it, until the client is online."""
        lab = self.lab
        host, name = self.device
        # The first device's log has the plain name, which tests read.
        said = "up" if name == "client" else f"up-{name}"
        up = lab[host].start(
            *(
                str(BIN / "ostiary"),
                "up",
                self.controller_url,
                "--ca-pin",
                self.ca_pin,
                "--no-browser",
                "--timeout",
                "60s",
            ),
            log=lab.folder / f"{said}.log",
            env=self.env(name),
        )
        lab.adopt(said, up)
        code = re.compile(r"user_code=([A-Z0-9-]+)")
        wait_for("the sign-in code", lambda: code.search(lab.log(said)) or up.poll() is not None, 20)
        found = code.search(lab.log(said))
        if found is None:
            raise LabError(f"`ostiary up` ended early:\n{lab.log(said)}\n{lab.log(name)[-3000:]}")
        self.approve(found[1])
        wait_for("`ostiary up` to finish", lambda: up.poll() is not None, 30)
        if up.returncode != 0:
            raise LabError(f"`ostiary up` ended with {up.returncode}:\n{lab.log(said)}\n{lab.log(name)[-3000:]}")

    def approve(self, user_code: str) -> None:
        """Signs in on the page and approves, with curl as the browser."""
        jar = str(self.lab.folder / "cookies")
        ca = self.ca_file()
        curl = (
            "/usr/bin/curl",
            "-sS",
            "--fail-with-body",
            "--cacert",
            ca,
            "-b",
            jar,
            "-c",
            jar,
            "-L",
            "--max-redirs",
            "3",
        )
        origin = ("-H", f"Origin: {self.controller_url}", "-H", "Sec-Fetch-Site: same-origin")
        laptop = self.lab[self.device[0]]
        page = f"{self.controller_url}/device?user_code={user_code}"
        laptop.run(*curl, page)
        password = self.secret("grace", "a quiet lighthouse")
        laptop.run(
            *curl,
            *origin,
            *("--data-urlencode", f"email={USER}", "--data-urlencode", f"password@{password}"),
            *("--data-urlencode", f"user_code={user_code}", f"{self.controller_url}/device/sign-in"),
        )
        laptop.run(
            *curl,
            *origin,
            *("--data-urlencode", f"user_code={user_code}", "--data-urlencode", "decision=approve"),
            f"{self.controller_url}/device/decision",
        )

    def ca_file(self) -> str:
        path = self.lab.folder / "ca.pem"
        if not path.exists():
            path.write_text(
                self.lab[self.device[0]].run("/usr/bin/curl", "-sSk", f"{self.controller_url}/ca.pem").stdout
            )
        return str(path)

    def start_all(self, lab: Lab) -> None:
        """Everything up to a signed-in user."""
        self.start_world(lab)
        self.start_controller()
        self.start_relay()
        self.start_connector()
        self.create_policy()
        self.start_client()
        self.sign_in()


def server(name: str) -> str:
    """The real address of one of the office's servers, which the client never learns."""
    return SERVERS[name]
