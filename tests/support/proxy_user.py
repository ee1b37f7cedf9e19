"""Programs that use the proxy mode, and a service for them to reach."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from client_world import World

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def service(reply: Callable[[bytes], bytes] = lambda data: data) -> AsyncIterator[tuple[str, int]]:
    """A TCP service that answers every piece."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(reply(data))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()


async def socks(world: World, host: str, port: int) -> tuple[int, Streams]:
    """Connects through SOCKS5; returns the reply code and the streams."""
    reader, writer = await asyncio.open_connection(*world.proxy)
    writer.write(b"\x05\x01\x00")
    assert await reader.readexactly(2) == b"\x05\x00"
    name = host.encode()
    writer.write(b"\x05\x01\x00\x03" + bytes([len(name)]) + name + port.to_bytes(2, "big"))
    reply = await asyncio.wait_for(reader.readexactly(10), 20)
    return reply[1], (reader, writer)


async def connect(world: World, target: str) -> tuple[str, Streams]:
    """Connects through HTTP CONNECT; returns the head of the answer and the streams."""
    reader, writer = await asyncio.open_connection(*world.proxy)
    writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    return head.decode(), (reader, writer)


async def exchange(streams: Streams, data: bytes) -> bytes:
    reader, writer = streams
    writer.write(data)
    return await asyncio.wait_for(reader.readexactly(len(data)), 10)


async def close(*streams: Streams) -> None:
    for _, writer in streams:
        writer.close()
        await writer.wait_closed()
