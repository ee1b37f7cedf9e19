"""A bridge whose stream has no budget from the start must not read its socket (T-40)."""

import asyncio
from typing import Any

from protocol.reasons import Reason
from runtime.bridge import SocketBridge


class FullStream:
    """A stream that takes nothing yet."""

    def __init__(self) -> None:
        self.paused = True
        self.taken = 0
        self.receiver: Any = None

    def set_receiver(self, receiver: Any) -> None:
        self.receiver = receiver
        receiver.pause_writing()

    def write(self, data: bytes) -> None:
        self.taken += len(data)

    def write_eof(self) -> None:
        pass

    def reset(self, reason: Reason) -> None:
        pass


async def test_t40_a_full_stream_keeps_the_socket_unread() -> None:
    block = b"x" * 65_536
    sent = asyncio.Event()

    async def pour(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(400):
            writer.write(block)
        sent.set()
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    async with server:
        stream = FullStream()
        bridge = SocketBridge(stream, side="connector")  # type: ignore[arg-type]
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: bridge, "127.0.0.1", server.sockets[0].getsockname()[1])
        await sent.wait()
        for _ in range(200):
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert stream.taken <= 4 * len(block)
        stream.paused = False
        stream.receiver.resume_writing()
        async with asyncio.timeout(60):
            while stream.taken < 400 * len(block):
                await asyncio.sleep(0.01)
        bridge.abort(Reason.CANCELLED)
