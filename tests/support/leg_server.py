"""A server that accepts every leg, over real TLS on the loopback."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

from tls_material import tls_material

from protocol.reasons import Reason
from runtime.accepting import accept_forever, bind
from runtime.leg import Leg, dial_leg
from runtime.leg_accept import LegAcceptor, UpgradeRequest
from runtime.leg_tls import start_server
from runtime.tasks import TaskScope
from runtime.trust import client_context, server_context


class LegServer:
    """Accepts on ``port``; ``answer`` decides about each request and accepts by default."""

    def __init__(self, **options: Any) -> None:
        self.port = 0
        self.legs: asyncio.Queue[Leg] = asyncio.Queue()
        self.requests: list[UpgradeRequest] = []
        self.closed = 0
        self.answer: Callable[[LegAcceptor, UpgradeRequest], None] = self._accept
        self._options = options
        self._acceptors: list[LegAcceptor] = []

    def make_protocol(self) -> LegAcceptor:
        acceptor = LegAcceptor(on_request=self._requested, on_closed=self._closed, **self._options)
        self._acceptors.append(acceptor)
        return acceptor

    async def dial(self, **options: Any) -> Leg:
        """Dials a leg to this server."""
        material = tls_material()
        arguments: dict[str, Any] = {
            "host": "localhost",
            "port": self.port,
            "path": "/relay/v1/connect",
            "ticket": "ticket",
            "context": client_context(material.ca_pem),
            "address": "127.0.0.1",
            "deadline": 5.0,
        }
        return await dial_leg(**{**arguments, **options})

    async def pair(self, **options: Any) -> tuple[Leg, Leg]:
        """Returns both ends of a new leg: the dialled and the accepted one."""
        dialled = await self.dial(**options)
        async with asyncio.timeout(60):
            return dialled, await self.legs.get()

    def _requested(self, acceptor: LegAcceptor, request: UpgradeRequest) -> None:
        self.requests.append(request)
        self.answer(acceptor, request)

    def _accept(self, acceptor: LegAcceptor, _request: UpgradeRequest) -> None:
        leg = acceptor.accept()
        if leg is not None:
            self.legs.put_nowait(leg)

    def _closed(self) -> None:
        self.closed += 1


@contextlib.asynccontextmanager
async def leg_server(**options: Any) -> AsyncIterator[LegServer]:
    """Runs a LegServer; ``options`` go to its acceptors."""
    material = tls_material()
    context = server_context(material.cert_pem, material.key_pem)
    server = LegServer(**options)
    [listening] = bind("127.0.0.1", 0)
    server.port = listening.getsockname()[1]
    async with TaskScope("leg server") as scope:

        async def start(connection: socket.socket) -> None:
            with contextlib.suppress(OSError):
                await start_server(connection, server.make_protocol, context=context, deadline_s=5.0)

        def admit(connection: socket.socket, _address: str) -> None:
            scope.spawn(start(connection), name="tls")

        scope.spawn(accept_forever(listening, admit), name="accept")
        try:
            yield server
        finally:
            for acceptor in server._acceptors:
                acceptor.abort()
            while not server.legs.empty():
                server.legs.get_nowait().close(Reason.NORMAL)
            await settle()
            scope.cancel()


async def settle(turns: int = 5) -> None:
    """Lets callbacks that are due run."""
    for _ in range(turns):
        await asyncio.sleep(0)


def free_port() -> int:
    """Returns a port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
