"""Many light clients of the control protocol in one process; ``bench.control`` starts it and gives it orders.

Orders and answers are lines of JSON on standard input and output. A light client speaks TLS and WebSocket for real, but spares what is
not measured: it checks neither the controller's certificate nor signatures, masks with zeros, and keeps no whitelist. It
says Hello, acknowledges every token with its digest, beats as often as it is told, and asks when it is told.
"""

import asyncio
import json
import os
import resource
import ssl
import sys
import time
from base64 import b64encode, urlsafe_b64decode
from itertools import count
from typing import Any, Final, cast

import uvloop

from protocol.control import AGENT_PATH, AuthoriseRequest, Enforced, Heartbeat, Hello
from protocol.control_codec import encode
from protocol.ids import Epoch, ResourceId, Revision
from protocol.limits import HEARTBEAT_INTERVAL_S
from protocol.tokens.claims import Assertion
from protocol.tokens.digests import token_digest
from protocol.tokens.issue import issue_assertion
from protocol.tokens.keys import key_from_pem
from protocol.version import PROTOCOL
from runtime.entropy import token_text

DIALS_AT_ONCE: Final = 64
DIAL_DEADLINE_S: Final = 30.0
RETRY_S: Final = 0.2
DEADLINE_S: Final = 150.0
BEAT_TURN_S: Final = 0.1


class LightAgent(asyncio.Protocol):
    """One agent over all its connections. ``revision`` is what it has acknowledged, ``acknowledged_at`` when."""

    def __init__(self, swarm: "Swarm", described: dict[str, Any]) -> None:
        self.swarm = swarm
        self.id: str = described["id"]
        self.key = key_from_pem(described["key"].encode())
        self.relays = tuple(described.get("relays", ()))
        self.pin = described.get("pin")
        self.revision = 0
        self.acknowledged_at = 0.0
        self.transport: asyncio.Transport | None = None
        self.ready: asyncio.Future[None] | None = None
        self.reply: asyncio.Future[str] | None = None
        self.asked_at = 0.0
        self.beat_at = 0.0
        self.interval_s = HEARTBEAT_INTERVAL_S
        self.upgraded = False
        self.up = False
        """It has a token that it can enforce."""
        self._buffer = bytearray()

    # --- connecting --------------------------------------------------------------------------------------------------

    async def attach(self) -> None:
        """Connects and waits until this agent's first token is acknowledged. Raises OSError or TimeoutError."""
        loop = asyncio.get_running_loop()
        self.ready, self.upgraded = loop.create_future(), False
        self.interval_s = HEARTBEAT_INTERVAL_S
        self._buffer.clear()
        try:
            async with asyncio.timeout(DIAL_DEADLINE_S):
                await loop.create_connection(lambda: self, "127.0.0.1", self.swarm.port, ssl=self.swarm.context)
                await self.ready
        except BaseException:
            if self.transport is not None:
                self.transport.abort()
            raise

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        now = int(time.time())
        claims = Assertion(self.id, self.swarm.issuer, token_text(16), now, now + 60)
        head = (
            f"GET {AGENT_PATH} HTTP/1.1",
            f"Host: localhost:{self.swarm.port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
            f"Authorization: Bearer {issue_assertion(claims, self.key)}",
        )
        self.transport.write("\r\n".join((*head, "", "")).encode())

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        for waiting in (self.ready, self.reply):
            if waiting is not None and not waiting.done():
                # Looked at here: whoever waited may have given up.
                waiting.add_done_callback(asyncio.Future.exception)
                waiting.set_exception(ConnectionResetError("the controller closed the connection"))
        if self.up:
            self.up = False
            self.swarm.up -= 1
            self.swarm.lost += 1
            self.swarm.dial(self)

    # --- what comes --------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.upgraded:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self._buffer.startswith(b"HTTP/1.1 101"):
                self._fail(ConnectionRefusedError(bytes(self._buffer[:60]).decode(errors="replace")))
                return
            del self._buffer[: end + 4]
            self.upgraded = True
            stamp = round(time.time() * 1000)
            self.send(encode(Hello(PROTOCOL, "bench", stamp, epoch=1, revision=Revision(self.revision), pin=self.pin)))
            self.beat_at = time.monotonic() + self.interval_s
        while (frame := self._frame()) is not None:
            self._handle(json.loads(frame))

    def _frame(self) -> bytes | None:
        """A server's frame (RFC 6455 section 5.2): never masked, and this server does not fragment."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, head = buffer[1] & 127, 2
        if size >= 126:
            head = 4 if size == 126 else 10
            if len(buffer) < head:
                return None
            size = int.from_bytes(buffer[2:head], "big")
        if len(buffer) < head + size:
            return None
        frame, closes = bytes(buffer[head : head + size]), buffer[0] & 15 == 8
        del buffer[: head + size]
        if closes:
            self._fail(ConnectionResetError("closed"))
            return None
        return frame

    def _handle(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "snapshot" | "config":
                token = message["token"]
                part = token.split(".")[1]
                claims = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
                self.send(encode(Enforced(Epoch(claims["epoch"]), Revision(claims["rev"]), token_digest(token))))
                self.revision, self.acknowledged_at = claims["rev"], time.monotonic()
                self._is_ready()
                self.swarm.news.set()
            case "authorised":
                if self.reply is not None and not self.reply.done():
                    self.reply.set_result(message.get("reason") or "")
            case "heartbeat":
                self.interval_s = message.get("interval_s") or HEARTBEAT_INTERVAL_S
                self.beat_at = min(self.beat_at, time.monotonic() + self.interval_s)
            case "welcome":
                if self.pin is not None:
                    self.beat()
                if message["revision"] == self.revision:
                    self._is_ready()
            case "goodbye" | "revoked":
                self._fail(ConnectionRefusedError(message["reason"]))

    def _is_ready(self) -> None:
        if self.ready is not None and not self.ready.done():
            self.ready.set_result(None)
            self.up = True
            self.swarm.up += 1
            self.swarm.news.set()

    def _fail(self, error: OSError) -> None:
        if self.ready is not None and not self.ready.done():
            self.ready.set_exception(error)
        self.swarm.complaints[str(error)] = self.swarm.complaints.get(str(error), 0) + 1
        if self.transport is not None:
            self.transport.abort()

    # --- what goes ---------------------------------------------------------------------------------------------------

    def send(self, text: str) -> None:
        """One text frame under a mask of zeros."""
        if self.transport is None:
            raise ConnectionResetError("not connected")
        payload = text.encode()
        size = len(payload)
        head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
        self.transport.write(head + bytes(4) + payload)

    def beat(self) -> None:
        """A heartbeat; a connector's says what it is attached to."""
        self.send(encode(Heartbeat(round(time.time() * 1000), pin=self.pin, relays=self.relays)))
        self.beat_at = time.monotonic() + self.interval_s

    async def ask(self, frame: str) -> float:
        """Asks and returns the seconds until the answer. Raises RuntimeError when it is a refusal."""
        self.reply = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        self.send(frame)
        async with asyncio.timeout(DIAL_DEADLINE_S):
            reason = await self.reply
        if reason:
            raise RuntimeError(f"refused: {reason}")
        return time.perf_counter() - began


class Swarm:
    """All agents of this process; each method named like an order carries it out."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self.port: int = setup["port"]
        self.issuer: str = setup["issuer"]
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.agents = [LightAgent(self, described) for described in setup["agents"]]
        self.news = asyncio.Event()
        self.up = self.lost = 0
        self.complaints: dict[str, int] = {}
        self._gate = asyncio.Semaphore(DIALS_AT_ONCE)
        self._dialling: dict[str, asyncio.Task[None]] = {}

    def dial(self, agent: LightAgent) -> None:
        """Connects an agent, again and again until it is; DIALS_AT_ONCE at a time."""
        if agent.id not in self._dialling:
            task = self._dialling[agent.id] = asyncio.create_task(self._dial(agent))
            task.add_done_callback(lambda _: self._dialling.pop(agent.id, None))

    async def _dial(self, agent: LightAgent) -> None:
        async with self._gate:
            while not agent.up:
                try:
                    await agent.attach()
                except (OSError, TimeoutError) as exc:
                    self.complaints[repr(exc)[:80]] = self.complaints.get(repr(exc)[:80], 0) + 1
                    await asyncio.sleep(RETRY_S)

    async def attach(self, order: dict[str, Any]) -> dict[str, Any]:
        """Waits until everybody is connected, and dials who is not."""
        self.complaints.clear()
        for agent in self.agents:
            if not agent.up:
                self.dial(agent)
        async with asyncio.timeout(DEADLINE_S):
            while self.up < len(self.agents):
                self.news.clear()
                await self.news.wait()
        return {"at": time.monotonic(), "complaints": self.complaints}

    async def authorise(self, order: dict[str, Any]) -> dict[str, Any]:
        """``asking`` agents ask one question after the other for ``seconds``."""
        end = time.monotonic() + order["seconds"]
        numbers, times = count(1), []

        async def one(agent: LightAgent) -> None:
            while time.monotonic() < end:
                times.append(await agent.ask(encode(AuthoriseRequest(next(numbers), ResourceId(order["resource"])))))

        clients = [agent for agent in self.agents if agent.pin is None]
        await asyncio.gather(*(one(agent) for agent in clients[: order["asking"]]))
        return {"times": times}

    async def authorise_once(self, order: dict[str, Any]) -> dict[str, Any]:
        """Every client asks once, ``asking`` of them at a time."""
        clients = enumerate((agent for agent in self.agents if agent.pin is None), 1)
        times: list[float] = []

        async def some() -> None:
            for number, agent in clients:
                times.append(await agent.ask(encode(AuthoriseRequest(number, ResourceId(order["resource"])))))

        await asyncio.gather(*(some() for _ in range(order["asking"])))
        return {"times": times}

    async def enforced(self, order: dict[str, Any]) -> dict[str, Any]:
        """Waits until the named agents have acknowledged ``revision`` or later; says when the last one did."""
        wanted = set(order["agents"])
        agents = [agent for agent in self.agents if agent.id in wanted]
        behind = list(agents)
        async with asyncio.timeout(DEADLINE_S):
            while behind:
                if behind[-1].revision >= order["revision"]:
                    behind.pop()
                    continue
                self.news.clear()
                await self.news.wait()
        return {"at": max(agent.acknowledged_at for agent in agents)}

    async def report(self, order: dict[str, Any]) -> dict[str, Any]:
        """How many are connected, and how many connections were lost since the last report."""
        lost, self.lost = self.lost, 0
        return {"connected": self.up, "lost": lost}

    async def keep_beating(self) -> None:
        """Sends everybody's heartbeats."""
        while True:
            await asyncio.sleep(BEAT_TURN_S)
            now = time.monotonic()
            for agent in self.agents:
                if agent.transport is not None and agent.upgraded and agent.beat_at <= now:
                    agent.beat()


def cpu_seconds() -> float:
    """Of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def main() -> None:
    """Carries out orders until standard input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    swarm = Swarm(json.loads(await reader.readline()))
    beating = asyncio.create_task(swarm.keep_beating())
    while line := await reader.readline():
        order = json.loads(line)
        before = cpu_seconds()
        answer = await getattr(swarm, order["do"])(order)
        print(json.dumps({**answer, "cpu": cpu_seconds() - before}), flush=True)
    beating.cancel()


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    uvloop.run(main())
