"""One agent's WebSocket once the upgrade is through: text messages in and out, without a task, queue or future for each.

What arrives is given to the listener in the turn of the loop in which it was read; what is sent goes to the transport at once.
A flood is cut into turns, so that others get theirs; who does not read what was sent to him is left after AGENT_STALL_S.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from protocol.errors import RemoteError, RemoteProtocolError
from protocol.limits import AGENT_STALL_S, CONTROL_MESSAGE_MAX_BYTES
from protocol.reasons import Reason
from runtime.leg_frames import (
    CLOSE,
    CLOSE_GOING_AWAY,
    CLOSE_NORMAL,
    PONG,
    TEXT,
    CloseReceived,
    FrameError,
    FrameReader,
    PingReceived,
    TextReceived,
    encode_frame,
)

PER_TURN: Final = 16
"""Messages of one agent that are handled in one go."""
TEXTLESS_MAX: Final = 32
"""Frames of other kinds between two text messages. Agents send none but a last one; texts have their own limit."""
CLOSE_DEADLINE_S: Final = 10.0
"""How long a closed connection waits for the agent's own close: what was sent last is to arrive."""
HANG_UP_S: Final = 2.0
"""How long who was refused may take to read it and to end TLS."""
TAKE_OVER: Final = "ostiary.take_over"
"""The ASGI extension under which the server offers it."""


class Listener(Protocol):
    """Who gets what arrives. All calls come from the event loop and must not wait."""

    def heard(self, text: str) -> None:
        """A text message."""

    def broken(self, error: RemoteProtocolError) -> None:
        """The agent sent what is no text message; nothing more is handed on."""

    def drained(self) -> None:
        """The socket takes more again (``AgentSocket.writable``)."""

    def gone(self, cause: str) -> None:
        """The connection ended, whoever ended it; called once, nothing follows."""


class AgentSocket(asyncio.Protocol):
    """Made by ``take_over`` on an open connection.

    Attributes:
        writable: Whether the transport is below its high-water mark. What is sent nevertheless is queued there.
    """

    def __init__(self, transport: asyncio.Transport, *, on_closed: Callable[["AgentSocket"], None]) -> None:
        self.writable = True
        self._transport = transport
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader(masked=True, text_max=CONTROL_MESSAGE_MAX_BYTES, textless_max=TEXTLESS_MAX)
        self._texts: deque[str] = deque()
        self._listener: Listener | None = None
        self._first: asyncio.Future[str] | None = None
        self._corked: list[bytes] | None = None
        self._turn_due = False
        self._paused = False
        self._broken: RemoteProtocolError | None = None
        self._closing = False
        self._cause = ""
        self._timer: asyncio.TimerHandle | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()

    # --- what the endpoint and the connection call -------------------------------------------------------------------

    async def hear(self, deadline_s: float) -> str:
        """Returns the first message, before there is a listener.

        Raises:
            RemoteError: PEER_SILENT when nothing comes in time.
            RemoteProtocolError: it is no text message.
            ConnectionResetError: the agent is gone.
        """
        if self._cause:
            raise ConnectionResetError(self._cause)
        if self._texts:
            return self._texts.popleft()
        self._first = self._loop.create_future()
        try:
            async with asyncio.timeout(deadline_s):
                return await self._first
        except TimeoutError as exc:
            raise RemoteError(Reason.PEER_SILENT, f"nothing for {deadline_s:g} s") from exc
        finally:
            self._first = None

    def listen(self, listener: Listener) -> None:
        """Names who gets what arrives from now on; what came earlier follows in the next turn of the loop."""
        self._listener = listener
        if self._cause:
            self._loop.call_soon(listener.gone, self._cause)
        elif self._broken is not None:
            self._loop.call_soon(listener.broken, self._broken)
        else:
            self._turn_due = True
            self._loop.call_soon(self._hand_on)

    def send(self, text: str) -> None:
        """Sends one text message; nothing on a connection that has ended."""
        if not self._closing:
            self._write(encode_frame(TEXT, text.encode()))

    def close(self) -> None:
        """Says that nothing follows. ``closed`` waits for the end."""
        self._close(CLOSE_NORMAL, "closed here")

    async def closed(self) -> None:
        """Waits until the connection has ended, at most CLOSE_DEADLINE_S; closes it if nobody has yet."""
        self.close()
        await asyncio.shield(self._closed)

    def shutdown(self) -> None:
        """The server stops (uvicorn calls it for each connection)."""
        self._close(CLOSE_GOING_AWAY, "the controller stops")
        self._transport.close()

    # --- asyncio.Protocol --------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Takes in what was read; answers to it leave in one write."""
        try:
            text = self._reader.only_text(data)
            if text is not None:
                self._texts.append(text)
            else:
                self._read(data)
        except FrameError as error:
            self._close(error.close_code, "WebSocket violated")
            self._transport.close()
        if self._closing:
            self._texts.clear()
        elif self._texts and not self._turn_due:
            self._hand_on()

    def eof_received(self) -> bool:
        """The agent sends nothing more."""
        return False

    def pause_writing(self) -> None:
        """The agent does not read as fast as we send."""
        self.writable = False
        if not self._closing:
            self._set_timer(AGENT_STALL_S, "does not read")

    def resume_writing(self) -> None:
        """It has read."""
        self.writable = True
        if self._closing:
            return
        self._set_timer(None)
        if self._listener is not None:
            self._listener.drained()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._set_timer(None)
        self._closing = True
        self._texts.clear()
        self._on_closed(self)
        if not self._closed.done():
            self._closed.set_result(None)
        self._end(self._cause or (type(exc).__name__ if exc is not None else "closed by the agent"))

    # --- inside ------------------------------------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        pieces = self._reader.receive_data(data)
        while (event := self._reader.next_event()) is not None:
            match event:
                case TextReceived(text):
                    self._texts.append(text)
                case PingReceived(payload):
                    # A pong would only add to a queue that the agent does not read.
                    if self.writable:
                        self._write(encode_frame(PONG, payload))
                case CloseReceived():
                    self._close(CLOSE_NORMAL, "closed by the agent")
                    self._transport.close()
        if pieces and not self._closing and self._broken is None:
            self._broken = RemoteProtocolError("a frame is no text")
            if self._listener is not None:
                self._listener.broken(self._broken)
            elif self._first is not None and not self._first.done():
                self._first.set_exception(self._broken)

    def _hand_on(self) -> None:
        """Gives the listener what has arrived, PER_TURN at a time; reading waits while there is more."""
        listener, texts = self._listener, self._texts
        if listener is None:
            if self._first is not None and not self._first.done():
                self._first.set_result(texts.popleft())
            # What else comes has to wait until somebody listens.
            self._pause(True)
            return
        self._corked = []
        try:
            for _ in range(PER_TURN):
                if not texts or self._closing or self._broken is not None:
                    break
                listener.heard(texts.popleft())
        finally:
            corked, self._corked = self._corked, None
            if corked:
                self._transport.write(b"".join(corked))
        self._turn_due = bool(texts) and not self._closing and self._broken is None
        self._pause(self._turn_due)
        if self._turn_due:
            self._loop.call_soon(self._hand_on)

    def _pause(self, pause: bool) -> None:
        if pause is not self._paused and not self._transport.is_closing():
            self._paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _write(self, frame: bytes) -> None:
        if self._corked is not None:
            self._corked.append(frame)
        else:
            self._transport.write(frame)

    def _close(self, code: int, cause: str) -> None:
        if self._closing:
            return
        self._closing = True
        self._texts.clear()
        self._write(encode_frame(CLOSE, code.to_bytes(2, "big")))
        self._set_timer(CLOSE_DEADLINE_S, cause)
        self._end(cause)

    def _end(self, cause: str) -> None:
        if self._cause:
            return
        self._cause = cause
        if self._first is not None and not self._first.done():
            self._first.set_exception(ConnectionResetError(cause))
        if self._listener is not None:
            self._listener.gone(cause)

    def _set_timer(self, after_s: float | None, cause: str = "") -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(after_s, self._give_up, cause) if after_s is not None else None

    def _give_up(self, cause: str) -> None:
        self._timer = None
        self._closing = True
        self._transport.abort()
        if not self._closed.done():
            self._closed.set_result(None)
        self._end(cause)


class AgentUpgrade(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket until the upgrade is answered; then ``take_over`` puts an AgentSocket in its place.

    Attributes:
        on_settled: Called once, when the connection is taken over or has ended: until then it is a stranger's (D10).
    """

    on_settled: Callable[[], None] | None = None

    def handle_connect(self, event: Any) -> None:
        """Offers the application to take the connection over."""
        super().handle_connect(event)
        if self.close_sent:
            self._hang_up_soon()
        else:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[TAKE_OVER] = self._take_over
            # As ASGI has them; the request may not have been through h11, which does it too.
            self.scope["headers"] = [(name.lower(), value) for name, value in self.scope["headers"]]

    def data_received(self, data: bytes) -> None:
        """Nothing may follow the request before its answer (RFC 6455 section 4.1)."""
        if self.handshake_initiated:
            self.transport.abort()
            return
        super().data_received(data)

    async def send(self, message: Any) -> None:
        """Does not wait long for who was refused, and takes it for the end of the handshake: uvicorn would log an error."""
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True
            self._hang_up_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, and no agent was let in."""
        self._settle()
        super().connection_lost(exc)

    def _hang_up_soon(self) -> None:
        # While its timer runs, uvicorn does not close again, after which asyncio's TLS could not be aborted any more.
        if self.close_timer is None and not self.disconnected:
            self.close_timer = self.loop.call_later(HANG_UP_S, self.transport.abort)

    def _settle(self) -> None:
        settled, self.on_settled = self.on_settled, None
        if settled is not None:
            settled()

    def _take_over(self) -> AgentSocket:
        if self.disconnected or self.transport.is_closing():
            raise ConnectionResetError("closed by the agent")
        socket = AgentSocket(self.transport, on_closed=self.connections.discard)
        self.connections.discard(self)
        self.connections.add(socket)  # type: ignore[arg-type]
        self.transport.set_protocol(socket)
        self._settle()
        if not self.writable.is_set():
            socket.pause_writing()
        return socket


def take_over(websocket: WebSocket) -> AgentSocket:
    """Returns the connection of a WebSocket that was just accepted; ``websocket`` is of no more use.

    The server's WebSocket protocol must be AgentUpgrade. Raises ConnectionResetError when the agent is already gone.
    """
    take: Callable[[], AgentSocket] = websocket.scope["extensions"][TAKE_OVER]
    return take()
