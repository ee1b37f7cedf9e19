"""``python -m bench.control``: one controller process under many agents, who are light clients of the control protocol.

What is measured: authorisations per second and their p99; memory per connected agent; from a policy edit to the last
acknowledgement, for an edit that touches one agent, 100, and all; all agents back after the controller was killed. Controller and
agents share this machine's cores, so the agents' own work is in every figure.
"""

import argparse
import asyncio
import json
import os
import resource as limits
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvloop
from websockets.asyncio.client import ClientConnection, connect

from bench.run import RESULTS, Figures, machine
from controller.domain import commands as c
from controller.domain.model import PublicKey, Role, SubjectKind
from controller.store import Store
from protocol.acl.model import PortRange, Ports
from protocol.control import (
    AGENT_PATH,
    AuthoriseReply,
    AuthoriseRequest,
    Enforced,
    Heartbeat,
    Hello,
    PushConfig,
    PushSnapshot,
    Welcome,
)
from protocol.control_codec import encode, parse_message_untrusted
from protocol.ids import (
    ConnectorId,
    DeviceId,
    Epoch,
    GrantId,
    GroupId,
    NetworkId,
    RelayId,
    ResourceId,
    Revision,
    SessionId,
    UserId,
)
from protocol.limits import CONTROL_MESSAGE_MAX_BYTES
from protocol.tokens.claims import Assertion
from protocol.tokens.digests import token_digest
from protocol.tokens.issue import issue_assertion
from protocol.tokens.keys import generate_key, pin_of, public_jwk
from protocol.version import PROTOCOL
from runtime.entropy import new_id, token_text
from runtime.trust import client_context

HUNDRED: Final = 100
DIALS_AT_ONCE: Final = 64
DEADLINE_S: Final = 120.0
BIN: Final = Path(sys.executable).parent


@dataclass
class Agent:
    """One light client; ``revision`` is what it has acknowledged."""

    id: str
    private: Any = field(default_factory=generate_key)
    revision: int = 0
    connection: ClientConnection | None = None
    answers: "dict[int, asyncio.Future[AuthoriseReply]]" = field(default_factory=dict)

    @property
    def key(self) -> PublicKey:
        return PublicKey.from_jwk(public_jwk(self.private))


@dataclass
class World:
    """A controller's state directory, its agents and what they are allowed."""

    folder: Path
    port: int
    agents: list[Agent]
    connector: Agent
    relay: RelayId
    issuer: str = ""
    for_all: ResourceId = field(default_factory=lambda: ResourceId(new_id("resource")))
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    users: list[UserId] = field(default_factory=list)
    hundred: GroupId = field(default_factory=lambda: GroupId(new_id("group")))
    everybody: GroupId = field(default_factory=lambda: GroupId(new_id("group")))
    network: NetworkId = field(default_factory=lambda: NetworkId(new_id("network")))

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "OSTIARY_STATE_DIR": str(self.folder),
            "OSTIARY_LISTEN_HOST": "127.0.0.1",
            "OSTIARY_LISTEN_PORT": str(self.port),
            "OSTIARY_LOG_LEVEL": "warning",
            "OSTIARY_CONNECTIONS_MAX": "20000",
        }

    @property
    def database(self) -> str:
        return f"sqlite:///{self.folder / 'controller.db'}"


async def build(world: World, count: int) -> None:
    """``count`` people with a device and a session each, in one group; 100 of them in another one."""
    subprocess.run(
        [str(BIN / "ostiary-controller"), "init", "--public-url", f"https://localhost:{world.port}"],
        env=world.env,
        check=True,
        capture_output=True,
    )
    store = await Store.open(world.database)
    world.issuer = store.feed.state.issuer
    now = time.time()
    connector, ports = ConnectorId(world.connector.id), Ports(tcp=(PortRange(443, 443),))
    pin = pin_of(world.connector.private.public_key())
    first: list[c.Command] = [
        c.CreateNetwork(world.network, "office"),
        c.CreateConnector(connector, world.network, "office-1"),
        c.EnrolConnector(connector, world.connector.key, pin),
        c.CreateRelay(world.relay, "relay-1", "relay.bench.test", 8444),
        c.EnrolRelay(world.relay, PublicKey.from_jwk(public_jwk(generate_key()))),
        c.CreateGroup(world.everybody, "everybody"),
        c.CreateGroup(world.hundred, "hundred"),
        c.CreateResource(world.for_all, world.network, "wiki", "wiki.corp.internal", ports),
        c.CreateGrant(GrantId(new_id("grant")), SubjectKind.GROUP, world.everybody, world.for_all),
    ]
    await _give(store, first, now)
    for start in range(0, count, 250):
        batch: list[c.Command] = []
        for number, agent in enumerate(world.agents[start : start + 250], start):
            user, device = UserId(new_id("user")), DeviceId(agent.id)
            world.users.append(user)
            batch += [
                c.CreateUser(user, Role.MEMBER),
                c.AddGroupMember(world.everybody, user),
                c.RegisterDevice(device, SubjectKind.USER, user, agent.key, "linux"),
                c.StartSession(SessionId(new_id("session")), device, user, int(now) + 86_400),
            ]
            if number < HUNDRED:
                batch.append(c.AddGroupMember(world.hundred, user))
        await _give(store, batch, now)
    await store.close()


async def _give(store: Store, commands: list[c.Command], now: float) -> None:
    async with store.write(actor="cli", request_id="bench", now=now) as unit:
        for command in commands:
            await unit.execute(command)


async def edit(world: World, *commands: c.Command) -> int:
    """Gives commands beside the running controller, as another replica would; returns the new revision."""
    store = await Store.open(world.database)
    try:
        async with store.write(actor="cli", request_id="bench", now=time.time()) as unit:
            for command in commands:
                await unit.execute(command)
            return int(unit.position)
    finally:
        await store.close()


def serve(world: World) -> "subprocess.Popen[bytes]":
    """Starts the controller and waits until it is ready."""
    log = (world.folder / "log").open("ab")
    process = subprocess.Popen(
        [str(BIN / "ostiary-controller"), "serve"], env=world.env, stdout=log, stderr=log, start_new_session=True
    )
    log.close()
    until = time.monotonic() + DEADLINE_S
    health = [str(BIN / "ostiary-controller"), "health", "--ready"]
    while subprocess.run(health, env=world.env, capture_output=True, check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"the controller does not start:\n{(world.folder / 'log').read_text()[-3000:]}")
    return process


async def attach(world: World, agent: Agent, context: ssl.SSLContext) -> None:
    """Connects one agent and says hello; ``listen`` hears the rest."""
    now = int(time.time())
    assertion = issue_assertion(Assertion(agent.id, world.issuer, token_text(16), now, now + 60), agent.private)
    agent.connection = await connect(
        f"wss://localhost:{world.port}{AGENT_PATH}",
        additional_headers={"Authorization": f"Bearer {assertion}"},
        ssl=context,
        compression=None,
        proxy=None,
        open_timeout=30,
        ping_interval=None,
        max_size=CONTROL_MESSAGE_MAX_BYTES,
    )
    pin = pin_of(agent.private.public_key()) if agent is world.connector else None
    hello = Hello(PROTOCOL, "bench", round(time.time() * 1000), epoch=1, revision=Revision(agent.revision), pin=pin)
    await agent.connection.send(encode(hello))
    welcome = parse_message_untrusted(str(await agent.connection.recv()))
    assert isinstance(welcome, Welcome)
    if pin is not None:
        beat = Heartbeat(round(time.time() * 1000), pin=pin, relays=(world.relay,))
        await agent.connection.send(encode(beat))


async def listen(world: World, agent: Agent) -> None:
    """Acknowledges what comes, as an agent does that believes everything, until the connection ends."""
    assert agent.connection is not None
    async for frame in agent.connection:
        message = parse_message_untrusted(str(frame))
        if isinstance(message, PushSnapshot | PushConfig):
            claims = _claims(message.token)
            agent.revision = claims["rev"]
            await agent.connection.send(
                encode(Enforced(Epoch(claims["epoch"]), Revision(agent.revision), token_digest(message.token)))
            )
            world.changed.set()
        elif isinstance(message, AuthoriseReply):
            waiting = agent.answers.pop(message.id, None)
            if waiting is not None:
                waiting.set_result(message)


def _claims(token: str) -> Any:
    from base64 import urlsafe_b64decode

    part = token.split(".")[1]
    return json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))


async def attach_all(world: World) -> tuple[float, list[asyncio.Task[None]]]:
    """Connects everybody; returns the seconds until the last one has its snapshot."""
    context = client_context((world.folder / "ca.pem").read_bytes())
    gate, tasks = asyncio.Semaphore(DIALS_AT_ONCE), []
    began = time.monotonic()

    async def one(agent: Agent) -> None:
        async with gate:
            while True:
                try:
                    await attach(world, agent, context)
                    break
                except (OSError, TimeoutError, AssertionError) as exc:
                    if time.monotonic() - began > DEADLINE_S:
                        raise SystemExit(f"{agent.id} cannot attach: {exc!r}") from exc
                    await asyncio.sleep(0.2)
        tasks.append(asyncio.create_task(listen(world, agent)))

    await asyncio.gather(*(one(agent) for agent in (world.connector, *world.agents)))
    return time.monotonic() - began, tasks


async def until_revision(world: World, agents: list[Agent], revision: int) -> float:
    """Waits until all have acknowledged ``revision`` or later; returns the monotonic time of it."""
    async with asyncio.timeout(DEADLINE_S):
        while any(agent.revision < revision for agent in agents):
            world.changed.clear()
            await world.changed.wait()
    return time.monotonic()


async def edits(world: World, figures: Figures) -> None:
    """A new grant for one person, for a hundred, for everybody."""
    cases = (
        ("1 agent", SubjectKind.USER, world.users[-1], world.agents[-1:]),
        (f"{HUNDRED} agents", SubjectKind.GROUP, world.hundred, world.agents[:HUNDRED]),
        ("all agents", SubjectKind.GROUP, world.everybody, world.agents),
    )
    for label, kind, subject, touched in cases:
        made = ResourceId(new_id("resource"))
        address = f"{label.replace(' ', '-')}.corp.internal"
        ports = Ports(tcp=(PortRange(443, 443),))
        await edit(world, c.CreateResource(made, world.network, label, address, ports))
        began = time.monotonic()
        revision = await edit(world, c.CreateGrant(GrantId(new_id("grant")), kind, subject, made))
        figures.add(
            f"edit to last acknowledgement, {label}", await until_revision(world, touched, revision) - began, "s"
        )


async def authorisations(world: World, figures: Figures, seconds: float) -> None:
    """Every agent asks one after the other, 64 agents at a time."""
    times: list[float] = []
    end = time.monotonic() + seconds

    async def ask(agent: Agent) -> None:
        number = 0
        while time.monotonic() < end:
            number += 1
            answer = agent.answers[number] = asyncio.get_running_loop().create_future()
            began = time.monotonic()
            assert agent.connection is not None
            await agent.connection.send(encode(AuthoriseRequest(number, world.for_all)))
            reply = await asyncio.wait_for(answer, DEADLINE_S)
            assert reply.reason is None, reply.reason
            times.append(time.monotonic() - began)

    await asyncio.gather(*(ask(agent) for agent in world.agents[:DIALS_AT_ONCE]))
    times.sort()
    figures.add("authorisations, 64 asking", len(times) / seconds, "1/s")
    figures.add("authorisation: p50", statistics.median(times) * 1000, "ms")
    figures.add("authorisation: p99", times[int(len(times) * 0.99) - 1] * 1000, "ms")


def rss_kib(pid: int) -> int:
    """Resident memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1])


async def measure(count: int, seconds: float, figures: Figures, folder: Path) -> None:
    """All of it, once."""
    world = World(
        folder,
        20_000 + os.getpid() % 20_000,
        [Agent(new_id("device")) for _ in range(count)],
        Agent(new_id("connector")),
        RelayId(new_id("relay")),
    )
    await build(world, count)
    process = serve(world)
    try:
        before = rss_kib(process.pid)
        took, tasks = await attach_all(world)
        figures.add(f"{count} agents attached", took, "s")
        figures.add("controller's memory per agent", (rss_kib(process.pid) - before) / count, "KiB")
        await authorisations(world, figures, seconds)
        await edits(world, figures)
        process.kill()
        process.wait()
        await asyncio.gather(*tasks, return_exceptions=True)
        began = time.monotonic()
        process = serve(world)
        figures.add("killed controller: ready again", time.monotonic() - began, "s")
        _, tasks = await attach_all(world)
        figures.add(f"killed controller: all {count} agents back", time.monotonic() - began, "s")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        process.kill()
        process.wait()


def main() -> int:
    """Runs it and writes the results."""
    parser = argparse.ArgumentParser(description="The control plane under many agents; results go to bench/results/.")
    parser.add_argument("--agents", type=int, default=5000, help="how many agents (default: 5000)")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long authorisations are asked for (default: 5)")
    parser.add_argument("--dry", action="store_true", help="nothing written")
    options = parser.parse_args()
    hard = limits.getrlimit(limits.RLIMIT_NOFILE)[1]
    limits.setrlimit(limits.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    described, figures = machine(), Figures()
    with tempfile.TemporaryDirectory(prefix="ostiary-bench-") as folder:
        uvloop.run(measure(options.agents, options.seconds, figures, Path(folder)))
    print("\n".join(f"{key}: {value}" for key, value in described.items()))
    print(figures.table())
    if not options.dry:
        stamp = time.strftime("%Y-%m-%d", time.gmtime())
        lines = [f"- {key}: {value}" for key, value in described.items()]
        text = "\n".join(["# Benchmark of the control plane", "", *lines, "", figures.table(), ""])
        (RESULTS / f"{stamp}-control.md").write_text(text)
        (RESULTS / f"{stamp}-control.json").write_text(
            json.dumps({"machine": described, "figures": figures.json()}, indent=1)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
