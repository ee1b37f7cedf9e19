"""A controller's agents' endpoint on a real port: store, hub and uvicorn in this process; agents join by AgentLink."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import uvicorn
from empty_database import make_database
from publish_office import Ring
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from store_steps import give
from websockets.asyncio.client import ClientConnection, connect

from controller.agents import AgentEndpoint, Presence
from controller.agents.agent_socket import AgentUpgrade
from controller.domain import commands as c
from controller.domain.model import PublicKey
from controller.publish import Hub, Signer
from controller.store import Store
from protocol.control import AGENT_PATH, Hello, Message
from protocol.control_codec import encode, parse_message_untrusted
from protocol.ids import Revision, SpkiPin
from protocol.limits import CONTROL_MESSAGE_MAX_BYTES
from protocol.tokens.claims import Assertion
from protocol.tokens.issue import issue_assertion
from protocol.tokens.keys import generate_key, public_jwk
from protocol.version import PROTOCOL
from runtime.agent_link import AgentLink
from runtime.clock import SystemClock
from runtime.entropy import new_id, token_text

DEADLINE_S = 10


class Identity:
    """An agent's id and private key."""

    def __init__(self, agent: str) -> None:
        self.agent = agent
        self._private = generate_key()
        self.key = PublicKey.from_jwk(public_jwk(self._private))

    def assertion(self, audience: str = "ctl_test", *, age_s: int = 0, jti: str = "") -> str:
        """A fresh assertion."""
        now = int(SystemClock().wall()) - age_s
        claims = Assertion(self.agent, audience, jti or token_text(16), now, now + 60)
        return issue_assertion(claims, self._private)


class Station:
    """Everything of a controller that agents see."""

    def __init__(self, store: Store, port: int) -> None:
        self.clock = SystemClock()
        self.store = store
        self.ring = Ring()
        self.presence = Presence()
        self.signer = Signer(self.ring, token_text)
        self.hub = Hub(store.feed, self.signer, self.clock, jitter=lambda _: 0.0)
        self.endpoint = AgentEndpoint(
            store=store, hub=self.hub, signer=self.signer, presence=self.presence, clock=self.clock
        )
        self.port = port

    async def give(self, *commands: c.Command) -> None:
        """Gives commands in one unit, now."""
        await give(self.store, *commands, now=self.clock.wall())

    async def initialise(self) -> None:
        """A controller with an active signing key."""
        key = self.ring.make()
        await self.give(c.InitialiseController("ctl_test", "https://ostiary.test"), key, c.ActivateSigningKey(key.kid))

    def link(
        self, identity: Identity, received: Callable[[Message], None], *, pin: SpkiPin | None = None, revision: int = 0
    ) -> AgentLink:
        """An agent's own link to this station."""
        return AgentLink(
            f"http://127.0.0.1:{self.port}",
            None,
            assertion=identity.assertion,
            hello=lambda: hello(revision=revision, pin=pin),
            on_message=received,
            clock=self.clock,
        )

    def dial(self, authorization: str | None) -> connect:
        """A bare WebSocket, for agents that misbehave."""
        headers = {"Authorization": authorization} if authorization is not None else {}
        return connect(
            f"ws://127.0.0.1:{self.port}{AGENT_PATH}",
            additional_headers=headers,
            compression=None,
            proxy=None,
            max_size=CONTROL_MESSAGE_MAX_BYTES,
        )


def hello(*, revision: int = 0, epoch: int = 1, protocol: int = PROTOCOL, pin: SpkiPin | None = None) -> Hello:
    """What an agent says first."""
    now = round(SystemClock().wall() * 1000)
    return Hello(protocol, "test", now, epoch=epoch, revision=Revision(revision), hostname="host", pin=pin)


async def say(connection: ClientConnection, message: Message) -> None:
    """Sends one message."""
    await connection.send(encode(message))


async def hear(connection: ClientConnection) -> Message:
    """Returns the next message."""
    async with asyncio.timeout(DEADLINE_S):
        frame = await connection.recv()
    assert isinstance(frame, str)
    message = parse_message_untrusted(frame)
    assert message is not None
    return message


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the test runner."""
        yield


@asynccontextmanager
async def running_station(folder: Path) -> AsyncIterator[Station]:
    """Starts a station over a fresh SQLite database and ends it."""
    store = await Store.open(make_database(folder / "controller.db"))
    listener = socket.create_server(("127.0.0.1", 0))
    station = Station(store, listener.getsockname()[1])
    await station.initialise()
    app = Starlette(routes=[WebSocketRoute(AGENT_PATH, station.endpoint.serve)])
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws=AgentUpgrade,
        ws_max_size=CONTROL_MESSAGE_MAX_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    tasks = [asyncio.create_task(server.serve(sockets=[listener])), asyncio.create_task(station.hub.run())]
    try:
        yield station
    finally:
        server.should_exit = True
        await asyncio.wait_for(tasks[0], DEADLINE_S)
        tasks[1].cancel()
        with suppress(asyncio.CancelledError):
            await tasks[1]
        listener.close()
        await store.close()


def new_identity(kind: str) -> Identity:
    """An agent with a fresh id."""
    return Identity(new_id(kind))
