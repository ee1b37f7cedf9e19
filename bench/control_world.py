"""The world of ``bench.control``: a controller with people and devices in its log, its process, its API, and a swarm of agents."""

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from controller.domain import commands as c
from controller.domain.model import PublicKey, Role, SubjectKind
from controller.store import Store
from protocol.acl.model import PortRange, Ports
from protocol.ids import (
    ConnectorId,
    DeviceId,
    GrantId,
    GroupId,
    NetworkId,
    RelayId,
    ResourceId,
    SessionId,
    UserId,
)
from protocol.tokens.keys import generate_key, key_to_pem, pin_of, public_jwk
from runtime.entropy import new_id, token_text

HUNDRED: Final = 100
RESOURCES: Final = 10
"""What everybody may reach: a snapshot holds these."""
BATCH: Final = 250
START_DEADLINE_S: Final = 60.0
OWNER: Final = "ada@bench.test"
BIN: Final = Path(sys.executable).parent
PORTS: Final = Ports(tcp=(PortRange(443, 443),))


@dataclass
class World:
    """A controller's state directory, its agents and what they are allowed. ``keys``: the connector's, then the devices'.

    ``database_url`` None is SQLite in the state directory; ``workers`` are the processes that serve, each a replica.
    """

    folder: Path
    port: int
    devices: list[DeviceId]
    database_url: str | None = None
    workers: int = 1
    connector: ConnectorId = field(default_factory=lambda: ConnectorId(new_id("connector")))
    relay: RelayId = field(default_factory=lambda: RelayId(new_id("relay")))
    network: NetworkId = field(default_factory=lambda: NetworkId(new_id("network")))
    hundred: GroupId = field(default_factory=lambda: GroupId(new_id("group")))
    everybody: GroupId = field(default_factory=lambda: GroupId(new_id("group")))
    resources: list[ResourceId] = field(
        default_factory=lambda: [ResourceId(new_id("resource")) for _ in range(RESOURCES)]
    )
    keys: list[ec.EllipticCurvePrivateKey] = field(default_factory=list, repr=False)
    password: str = field(default_factory=lambda: token_text(16), repr=False)
    users: list[UserId] = field(default_factory=list)
    issuer: str = ""

    @property
    def env(self) -> dict[str, str]:
        """The controller's settings."""
        return {
            **os.environ,
            "OSTIARY_STATE_DIR": str(self.folder),
            "OSTIARY_LISTEN_HOST": "127.0.0.1",
            "OSTIARY_LISTEN_PORT": str(self.port),
            "OSTIARY_LOG_LEVEL": "warning",
            "OSTIARY_CONNECTIONS_MAX": "20000",
            "OSTIARY_WORKERS": str(self.workers),
            **({"OSTIARY_DATABASE_URL": self.database_url} if self.database_url is not None else {}),
        }

    @property
    def log(self) -> str:
        """The end of what the controller said."""
        return (self.folder / "log").read_text()[-3000:]


async def build(world: World) -> None:
    """A person with a device and a session for each agent, all in one group; 100 of them in another one."""
    subprocess.run(
        [
            *(str(BIN / "ostiary-controller"), "init", "--public-url", f"https://localhost:{world.port}"),
            *("--owner", OWNER, "--owner-name", "Ada", "--password-file", "-"),
        ],
        env=world.env,
        input=world.password.encode(),
        check=True,
        capture_output=True,
    )
    store = await Store.open(world.database_url or f"sqlite:///{world.folder / 'controller.db'}")
    try:
        world.issuer = store.feed.state.issuer
        world.keys += [generate_key() for _ in range(len(world.devices) + 1)]
        now = time.time()
        await _give(store, _places(world), now)
        for start in range(0, len(world.devices), BATCH):
            await _give(store, _people(world, start, now), now)
    finally:
        await store.close()


def _places(world: World) -> list[c.Command]:
    given: list[c.Command] = [
        c.CreateNetwork(world.network, "office"),
        c.CreateConnector(world.connector, world.network, "office-1"),
        c.EnrolConnector(world.connector, _public(world.keys[0]), pin_of(world.keys[0].public_key())),
        c.CreateRelay(world.relay, "relay-1", "relay.bench.test", 8444),
        c.EnrolRelay(world.relay, _public(generate_key())),
        c.CreateGroup(world.everybody, "everybody"),
        c.CreateGroup(world.hundred, "hundred"),
    ]
    for number, resource in enumerate(world.resources):
        name = f"service-{number}"
        given += [
            c.CreateResource(resource, world.network, name, f"{name}.corp.internal", PORTS),
            c.CreateGrant(GrantId(new_id("grant")), SubjectKind.GROUP, world.everybody, resource),
        ]
    return given


def _people(world: World, start: int, now: float) -> list[c.Command]:
    given: list[c.Command] = []
    for number, device in enumerate(world.devices[start : start + BATCH], start):
        user = UserId(new_id("user"))
        world.users.append(user)
        given += [
            c.CreateUser(user, Role.MEMBER),
            c.AddGroupMember(world.everybody, user),
            c.RegisterDevice(device, SubjectKind.USER, user, _public(world.keys[number + 1]), "linux"),
            c.StartSession(SessionId(new_id("session")), device, user, int(now) + 86_400),
        ]
        if number < HUNDRED:
            given.append(c.AddGroupMember(world.hundred, user))
    return given


def _public(key: ec.EllipticCurvePrivateKey) -> PublicKey:
    return PublicKey.from_jwk(public_jwk(key))


async def _give(store: Store, commands: list[c.Command], now: float) -> None:
    async with store.write(actor="cli", request_id="bench", now=now) as unit:
        for command in commands:
            await unit.execute(command)


class Controller:
    """The controller's processes; ``started_s`` is how long it took from their start to the first right answer."""

    def __init__(self, world: World) -> None:
        began = time.monotonic()
        with (world.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(BIN / "ostiary-controller"), "serve"],
                env=world.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        while not (_answers(world.port) and len(self._workers()) == (world.workers if world.workers > 1 else 0)):
            if self.process.poll() is not None or time.monotonic() - began > START_DEADLINE_S:
                self.kill()
                raise SystemExit(f"the controller does not start:\n{world.log}")
            time.sleep(0.01)
        self.started_s = time.monotonic() - began

    def kill(self) -> None:
        """As a power cut would: a parent's workers too."""
        workers = self._workers()
        self.process.kill()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def rss_kib(self) -> int:
        """Resident memory of all its processes."""
        return sum(self._rss_kib(pid) for pid in (self.process.pid, *self._workers()))

    def cpu_seconds(self) -> float:
        """Of the whole life of all its processes."""
        return sum(_cpu_seconds(pid) for pid in (self.process.pid, *self._workers()))

    def _workers(self) -> list[int]:
        pid = self.process.pid
        try:
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except OSError:
            return []

    @staticmethod
    def _rss_kib(pid: int) -> int:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1])


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _answers(port: int) -> bool:
    try:
        return Api(port).call("GET", "/healthz/ready")[0] == 200
    except OSError:
        return False


class Api:
    """The controller's REST API over one connection; the certificate is not checked."""

    def __init__(self, port: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._http = HTTPSConnection("127.0.0.1", port, context=context, timeout=30)
        self._token = ""

    def sign_in(self, world: World) -> None:
        """As the owner."""
        answer = self.call("POST", "/api/v1/sessions", {"email": OWNER, "password": world.password})[1]
        self._token = answer["token"]

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Returns status and body. Raises OSError."""
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            self._http.request(method, path, json.dumps(body) if body is not None else None, headers)
            with self._http.getresponse() as response:
                text = response.read()
                return response.status, json.loads(text) if text[:1] in b"{[" and text else text
        except OSError:
            self._http.close()
            raise

    def revision(self) -> int:
        """Where the log stands."""
        return int(self.call("GET", "/api/v1/enforcement?limit=1")[1]["revision"])


class SwarmProcess:
    """The agents' process (``bench.swarm``). ``cpu`` is what its last order took, in seconds."""

    def __init__(self, world: World) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.swarm"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.cpu = 0.0
        pems = [key_to_pem(key).decode() for key in world.keys]
        pin = pin_of(world.keys[0].public_key())
        connector = {"id": world.connector, "key": pems[0], "pin": pin, "relays": [world.relay]}
        setup = {
            "port": world.port,
            "issuer": world.issuer,
            "agents": [
                connector,
                *({"id": device, "key": key} for device, key in zip(world.devices, pems[1:], strict=True)),
            ],
        }
        self._write(setup)

    def order(self, what: str, **order: Any) -> dict[str, Any]:
        """Gives an order and returns the answer. Raises SystemExit when the process has ended."""
        self.give(what, **order)
        return self.take()

    def give(self, what: str, **order: Any) -> None:
        """Gives an order."""
        self._write({"do": what, **order})

    def take(self) -> dict[str, Any]:
        """Waits for the answer to the order that was given."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the agents' process has ended")
        answer: dict[str, Any] = json.loads(line)
        self.cpu = answer.pop("cpu")
        return answer

    def end(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.communicate()

    def _write(self, value: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()
