"""An HTTP server that answers with given bytes and remembers what it was asked."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class CannedHttp:
    """``answer`` is sent after each whole request; ``requests`` are head and body of each."""

    answer: bytes
    hang: bool = False
    port: int = 0
    requests: list[tuple[str, bytes]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next((int(line[15:]) for line in head.splitlines() if line.startswith("Content-Length:")), 0)
            self.requests.append((head, await reader.readexactly(length)))
            if self.hang:
                await reader.read()
            writer.write(self.answer)
            await writer.drain()
            writer.write_eof() if writer.can_write_eof() else None
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def canned_http(
    answer: bytes, *, tls: ssl.SSLContext | None = None, hang: bool = False
) -> AsyncIterator[CannedHttp]:
    """Serves on a loopback port."""
    canned = CannedHttp(answer, hang)
    server = await asyncio.start_server(canned.serve, "127.0.0.1", 0, ssl=tls)
    canned.port = server.sockets[0].getsockname()[1]
    try:
        yield canned
    finally:
        server.close()
        await server.wait_closed()


def http_answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    """Returns an answer with a Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body
