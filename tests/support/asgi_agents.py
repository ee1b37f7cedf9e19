"""Agents at an application without a port: stands for the server's socket between the in-process test client and the product."""

import asyncio
from typing import Any, cast

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.agents.agent_socket import TAKE_OVER, AgentSocket
from controller.api.document import ControllerApi
from protocol.control import AGENT_PATH
from protocol.limits import CONTROL_MESSAGE_MAX_BYTES
from runtime.leg_frames import CLOSE, TEXT, CloseReceived, FrameReader, TextReceived, encode_frame

MASK = b"\x01\x80\xff\x5a"


def with_agents(app: FastAPI) -> FastAPI:
    """Lets the test client's WebSockets be taken over, as the server's are."""
    api = cast(ControllerApi, app)
    inner: ASGIApp = api.websockets[AGENT_PATH]

    async def agents(scope: Scope, receive: Receive, send: Send) -> None:
        wire = _Wire(receive, send)
        scope["extensions"] = {**scope.get("extensions", {}), TAKE_OVER: wire.take_over}
        try:
            await inner(scope, receive, send)
        finally:
            await wire.finish()

    api.websockets = {AGENT_PATH: agents}
    return app


class _Wire(asyncio.Transport):
    """Frames on the product's side, ASGI messages on the test client's."""

    def __init__(self, receive: Receive, send: Send) -> None:
        super().__init__()
        self._receive = receive
        self._send = send
        self._frames = FrameReader(masked=False, text_max=CONTROL_MESSAGE_MAX_BYTES)
        self._out: asyncio.Queue[Message | None] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._socket: AgentSocket | None = None
        self._lost = False

    def take_over(self) -> AgentSocket:
        self._socket = AgentSocket(self, on_closed=lambda _: None)
        self._tasks = [asyncio.create_task(self._carry_in()), asyncio.create_task(self._carry_out())]
        return self._socket

    async def finish(self) -> None:
        """What was written still goes out."""
        if self._tasks:
            self._out.put_nowait(None)
            await self._tasks[1]
            self._tasks[0].cancel()
            await asyncio.wait(self._tasks)

    def write(self, data: Any) -> None:
        self._frames.receive_data(data)
        while (event := self._frames.next_event()) is not None:
            match event:
                case TextReceived(text):
                    self._out.put_nowait({"type": "websocket.send", "text": text})
                case CloseReceived():
                    self._out.put_nowait({"type": "websocket.close", "code": 1000})
                    asyncio.get_running_loop().call_soon(self._hear, encode_frame(CLOSE, b"\x03\xe8", MASK))

    def close(self) -> None:
        asyncio.get_running_loop().call_soon(self._lose)

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self._lost

    def pause_reading(self) -> None:
        """The test client says little."""

    def resume_reading(self) -> None:
        """See pause_reading."""

    def _hear(self, data: bytes) -> None:
        if self._socket is not None and not self._lost:
            self._socket.data_received(data)

    def _lose(self) -> None:
        if self._socket is not None and not self._lost:
            self._lost = True
            self._socket.connection_lost(None)

    async def _carry_in(self) -> None:
        while (message := await self._receive())["type"] == "websocket.receive":
            self._hear(encode_frame(TEXT, message["text"].encode(), MASK))
        self._lose()

    async def _carry_out(self) -> None:
        while (message := await self._out.get()) is not None:
            await self._send(message)
