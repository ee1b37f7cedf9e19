"""An agent's WebSocket after the upgrade, over a transport that the test plays: turns, bounds, and how it ends."""

import asyncio
from collections import deque
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from controller.agents import agent_socket
from controller.agents.agent_socket import PER_TURN, TAKE_OVER, TEXTLESS_MAX, AgentSocket, AgentUpgrade
from protocol.control import AGENT_PATH
from protocol.errors import RemoteError, RemoteProtocolError
from protocol.limits import CONTROL_MESSAGE_MAX_BYTES
from protocol.reasons import Reason
from runtime.leg_frames import BINARY, CLOSE, PING, PONG, TEXT, encode_frame

MASK = b"\x01\x80\xff\x5a"
DEADLINE_S = 30
UPGRADE = "\r\n".join(
    (
        f"GET {AGENT_PATH} HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "",
        "",
    )
).encode()


class Wire(asyncio.Transport):
    """The agent's side: keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.reading = True
        self.closed = False
        self.aborted = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True


class Heard:
    """A listener that may answer."""

    def __init__(self, socket: AgentSocket | None = None) -> None:
        self.socket = socket
        self.texts: deque[str] = deque()
        self.errors: list[RemoteProtocolError] = []
        self.causes: list[str] = []
        self.drains = 0
        self.news = asyncio.Event()

    def heard(self, text: str) -> None:
        self.texts.append(text)
        if self.socket is not None:
            self.socket.send(f"re: {text}")
        self.news.set()

    def broken(self, error: RemoteProtocolError) -> None:
        self.errors.append(error)

    def drained(self) -> None:
        self.drains += 1

    def gone(self, cause: str) -> None:
        self.causes.append(cause)
        self.news.set()


def made() -> tuple[AgentSocket, Wire]:
    wire = Wire()
    return AgentSocket(wire, on_closed=lambda _: None), wire


def said(*texts: str) -> bytes:
    return b"".join(encode_frame(TEXT, text.encode(), MASK) for text in texts)


async def turns(count: int = 2) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_first_message_is_heard_alone_and_the_others_wait_for_a_listener() -> None:
    socket, wire = made()
    first = asyncio.create_task(socket.hear(DEADLINE_S))
    await turns()
    socket.data_received(said("hello", "one"))
    socket.data_received(said("two"))
    assert await first == "hello"
    assert not wire.reading
    listener = Heard()
    socket.listen(listener)
    await turns()
    socket.data_received(said("three"))
    assert list(listener.texts) == ["one", "two", "three"]
    assert wire.reading


async def test_a_message_is_answered_in_the_turn_that_read_it_and_several_in_one_write() -> None:
    socket, wire = made()
    socket.listen(Heard(socket))
    await turns()
    socket.data_received(said("a question that is long enough"))
    assert wire.written == [encode_frame(TEXT, b"re: a question that is long enough")]
    socket.data_received(said("one", "two"))
    assert wire.written[1:] == [encode_frame(TEXT, b"re: one") + encode_frame(TEXT, b"re: two")]


async def test_a_flood_is_cut_into_turns_and_reading_waits() -> None:
    socket, wire = made()
    listener = Heard()
    socket.listen(listener)
    await turns()
    socket.data_received(said(*map(str, range(3 * PER_TURN))))
    assert len(listener.texts) == PER_TURN
    assert not wire.reading
    socket.data_received(said("and more"))
    assert len(listener.texts) == PER_TURN
    await turns(1)
    assert len(listener.texts) == 2 * PER_TURN
    await turns(3)
    assert list(listener.texts) == [*map(str, range(3 * PER_TURN)), "and more"]
    assert wire.reading


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (encode_frame(TEXT, b"not masked"), 1002),
        (b"\xc1\x80" + MASK, 1002),
        (b"\x81\xff" + (CONTROL_MESSAGE_MAX_BYTES + 1).to_bytes(8, "big") + MASK, 1009),
        (encode_frame(TEXT, b"\xff" * 20, MASK), 1007),
    ],
    ids=["unmasked", "reserved bits", "too long", "not UTF-8"],
)
async def test_t28_what_breaks_the_websocket_ends_it_with_its_code(wrong: bytes, code: int) -> None:
    socket, wire = made()
    listener = Heard()
    socket.listen(listener)
    await turns()
    socket.data_received(wrong)
    socket.data_received(said("too late"))
    assert wire.written == [encode_frame(CLOSE, code.to_bytes(2, "big"))]
    assert wire.closed
    assert (list(listener.texts), len(listener.causes)) == ([], 1)


@pytest.mark.parametrize("before", [True, False], ids=["before the listener", "to the listener"])
async def test_a_binary_message_is_told_once_and_nothing_behind_it(before: bool) -> None:
    socket, _ = made()
    listener = Heard()
    if not before:
        socket.listen(listener)
        await turns()
    socket.data_received(encode_frame(BINARY, b"bytes", MASK) + encode_frame(BINARY, b"bytes", MASK))
    socket.data_received(said("behind it"))
    if before:
        socket.listen(listener)
        await turns()
    assert (len(listener.errors), list(listener.texts)) == (1, [])


async def test_whoever_says_nothing_at_first_is_told_apart_from_whoever_is_gone() -> None:
    socket, _ = made()
    with pytest.raises(RemoteError) as silent:
        await socket.hear(0.01)
    assert silent.value.reason is Reason.PEER_SILENT
    waiting = asyncio.create_task(socket.hear(DEADLINE_S))
    await turns()
    socket.connection_lost(None)
    with pytest.raises(ConnectionResetError):
        await waiting
    with pytest.raises(ConnectionResetError):
        await socket.hear(DEADLINE_S)


async def test_a_ping_is_answered() -> None:
    socket, wire = made()
    socket.data_received(encode_frame(PING, b"here?", MASK))
    assert wire.written == [encode_frame(PONG, b"here?")]


@pytest.mark.parametrize("opcode", [PING, PONG])
async def test_t28_a_flood_of_empty_frames_ends_the_connection_before_it_costs(opcode: int) -> None:
    socket, wire = made()
    listener = Heard()
    socket.listen(listener)
    await turns()
    for _ in range(3):
        socket.data_received(encode_frame(opcode, b"", MASK) * TEXTLESS_MAX)
        socket.data_received(said("a text that is long enough"))
    wire.written.clear()
    socket.data_received(encode_frame(opcode, b"", MASK) * (TEXTLESS_MAX + 1))
    assert wire.written == [encode_frame(CLOSE, (1008).to_bytes(2, "big"))]
    assert wire.closed
    assert (len(listener.texts), len(listener.causes)) == (3, 1)


async def test_t28_nothing_is_answered_to_pings_of_an_agent_that_does_not_read() -> None:
    socket, wire = made()
    socket.pause_writing()
    socket.data_received(encode_frame(PING, b"here?", MASK))
    assert wire.written == []
    socket.resume_writing()
    socket.data_received(encode_frame(PING, b"and now?", MASK))
    assert wire.written == [encode_frame(PONG, b"and now?")]


async def test_whoever_does_not_read_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_socket, "AGENT_STALL_S", 0.05)
    socket, wire = made()
    listener = Heard()
    socket.listen(listener)
    socket.pause_writing()
    assert not socket.writable
    socket.resume_writing()
    assert (socket.writable, listener.drains) == (True, 1)
    socket.pause_writing()
    async with asyncio.timeout(DEADLINE_S):
        await listener.news.wait()
    assert wire.aborted
    assert listener.causes == ["does not read"]


async def test_closing_waits_for_the_agents_own_close() -> None:
    socket, wire = made()
    listener = Heard()
    socket.listen(listener)
    await turns()
    socket.send("the last word")
    ending = asyncio.create_task(socket.closed())
    await turns()
    socket.send("too late")
    assert wire.written[-1] == encode_frame(CLOSE, (1000).to_bytes(2, "big"))
    assert not wire.closed
    assert not ending.done()
    socket.data_received(encode_frame(CLOSE, (1000).to_bytes(2, "big"), MASK))
    assert wire.closed
    socket.connection_lost(None)
    await ending
    assert len(listener.causes) == 1


async def test_closing_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_socket, "CLOSE_DEADLINE_S", 0.05)
    socket, wire = made()
    async with asyncio.timeout(DEADLINE_S):
        await socket.closed()
    assert wire.aborted


@pytest.mark.parametrize("accepts", [True, False], ids=["taken over", "lost before"])
async def test_d10_an_upgrade_is_settled_once_when_it_is_taken_over_or_lost(accepts: bool) -> None:
    taken: list[AgentSocket] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if accepts:
            await send({"type": "websocket.accept"})
            assert settled == []
            taken.append(scope["extensions"][TAKE_OVER]())
        await asyncio.Event().wait()

    settled: list[str] = []
    state, wire = ServerState(), Wire()
    upgrade = AgentUpgrade(uvicorn.Config(app, lifespan="off", log_config=None), state, {})
    upgrade.on_settled = lambda: settled.append("settled")
    upgrade.connection_made(wire)
    upgrade.data_received(UPGRADE)
    await turns(5)
    assert settled == ["settled"] * accepts
    (taken[0] if accepts else upgrade).connection_lost(None)
    assert settled == ["settled"]
    (task,) = state.tasks
    task.cancel()
    await asyncio.wait((task,))


async def test_t27_nothing_may_follow_the_request_before_its_answer() -> None:
    asked = asyncio.Event()

    async def never(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        await asyncio.Event().wait()

    state, wire = ServerState(), Wire()
    upgrade = AgentUpgrade(uvicorn.Config(never, lifespan="off", log_config=None), state, {})
    upgrade.connection_made(wire)
    upgrade.data_received(UPGRADE)
    await asked.wait()
    assert not wire.aborted
    upgrade.data_received(said("smuggled"))
    assert wire.aborted
    (task,) = state.tasks
    task.cancel()
    await asyncio.wait((task,))
