"""A client daemon in proxy mode in this process, with a fake controller and a fake relay-and-connector around it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Any

from client_edge import Edge, serve_edge
from fake_controller import FakeController, fake_controller
from tls_material import tls_material

from client.daemon.app import Daemon
from client.daemon.identity import Controller, Identity, IdentityStore
from client.daemon.log_buffer import LogBuffer
from client.daemon.settings import ClientSettings
from client.host.keys import load_or_create_key
from protocol.acl.model import ALL_PORTS, Acl, Entry, Ports, Resource
from protocol.acl.names import parse_pattern
from protocol.control import (
    AccessTokenReply,
    AccessTokenRequest,
    AuthoriseReply,
    AuthoriseRequest,
    Enforced,
    ExplainReply,
    ExplainRequest,
    Message,
    PushSnapshot,
)
from protocol.ids import ConnectorId, DeviceId, Epoch, GrantId, NetworkId, ResourceId, Revision, SessionId, SpkiPin
from protocol.reasons import Reason
from protocol.tokens.claims import Access, Authorisation, Path, Snapshot
from protocol.tokens.issue import issue_access, issue_authorisation, issue_snapshot
from runtime.files import StateDir
from runtime.lifecycle import Lifecycle
from runtime.status_socket import call

DEVICE = DeviceId("dev_" + "D" * 22)
USER = "usr_" + "U" * 22
SESSION = SessionId("ses_" + "S" * 22)
NETWORK = NetworkId("net_" + "N" * 22)
CONNECTOR_NAME = "office-1"
GRANT = GrantId("gra_" + "G" * 22)


def resource_id(number: int) -> ResourceId:
    return ResourceId(f"res_{number:022d}")


def entry(address: str, number: int = 1, *, ports: Ports | None = None, lease_s: int = 3600) -> Entry:
    """A resource with a grant."""
    everything = Ports(tcp=(ALL_PORTS,), udp=(ALL_PORTS,), icmp=True)
    resource = Resource(
        resource_id(number), f"thing {number}", NETWORK, parse_pattern(address), ports or everything, lease_s
    )
    return Entry(resource, (GRANT,))


PIN = SpkiPin("sha256/" + "A" * 43 + "=")


@dataclass
class World:
    """The daemon's surroundings.

    Attributes:
        controller: its messages; ``answers`` False leaves requests unanswered.
        entries: the policy; ``push`` makes it known.
        refuse: reasons for authorise and access requests.
        access_life_s: of the next access tokens.
        token_pins: of the next access tokens, in place of those of the paths.
    """

    folder: FilePath
    controller: FakeController
    edge: Edge
    edges: list[Edge]
    entries: list[Entry] = field(default_factory=list)
    revision: int = 1
    epoch: int = 1
    paths: list[Path] | None = None
    refuse_authorise: Reason | None = None
    refuse_access: Reason | None = None
    access_life_s: float = 300.0
    token_pins: tuple[SpkiPin, ...] | None = None
    explained: dict[str, Any] = field(default_factory=lambda: {"allowed": False, "reason": "not_a_resource"})
    proxy: tuple[str, int] = ("", 0)
    group: str = "no-such-group"
    direct: dict[str, tuple[str, ...]] = field(default_factory=dict)
    strict_dns: bool = False

    @property
    def settings(self) -> ClientSettings:
        return ClientSettings(
            state_dir=self.folder / "state",
            runtime_dir=self.folder / "run",
            mode="proxy",
            proxy_listen="127.0.0.1:0",
            group=self.group,
            strict_dns=self.strict_dns,
        )

    def store(self) -> IdentityStore:
        state = StateDir(self.settings.state_dir)
        state.ensure()
        return IdentityStore(state)

    def sign_in(self) -> None:
        """As if somebody had signed in before this start."""
        store = self.store()
        store.store_controller(Controller(self.controller.url, None, tls_material("localhost").ca_pem))
        store.store_identity(
            Identity(self.controller.issuer, DEVICE, USER, False, SESSION, None, self.controller.keys, "Grace")
        )

    def snapshot(self, *, life_s: int = 3600) -> str:
        now = int(time.time())
        claims = Snapshot(
            self.controller.issuer,
            DEVICE,
            USER,
            "user",
            SESSION,
            Epoch(self.epoch),
            Revision(self.revision),
            now,
            now + life_s,
            Acl(tuple(self.entries)),
            {NETWORK: "office"},
            "",
        )
        return issue_snapshot(claims, self.controller.key)

    def pins_of(self, connector: ConnectorId) -> tuple[SpkiPin, ...]:
        """What access tokens for it name; those of its paths unless the test says otherwise."""
        if self.token_pins is not None:
            return self.token_pins
        paths = [edge.path() for edge in self.edges] if self.paths is None else self.paths
        return next((path.pins for path in paths if path.connector == connector), (PIN,))

    async def push(self, *entries: Entry, life_s: int = 3600) -> None:
        """Pushes a newer snapshot with these entries and waits until it is enforced."""
        self.entries = list(entries)
        self.revision += 1
        await self.controller.push(PushSnapshot(self.snapshot(life_s=life_s)))
        await self.enforced(self.revision)

    async def enforced(self, revision: int) -> None:
        """Waits until the daemon confirms ``revision``."""
        nth = 1
        while (await self.controller.wait_for(Enforced, nth=nth)).revision < revision:
            nth += 1

    def answer(self, message: Message) -> None:
        """What the controller replies."""
        reply: Message | None = None
        now = int(time.time())
        match message:
            case AuthoriseRequest(number, resource):
                token = None
                if self.refuse_authorise is None:
                    paths = [edge.path() for edge in self.edges] if self.paths is None else self.paths
                    claims = Authorisation(
                        self.controller.issuer,
                        DEVICE,
                        resource,
                        Revision(self.revision),
                        now,
                        now + 60,
                        tuple(paths),
                    )
                    token = issue_authorisation(claims, self.controller.key)
                names = {edge.connector: CONNECTOR_NAME for edge in self.edges}
                reply = AuthoriseReply(
                    number, token, self.refuse_authorise and self.refuse_authorise.code, names, self.direct
                )
            case AccessTokenRequest(number, connector, jwk):
                token = None
                if self.refuse_access is None:
                    access = Access(
                        self.controller.issuer,
                        connector,
                        DEVICE,
                        USER,
                        SESSION,
                        f"tok_{number:022d}",
                        Acl(tuple(self.entries)),
                        jwk,
                        Revision(self.revision),
                        (GRANT,),
                        now,
                        int(now + self.access_life_s),
                        self.pins_of(connector),
                    )
                    token = issue_access(access, self.controller.key)
                reply = AccessTokenReply(number, token, self.refuse_access and self.refuse_access.code)
            case ExplainRequest(number):
                reply = ExplainReply(number, **self.explained)
        if reply is not None:
            self.edge.spawn(self.controller.push(reply))

    async def ask(self, verb: str, /, **args: Any) -> dict[str, Any]:
        """Says a verb to the daemon's control socket."""
        return await call(self.settings.socket, verb, args)

    async def until(self, state: str) -> dict[str, Any]:
        """Waits until ``status`` says ``state``."""
        async with asyncio.timeout(60):
            while (status := await self.ask("status"))["state"] != state:
                await asyncio.sleep(0.02)
            return status


@asynccontextmanager
async def client_world(folder: FilePath, *, edges: int = 1) -> AsyncIterator[World]:
    """Controller and edges; no daemon yet."""
    async with AsyncExitStack() as stack:
        controller = await stack.enter_async_context(fake_controller())
        made = []
        for number in range(edges):
            edge = Edge(controller.keys, controller.issuer)
            if number:
                letter = "ABDEF"[number]
                edge.connector = type(edge.connector)(f"con_{letter * 22}")
                edge.relay = type(edge.relay)(f"rel_{letter * 22}")
            made.append(await stack.enter_async_context(serve_edge(edge)))
        world = World(folder, controller, made[0], made)
        controller.on_message = world.answer
        yield world


@asynccontextmanager
async def running_daemon(world: World) -> AsyncIterator[Lifecycle]:
    """The daemon in this process, until the block ends."""
    lifecycle = Lifecycle()
    daemon = Daemon(world.settings, LogBuffer())
    task = asyncio.get_running_loop().create_task(daemon.run(lifecycle))
    try:
        async with asyncio.timeout(60):
            while not world.settings.socket.exists():
                await asyncio.sleep(0.01)
                if task.done():
                    task.result()
        host, _, port = (await world.ask("status"))["proxy"].rpartition(":")
        world.proxy = (host, int(port))
        yield lifecycle
    finally:
        lifecycle.stop.set()
        async with asyncio.timeout(60):
            await task


@asynccontextmanager
async def online(folder: FilePath, *entries: Entry, edges: int = 1, strict_dns: bool = False) -> AsyncIterator[World]:
    """A signed-in daemon with a policy in force."""
    async with client_world(folder, edges=edges) as world:
        world.strict_dns = strict_dns
        world.sign_in()
        load_or_create_key(world.settings.state_dir)
        async with running_daemon(world):
            async with asyncio.timeout(60):
                while not world.controller.connected:
                    await asyncio.sleep(0.01)
            await world.push(*entries)
            yield world


def renumbered(item: Entry, number: int) -> Entry:
    """The same resource under another id."""
    return replace(item, resource=replace(item.resource, id=resource_id(number)))
