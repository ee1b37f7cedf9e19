"""The resolver on real sockets: what goes where, in which order, and how often."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import Any, cast

import dns.message
import dns.rcode
import dns.rrset
import pytest
from client_policy import entry, index

from client.core.addresses import plan_addresses
from client.core.classify import Classifier
from client.core.dns import DnsDecider
from client.core.synthetic import SyntheticPool
from client.daemon import dns_server
from client.daemon.dns_server import DnsServer
from client.daemon.gateway import Gateway
from client.daemon.opening import Opened
from client.daemon.wanted import Wanted
from protocol.acl.model import IPAddress
from protocol.errors import LocalError, RefusedError, RemoteError
from protocol.reasons import Reason
from protocol.streams import StreamAnswer
from runtime.clock import SystemClock
from runtime.tasks import TaskScope


class FakeStream:
    """A dns stream whose connector gives ``reply``."""

    def __init__(self, reply: bytes) -> None:
        self.reply = reply
        self.sent = b""

    def set_receiver(self, receiver: Any) -> None:
        self.receiver = receiver

    def write(self, data: bytes) -> None:
        self.sent += data
        framed = len(self.reply).to_bytes(2, "big") + self.reply
        for start in range(0, len(framed), 7):
            self.receiver.data_received(framed[start : start + 7])

    def consumed(self, count: int) -> None: ...

    def reset(self, reason: Reason) -> None: ...


class FakeGateway:
    """Answers ``ask`` as a connector would; ``error`` refuses. ``connector``: there is a tunnel to it."""

    def __init__(self) -> None:
        self.connector: str | None = None
        self.tunnels = SimpleNamespace(find=self._find)
        self.asked: list[Wanted] = []
        self.answer = StreamAnswer(None, 0, 30, ("v4",))
        self.error: RemoteError | None = None
        self.reply = b""
        self.delay = asyncio.Event()
        self.delay.set()

    def _find(self, _network: object) -> Any:
        return None if self.connector is None else SimpleNamespace(path=SimpleNamespace(connector=self.connector))

    async def ask(self, wanted: Wanted) -> Opened:
        self.asked.append(wanted)
        await self.delay.wait()
        if self.error is not None:
            raise self.error
        return Opened(cast(Any, FakeStream(self.reply)), self.answer)


class World:
    def __init__(self) -> None:
        self.gateway = FakeGateway()
        self.routed: list[tuple[IPAddress, ...]] = []
        self.route_error: LocalError | None = None
        self.upstream_queries: list[tuple[bytes, bool]] = []
        self.upstream_reply = b""
        self.spared: frozenset[str] = frozenset()
        self.classifier = Classifier(SyntheticPool(plan_addresses([])))

    async def route(self, addresses: tuple[IPAddress, ...]) -> None:
        if self.route_error is not None:
            raise self.route_error
        self.routed.append(addresses)

    async def upstream(self, query: bytes, servers: tuple[str, ...], *, tcp: bool, mark: int) -> bytes:
        self.upstream_queries.append((query, tcp))
        if not self.upstream_reply:
            raise RemoteError(Reason.RESOLVER_FAILED)
        return self.upstream_reply


@asynccontextmanager
async def serving(monkeypatch: pytest.MonkeyPatch, *names: str) -> AsyncIterator[tuple[World, DnsServer]]:
    world = World()
    pool = SyntheticPool(plan_addresses([]))
    classifier = world.classifier = Classifier(pool)
    classifier.use(index(*(entry(name, number=number) for number, name in enumerate(names, 1))))
    classifier.set_clock(SystemClock().monotonic(), SystemClock().wall())
    monkeypatch.setattr(dns_server, "forward_query", world.upstream)
    async with TaskScope("test") as scope:
        server = await _started(
            lambda: DnsServer(
                IPv4Address("127.0.0.1"),
                DnsDecider(classifier, pool),
                cast(Gateway, world.gateway),
                upstreams=lambda: ("192.0.2.1",),
                routes=world.route,
                spared=lambda: world.spared,
                clock=SystemClock(),
                scope=scope,
                port=0,
                mark=0,
            )
        )
        try:
            yield world, server
        finally:
            server.stop()


async def _started(make: Callable[[], DnsServer]) -> DnsServer:
    """The kernel chooses the UDP port; somebody else may have the TCP port of that number."""
    for _ in range(20):
        server = make()
        try:
            await server.start()
        except LocalError:
            continue
        return server
    raise AssertionError("no port is free for both")


async def ask_udp(server: DnsServer, query: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    got: asyncio.Future[bytes] = loop.create_future()

    class Once(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            if not got.done():
                got.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(Once, remote_addr=("127.0.0.1", server.port))
    try:
        transport.sendto(query)
        return await asyncio.wait_for(got, 60)
    finally:
        transport.close()


async def ask_tcp(server: DnsServer, *queries: bytes) -> list[bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    replies = []
    for query in queries:
        writer.write(len(query).to_bytes(2, "big") + query)
        length = int.from_bytes(await reader.readexactly(2), "big")
        replies.append(await reader.readexactly(length))
    writer.close()
    await writer.wait_closed()
    return replies


def question(name: str, kind: str = "A") -> bytes:
    return dns.message.make_query(name, kind).to_wire()


async def test_a_resources_name_is_asked_of_the_connector_and_routed_before_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(monkeypatch, "wiki.corp.internal") as (world, server):
        reply = dns.message.from_wire(await ask_udp(server, question("wiki.corp.internal")))
        assert str(reply.answer[0][0]).startswith("100.96.")
        assert [(wanted.kind, wanted.host) for wanted in world.gateway.asked] == [("resolve", "wiki.corp.internal")]
        assert str(world.routed[0][0]) == str(reply.answer[0][0])
        assert world.upstream_queries == []


async def test_an_address_that_cannot_be_routed_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch, "wiki.corp.internal") as (world, server):
        world.route_error = LocalError(Reason.INTERNAL)
        reply = dns.message.from_wire(await ask_udp(server, question("wiki.corp.internal")))
        assert reply.rcode() == dns.rcode.SERVFAIL
        assert reply.answer == []


async def test_many_questions_about_a_name_are_one_at_the_connector(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch, "wiki.corp.internal") as (world, server):
        world.gateway.delay.clear()
        asking = [
            asyncio.get_running_loop().create_task(ask_udp(server, question("wiki.corp.internal", kind)))
            for kind in ("A", "AAAA", "A", "AAAA")
        ]
        async with asyncio.timeout(60):
            while not world.gateway.asked:
                await asyncio.sleep(0.01)
        world.gateway.delay.set()
        await asyncio.gather(*asking)
        assert len(world.gateway.asked) == 1


@pytest.mark.parametrize("tcp", [False, True])
async def test_c9_other_names_go_upstream_and_back_byte_for_byte(monkeypatch: pytest.MonkeyPatch, tcp: bool) -> None:
    async with serving(monkeypatch, "wiki.corp.internal") as (world, server):
        query = question("Public.Example", "TXT")
        world.upstream_reply = query[:2] + b"\x81\x80" + query[4:] + b"odd trailing bytes \xff\x00"
        reply = (await ask_tcp(server, query))[0] if tcp else await ask_udp(server, query)
        assert reply == world.upstream_reply
        assert world.upstream_queries == [(query, tcp)]
        assert world.gateway.asked == []


async def test_a_dead_upstream_is_servfail(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch, "wiki.corp.internal") as (_, server):
        reply = dns.message.from_wire(await ask_udp(server, question("public.example")))
        assert reply.rcode() == dns.rcode.SERVFAIL


@pytest.mark.parametrize("kind", ["A", "AAAA", "HTTPS", "SVCB", "TXT", "MX", "SRV", "ANY", "CNAME", "NS", "SOA", "PTR"])
@pytest.mark.parametrize("name", ["wiki.corp.internal", "WIKI.Corp.Internal."])
async def test_t54_no_kind_of_question_about_a_resource_goes_upstream(
    monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    async with serving(monkeypatch, "wiki.corp.internal") as (world, server):
        query = question(name, kind)
        world.gateway.reply = dns.message.make_response(dns.message.from_wire(query)).to_wire()
        await ask_udp(server, query)
        await ask_tcp(server, query)
        assert world.upstream_queries == []


async def test_t55_without_a_session_a_resources_name_fails_and_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch, "wiki.corp.internal") as (world, server):
        world.classifier.blocked = Reason.SIGN_IN_REQUIRED
        reply = dns.message.from_wire(await ask_udp(server, question("wiki.corp.internal")))
        assert reply.rcode() == dns.rcode.SERVFAIL
        assert (world.upstream_queries, world.gateway.asked) == ([], [])


async def test_the_connectors_txt_answer_comes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch, "wiki.corp.internal") as (world, server):
        query = question("wiki.corp.internal", "TXT")
        reply = dns.message.make_response(dns.message.from_wire(query))
        reply.answer.append(dns.rrset.from_text("wiki.corp.internal.", 60, "IN", "TXT", '"the company wiki"'))
        world.gateway.reply = reply.to_wire()
        told = dns.message.from_wire(await ask_udp(server, query))
        assert "company wiki" in str(told.answer[0])


async def test_an_unreachable_connector_is_servfail(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch, "wiki.corp.internal") as (world, server):
        world.gateway.error = RefusedError(Reason.NO_CONNECTOR)
        reply = dns.message.from_wire(await ask_udp(server, question("wiki.corp.internal")))
        assert reply.rcode() == dns.rcode.SERVFAIL


async def test_t53_the_controllers_own_name_is_never_a_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch, "*.corp.internal") as (world, server):
        world.spared = frozenset({"controller.corp.internal"})
        query = question("Controller.corp.internal")
        world.upstream_reply = query[:2] + b"\x81\x80" + query[4:]
        assert await ask_udp(server, query) == world.upstream_reply
        assert world.gateway.asked == []
        await ask_udp(server, question("xcontroller.corp.internal"))
        assert len(world.gateway.asked) == 1


async def test_several_questions_on_one_tcp_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch, "wiki.corp.internal") as (_, server):
        replies = await ask_tcp(server, question("wiki.corp.internal"), question("wiki.corp.internal", "AAAA"))
        assert len(replies) == 2


async def test_t58_rubbish_is_answered_or_ignored_and_the_server_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(monkeypatch, "wiki.corp.internal") as (_, server):
        for rubbish in (b"", b"\x00", b"\x12\x34\x01\x00" + b"\xff" * 30, bytes(12), b"\x00\x00\x80\x00" + bytes(8)):
            assert await server.answer(rubbish, tcp=False) is None or len(rubbish) >= 12
        assert await ask_udp(server, question("wiki.corp.internal"))


async def test_an_answer_of_a_connector_is_asked_for_once_while_it_is_the_one(monkeypatch: pytest.MonkeyPatch) -> None:
    query = dns.message.make_query("wiki.internal", "TXT")
    reply = dns.message.make_response(query)
    reply.answer.append(dns.rrset.from_text(query.question[0].name, 50, "IN", "TXT", '"v=1"'))
    async with serving(monkeypatch, "wiki.internal") as (world, server):
        gateway = world.gateway
        gateway.reply = reply.to_wire()

        async def count(times: int) -> int:
            for _ in range(times):
                answer = await server.answer(query.to_wire(), tcp=False)
                assert answer is not None
                assert dns.message.from_wire(answer).answer == reply.answer
            asked, gateway.asked = len(gateway.asked), []
            return asked

        assert await count(2) == 2, "without a tunnel nobody knows whom it would be asked of"
        gateway.connector = "con_A"
        assert await count(3) == 1
        gateway.connector = "con_B"
        assert await count(2) == 1
        world.classifier.use(index())
        world.classifier.use(index(entry("other.internal")))
        world.upstream_reply = dns.message.make_response(query).to_wire()
        assert await server.answer(query.to_wire(), tcp=False) == world.upstream_reply, "the policy decides first"
