"""The programs that live in the lab's office and on its internet: HTTP, echo, DNS. Run as ``python -m lab.services ROLE [PORT…]``.

They stand for the other parties of the product (a wiki, a name server, the public web), never for a part of it.
"""

import asyncio
import hashlib
import random
import sys
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from lab.hosts import CLOUD, CONTROLLER_NAME, PUBLIC_DNS, PUBLIC_WEB, RELAY_NAME, SERVERS, SERVERS_V6

BLOCK = random.Random(7).randbytes(1 << 20)
"""Downloads repeat this block, so that both ends can hash any length without storing it."""

OFFICE_ZONE = {
    ("wiki.corp.internal", "A"): [SERVERS["wiki"]],
    ("wiki.corp.internal", "AAAA"): [SERVERS_V6["wiki"]],
    ("six.corp.internal", "AAAA"): [SERVERS_V6["wiki"]],
    ("db.corp.internal", "A"): [SERVERS["db"]],
    ("shell.corp.internal", "A"): [SERVERS["shell"]],
    ("echo.corp.internal", "A"): [SERVERS["echo"]],
    ("bench.corp.internal", "A"): [SERVERS["bench"]],
    ("dead.corp.internal", "A"): ["10.20.0.99"],
    ("app.dev.corp.internal", "A"): [SERVERS["wiki"]],
    ("_http._tcp.corp.internal", "SRV"): ["0 5 80 wiki.corp.internal."],
    ("corp.internal", "MX"): ["10 mail.corp.internal."],
    ("wiki.corp.internal", "TXT"): ['"the company wiki"'],
}
PUBLIC_ZONE = {
    (CONTROLLER_NAME, "A"): [CLOUD],
    (RELAY_NAME, "A"): [CLOUD],
    ("public.example", "A"): [PUBLIC_WEB],
}


def answer(query: dns.message.Message, zone: dict[tuple[str, str], list[str]]) -> dns.message.Message:
    """Answers from a zone: NXDOMAIN for unknown names, NODATA for unknown types."""
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.AA | dns.flags.RA
    question = query.question[0]
    name = question.name.to_text().rstrip(".").lower()
    kind = dns.rdatatype.to_text(question.rdtype)
    records = zone.get((name, kind))
    if records:
        reply.answer.append(dns.rrset.from_text(question.name, 30, "IN", kind, *records))
    elif not any(known == name for known, _ in zone):
        reply.set_rcode(dns.rcode.NXDOMAIN)
    return reply


class DnsUdp(asyncio.DatagramProtocol):
    """A name server over UDP."""

    def __init__(self, zone: dict[tuple[str, str], list[str]], log: Callable[[str], None]) -> None:
        self._zone = zone
        self._log = log

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an isinstance check: asyncio's own transport is no subclass of DatagramTransport in Python 3.11.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        self._log(f"query {query.question[0].to_text()}")
        self._transport.sendto(answer(query, self._zone).to_wire(), addr)


async def serve_dns(address: str, zone: dict[tuple[str, str], list[str]], port: int = 53) -> None:
    """A name server over UDP and TCP."""
    loop = asyncio.get_running_loop()

    def log(line: str) -> None:
        print(line, flush=True)

    async def tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        query = dns.message.from_wire(await reader.readexactly(length))
        log(f"query {query.question[0].to_text()} (tcp)")
        wire = answer(query, zone).to_wire()
        writer.write(len(wire).to_bytes(2, "big") + wire)
        await writer.drain()
        writer.close()

    await loop.create_datagram_endpoint(lambda: DnsUdp(zone, log), (address, port))
    await asyncio.start_server(tcp, address, port)


class UdpEcho(asyncio.DatagramProtocol):
    """Sends every datagram back."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an isinstance check: asyncio's own transport is no subclass of DatagramTransport in Python 3.11.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(data, addr)


class TcpEcho(asyncio.Protocol):
    """Sends every byte back until the other side has finished. A protocol and not a coroutine: benchmarks count its time too."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()


class Http:
    """A small HTTP/1.1 server: a page, endless or sized downloads, hashed uploads."""

    def __init__(self, title: str) -> None:
        self._title = title

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split("\r\n")[0].split(" ", 2)
            headers = {
                name.strip().lower(): value.strip()
                for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
            }
            url = urllib.parse.urlsplit(target)
            await self._route(method, url.path, urllib.parse.parse_qs(url.query), headers, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _route(
        self,
        method: str,
        path: str,
        query: dict[str, list[str]],
        headers: dict[str, str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        size = int(query.get("bytes", ["0"])[0])
        if path == "/blob":
            await _send_blob(writer, size)
        elif path == "/sum":
            await _respond(writer, _blob_hash(size).encode() + b"\n")
        elif path == "/drip":
            await _drip(writer)
        elif method in ("PUT", "POST"):
            if headers.get("expect") == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            digest = hashlib.sha256()
            left = int(headers["content-length"])
            while left:
                data = await reader.read(min(left, 1 << 18))
                if not data:
                    return
                digest.update(data)
                left -= len(data)
            await _respond(writer, digest.hexdigest().encode() + b"\n")
        else:
            peer = writer.get_extra_info("peername")[0]
            await _respond(writer, f"{self._title}: {path} for {peer}\n".encode())


def _blob_hash(size: int) -> str:
    digest = hashlib.sha256()
    for _ in range(size // len(BLOCK)):
        digest.update(BLOCK)
    digest.update(BLOCK[: size % len(BLOCK)])
    return digest.hexdigest()


async def _send_blob(writer: asyncio.StreamWriter, size: int) -> None:
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n".encode())
    left = size
    while left:
        piece = BLOCK[: min(left, len(BLOCK))]
        writer.write(piece)
        await writer.drain()
        left -= len(piece)


async def _drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
    while True:
        writer.write(b"data: tick\n\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def _respond(writer: asyncio.StreamWriter, body: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


async def websocket_echo() -> None:
    """A websocket echo on the wiki's port 8081."""
    from websockets.asyncio.server import ServerConnection, serve

    async def handler(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    await serve(handler, SERVERS["wiki"], 8081)


async def office() -> None:
    """Everything on the office's servers but PostgreSQL and sshd."""
    loop = asyncio.get_running_loop()
    # The office's resolver also knows the internet, as any recursive one does.
    await serve_dns(SERVERS["dns"], OFFICE_ZONE | PUBLIC_ZONE)
    await asyncio.start_server(Http("company wiki"), [SERVERS["wiki"], SERVERS_V6["wiki"]], 80)
    await asyncio.start_server(Http("forbidden service"), SERVERS["wiki"], 8080)
    await websocket_echo()
    await loop.create_server(TcpEcho, [SERVERS["echo"], SERVERS_V6["echo"]], 7)
    for address in (SERVERS["echo"], SERVERS_V6["echo"]):
        await loop.create_datagram_endpoint(UdpEcho, (address, 7))


LOCAL_DNS = "127.20.0.53"
LOCAL_DNS_PORT = 5353
LOCAL_WEB_PORT = 8480
LOCAL_ZONE = {("wiki.corp.internal", "A"): ["127.20.0.10"]}


async def local(dns_port: int = LOCAL_DNS_PORT, web_port: int = LOCAL_WEB_PORT) -> None:
    """What the story without root needs, on loopback and on ports that need no privilege."""
    await serve_dns(LOCAL_DNS, LOCAL_ZONE, dns_port)
    await asyncio.start_server(Http("company wiki"), "127.20.0.10", web_port)
    await asyncio.start_server(Http("public web"), "127.0.0.1", web_port)


async def internet() -> None:
    """The public web and the public name server."""
    await serve_dns(PUBLIC_DNS, PUBLIC_ZONE)
    await asyncio.start_server(Http("public web"), PUBLIC_WEB, 80)


ROLES: dict[str, Callable[..., Awaitable[None]]] = {"office": office, "internet": internet, "local": local}


async def main() -> None:
    """Starts the role named on the command line, on the ports given there, and says when it listens."""
    await ROLES[sys.argv[1]](*(int(port) for port in sys.argv[2:]))
    print("listening", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
