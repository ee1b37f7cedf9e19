"""A DNS server on a loopback port whose answers a test decides, query by query."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

Answer = Callable[[dns.message.Message], dns.message.Message | None]


@dataclass
class FakeDns:
    """``zone`` maps (name, type) to rdata texts, or to a callable; ``ttl`` is everybody's; ``asked`` what came.

    Names that are in no entry do not exist; ``failing`` answers SERVFAIL, ``silent`` answers nothing.
    """

    zone: dict[tuple[str, str], list[str] | Callable[[], list[str]]] = field(default_factory=dict)
    ttl: int = 300
    failing: bool = False
    silent: bool = False
    extra: list[dns.rrset.RRset] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0

    def reply(self, query: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0]
        name, kind = question.name.to_text().rstrip("."), question.rdtype.name
        self.asked.append((name, kind))
        if self.silent:
            return None
        reply = dns.message.make_response(query, recursion_available=True)
        if self.failing:
            reply.set_rcode(dns.rcode.SERVFAIL)
            return reply
        if all(known != name for known, _ in self.zone):
            reply.set_rcode(dns.rcode.NXDOMAIN)
            return reply
        found = self.zone.get((name, kind), [])
        texts = found() if callable(found) else found
        if texts:
            reply.answer.append(dns.rrset.from_text(question.name, self.ttl, "IN", kind, *texts))
        reply.additional.extend(self.extra)
        return reply


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, server: FakeDns) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport has the methods of a DatagramTransport but is none.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._server.reply(dns.message.from_wire(data))
        if reply is not None:
            self._transport.sendto(reply.to_wire(), addr)


@asynccontextmanager
async def fake_dns(server: FakeDns | None = None) -> AsyncIterator[FakeDns]:
    """Serves on 127.0.0.1."""
    made = server or FakeDns()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Protocol(made), local_addr=("127.0.0.1", 0)
    )
    made.port = transport.get_extra_info("sockname")[1]
    try:
        yield made
    finally:
        transport.close()
