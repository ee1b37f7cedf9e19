"""Several real controller processes over one PostgreSQL, a dumb balancer in front of them, and light agents."""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx2
from controller_api import OWNER, OWNER_PASSWORD, set_up

from controller.api.operations.keys import load_ca
from controller.identity.sealing import load_seal
from controller.store import Store
from protocol.control import Enforced, Heartbeat, Hello, Message, PushConfig, PushSnapshot, Revoke
from protocol.control_tests import DestinationTested, TestDestination
from protocol.enrolment import parse_untrusted
from protocol.ids import Revision
from protocol.tokens.claims import Assertion
from protocol.tokens.issue import issue_assertion
from protocol.tokens.keys import generate_key, pin_of, public_jwk
from protocol.version import PROTOCOL
from runtime.agent_link import AgentLink
from runtime.clock import SystemClock
from runtime.controllers import Controllers
from runtime.entropy import token_text
from runtime.trust import client_context

START_S = 60
DEADLINE_S = 30
_MAIN = "from controller.cli.main import main; main()"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@dataclass
class ReplicaProcess:
    """One controller process, on a host of its own as far as it knows."""

    folder: Path
    port: int
    environment: dict[str, str]
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    async def start(self) -> None:
        """Starts it and waits until it serves."""
        await asyncio.to_thread(self._start)

    def _start(self) -> None:
        notices = self.folder / "notify"
        notices.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd, (self.folder / "log").open("ab") as log:
            systemd.bind(str(notices))
            systemd.settimeout(START_S)
            command = [sys.executable, "-c", _MAIN, "serve"]
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
            while b"READY=1" not in systemd.recv(4096):
                pass

    def kill(self) -> None:
        """What the kernel does when memory runs out, or a power cut."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(START_S)

    def end(self) -> None:
        """Asks it to stop, and waits."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(START_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def log(self) -> str:
        return (self.folder / "log").read_text()


@dataclass
class Fleet:
    """Replicas over one database."""

    replicas: list[ReplicaProcess]
    ca: bytes
    url: str

    def client(self, number: int, token: str | None = None, **more: Any) -> httpx2.AsyncClient:
        """Somebody who talks to one replica."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.AsyncClient(
            base_url=self.replicas[number].url, verify=client_context(self.ca), headers=headers, timeout=10, **more
        )

    async def sign_in(self, number: int = 0) -> str:
        async with self.client(number) as client:
            answer = await client.post("/api/v1/sessions", json={"email": OWNER, "password": OWNER_PASSWORD})
            assert answer.status_code == 201, answer.text
            token: str = answer.json()["token"]
            return token


@contextlib.asynccontextmanager
async def running_fleet(
    folder: Path, database_url: str, count: int, *, announced: Sequence[str] = (), workers: int = 1
) -> AsyncIterator[Fleet]:
    """Sets a controller up and runs ``count`` replicas of it; ``announced``: each one's host name for agents.

    ``workers`` is how many processes serve for each replica.
    """
    origin = folder / "origin"
    origin.mkdir()
    await set_up(origin, now=SystemClock().wall(), database_url=database_url)
    store = await Store.open(database_url)
    ca = (await load_ca(load_seal(origin), store)).pem
    await store.close()
    replicas = []
    ports = [free_port() for _ in range(count)]
    urls = ",".join(f"https://{host}:{port}" for host, port in zip(announced, ports, strict=False))
    for number, port in enumerate(ports):
        home = folder / f"replica{number}"
        shutil.copytree(origin, home / "state")
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "OSTIARY_STATE_DIR": str(home / "state"),
            "OSTIARY_RUNTIME_DIR": str(home / "run"),
            "OSTIARY_DATABASE_URL": database_url,
            "OSTIARY_PUBLIC_URL": f"https://localhost:{port}",
            "OSTIARY_AGENT_URLS": urls,
            "OSTIARY_LISTEN_HOST": "127.0.0.1",
            "OSTIARY_LISTEN_PORT": str(port),
            "OSTIARY_SINKS_ON_LOOPBACK": "true",
            "OSTIARY_WORKERS": str(workers),
            "NOTIFY_SOCKET": str(home / "notify"),
        }
        replicas.append(ReplicaProcess(home, port, environment))
    fleet = Fleet(replicas, ca, database_url)
    try:
        await asyncio.gather(*(replica.start() for replica in replicas))
        yield fleet
    finally:
        for replica in replicas:
            await asyncio.to_thread(replica.end)


class TcpServer(ABC):
    """Listens on ``port`` of loopback while it is ``running``; ``_serve`` is what it does with a connection."""

    def __init__(self) -> None:
        self.port = free_port()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        try:
            yield self
        finally:
            server.close()

    @abstractmethod
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Has the connection until it returns."""


class Balancer(TcpServer):
    """Stands for HAProxy in TCP mode: the next backend that takes connections, in turn."""

    def __init__(self, ports: list[int]) -> None:
        super().__init__()
        self.ports = ports
        self._turn = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in self.ports:
            self._turn += 1
            try:
                far = await asyncio.open_connection("127.0.0.1", self.ports[self._turn % len(self.ports)])
            except OSError:
                continue
            await asyncio.gather(_pump(reader, far[1]), _pump(far[0], writer))
            return
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@dataclass
class LightAgent:
    """Speaks the agents' protocol and does nothing else; notes what it is pushed."""

    fleet: Fleet
    id: str
    key: Any
    url: str
    kind: str
    issuer: str
    epoch: int = 0
    revision: int = 0
    revisions: list[int] = field(default_factory=list)
    snapshot: dict[str, Any] = field(default_factory=dict)
    revoked: list[Revoke] = field(default_factory=list)
    tested: list[tuple[str, int]] = field(default_factory=list)
    connections: int = 0
    known: Controllers | None = None
    """Its addresses of the controller, when it keeps them."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def assertion(self, *, jti: str = "") -> str:
        now = int(SystemClock().wall())
        return issue_assertion(Assertion(self.id, self.issuer, jti or token_text(16), now, now + 60), self.key)

    def link(self) -> AgentLink:
        pin = pin_of(self.key.public_key()) if self.kind == "connector" else None
        self._link = AgentLink(
            self.url,
            client_context(self.fleet.ca),
            assertion=self.assertion,
            hello=lambda: Hello(
                PROTOCOL,
                "test",
                round(time.time() * 1000),
                epoch=self.epoch,
                revision=Revision(self.revision),
                hostname=self.id,
                pin=pin,
                tests=pin is not None,
            ),
            heartbeat=lambda clock, echo: Heartbeat(clock, echo, pin=pin),
            on_message=self._take,
            on_connected=lambda _: self._connected(),
            clock=SystemClock(),
            known=self.known,
        )
        return self._link

    @property
    def at(self) -> str:
        """Which address it is connected to, or tries."""
        return self._link.state.url

    def _connected(self) -> None:
        self.connections += 1
        self._tell()

    def _take(self, message: Message) -> None:
        match message:
            case PushSnapshot(token) | PushConfig(token):
                body = token.split(".")[1]
                self.snapshot = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
                self.epoch, self.revision = self.snapshot["epoch"], self.snapshot["rev"]
                self.revisions.append(self.revision)
                self._link.send(Enforced(self.epoch, Revision(self.revision), _digest(token)))
            case Revoke():
                self.revoked.append(message)
            case TestDestination(number, host, port):
                self.tested.append((host, port))
                self._link.send(
                    DestinationTested(number, addresses=("192.0.2.7",), address="192.0.2.7", connect_us=900)
                )
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def until(self, condition: Callable[["LightAgent"], bool], deadline_s: float = DEADLINE_S) -> float:
        """Waits until what was heard satisfies ``condition``; returns how long that took."""
        started = time.monotonic()
        async with asyncio.timeout(deadline_s):
            while not condition(self):
                await self._news.wait()
        return time.monotonic() - started

    def holds(self, resource: str) -> bool:
        return resource in json.dumps(self.snapshot)


@contextlib.asynccontextmanager
async def attached(*agents: LightAgent) -> AsyncIterator[None]:
    """Keeps agents connected, and waits for the first connection of each."""
    tasks = [asyncio.create_task(agent.link().run()) for agent in agents]
    try:
        for agent in agents:
            await agent.until(lambda one: one.connections > 0)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def enrol(fleet: Fleet, kind: str, made: dict[str, Any], *, url: str, at: int = 0) -> LightAgent:
    """Spends an enrolment token at one replica; the agent talks to ``url`` from then on."""
    key = generate_key()
    now = int(SystemClock().wall())
    audience = fleet.replicas[at].url
    proof = issue_assertion(Assertion("enrolment", audience, token_text(16), now, now + 60), key)
    body = {
        "secret": parse_untrusted(made["enrolment_token"]).secret,
        "kind": kind,
        "jwk": public_jwk(key),
        "proof": proof,
        "hostname": "host1",
    }
    if kind == "connector":
        body["pin"] = pin_of(key.public_key())
    async with fleet.client(at) as stranger:
        answer = await stranger.post("/api/v1/enroll", json=body)
    assert answer.status_code == 200, answer.text
    reply = answer.json()
    return LightAgent(fleet, reply["connector" if kind == "connector" else "device"], key, url, kind, reply["issuer"])


def _digest(token: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
