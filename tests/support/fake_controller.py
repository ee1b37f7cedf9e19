"""A controller for tests of agents: a real WebSocket server that signs real tokens and does what the test says."""

import asyncio
import http
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from protocol.control import AGENT_PATH, Heartbeat, Hello, Message, Records, RecordsAccepted, Welcome
from protocol.control_codec import encode, parse_message_untrusted
from protocol.ids import Revision
from protocol.tokens.keys import SigningKey, VerificationKeys, generate_key

M = TypeVar("M", bound=Message)


class FakeController:
    """What it received and what it does.

    Attributes:
        key: its signing key; ``issuer`` its instance id.
        received: every message of every connection but heartbeats.
        authorizations: the Authorization header of every attempt.
        refuse: (status, headers) for the next attempts; None accepts.
        silent: says nothing after Welcome, not even heartbeats.
        first: what it says in place of Welcome.
        accept_records: acknowledges records by itself.
        announced: the addresses that it tells in Welcome.
        lives: what a client said of the beginning of its life; a message that says nothing else is not in ``received``.
    """

    def __init__(self) -> None:
        self.issuer = "ctl_AAAAAAAAAAAAAAAAAAAAAA"
        self.key = SigningKey("key-1", generate_key())
        self.url = ""
        self.received: list[Message] = []
        self.heartbeats: list[Heartbeat] = []
        self.authorizations: list[str] = []
        self.refuse: tuple[int, dict[str, str]] | None = None
        self.silent = False
        self.first: Message | str | bytes | None = None
        self.accept_records = True
        self.announced: tuple[str, ...] = ()
        self.lives: list[int] = []
        self.clock_offset_ms = 0
        self.on_message: Callable[[Message], None] | None = None
        self._connection: ServerConnection | None = None
        self._news = asyncio.Condition()

    @property
    def keys(self) -> VerificationKeys:
        return VerificationKeys.of(self.key)

    def clock_ms(self) -> int:
        return round(time.time() * 1000) + self.clock_offset_ms

    @property
    def connected(self) -> bool:
        return self._connection is not None

    async def push(self, message: Message) -> None:
        """Says ``message`` on the current connection."""
        assert self._connection is not None
        await self._connection.send(encode(message))

    async def push_raw(self, frame: str | bytes) -> None:
        """Says anything."""
        assert self._connection is not None
        await self._connection.send(frame)

    def drop(self) -> None:
        """Cuts the current connection without a word."""
        assert self._connection is not None
        self._connection.transport.abort()

    async def wait_for(self, kind: type[M], *, nth: int = 1, deadline_s: float = 60) -> M:
        """Returns the ``nth`` message of this kind ever received."""
        async with asyncio.timeout(deadline_s), self._news:
            while len(found := self.seen(kind)) < nth:
                await self._news.wait()
            return found[nth - 1]

    def seen(self, kind: type[M]) -> list[M]:
        """Returns the messages of this kind so far."""
        pool = self.heartbeats if kind is Heartbeat else self.received
        return [item for item in pool if isinstance(item, kind)]

    async def serve_connection(self, connection: ServerConnection) -> None:
        try:
            await self._converse(connection)
        except ConnectionClosed:
            pass
        finally:
            if self._connection is connection:
                self._connection = None
            async with self._news:
                self._news.notify_all()

    async def _converse(self, connection: ServerConnection) -> None:
        hello = parse_message_untrusted(str(await connection.recv()))
        assert isinstance(hello, Hello)
        if isinstance(self.first, str | bytes):
            await connection.send(self.first)
        elif self.first is not None:
            await connection.send(encode(self.first))
        else:
            jwks = self.keys.to_jwks()
            welcome = Welcome(1, "test", self.clock_ms(), 1, Revision(0), jwks, controllers=self.announced)
            await connection.send(encode(welcome))
        self._connection = connection
        await self._note(hello)
        async for frame in connection:
            message = parse_message_untrusted(str(frame))
            assert message is not None
            await self._note(message)
            if self.silent:
                continue
            if isinstance(message, Heartbeat):
                await connection.send(encode(Heartbeat(self.clock_ms(), echo_ms=message.clock_ms)))
            elif isinstance(message, Records) and self.accept_records:
                await connection.send(encode(RecordsAccepted(message.id)))

    async def _note(self, message: Message) -> None:
        async with self._news:
            if isinstance(message, Records) and message.since_ms is not None:
                self.lives.append(message.since_ms)
                if not message.records and not message.opened:
                    self._news.notify_all()
                    return
            (self.heartbeats if isinstance(message, Heartbeat) else self.received).append(message)
            if self.on_message is not None:
                self.on_message(message)
            self._news.notify_all()

    def process_request(self, _connection: ServerConnection, request: Request) -> Response | None:
        self.authorizations.append(request.headers.get("Authorization", ""))
        if request.path != AGENT_PATH:
            return Response(404, "Not Found", Headers())
        if self.refuse is None:
            return None
        status, headers = self.refuse
        return Response(status, http.HTTPStatus(status).phrase, Headers({**headers, "Content-Length": "0"}))


@asynccontextmanager
async def fake_controller(*, tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeController]:
    """Serves a FakeController on a loopback port."""
    controller = FakeController()
    async with serve(
        controller.serve_connection,
        "127.0.0.1",
        0,
        ssl=tls,
        compression=None,
        ping_interval=None,
        close_timeout=1,
        process_request=controller.process_request,
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        controller.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
        yield controller
