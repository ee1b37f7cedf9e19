"""Remembered addresses: first to be tried, never the only way, and gone when they are old or the host has moved."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fake_controller import fake_controller
from leg_server import LegServer, leg_server
from tls_material import tls_material

from protocol.errors import RefusedError, RemoteError
from protocol.reasons import Reason
from runtime import agent_dial, sockets, upstream_proxy
from runtime.addresses import NAMES_MAX, REMEMBER_S, AddressMemory
from runtime.agent_dial import Dialler
from runtime.leg import RelayLine, open_line
from runtime.sockets import connect_socket, remember
from runtime.trust import client_context, server_context
from runtime.upstream_proxy import UpstreamProxy


class Now:
    """Seconds that the test sets."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def test_an_address_is_remembered_for_an_hour() -> None:
    now = Now()
    memory = AddressMemory(now)
    memory.store("relay.example", 443, [("192.0.2.1", 443)])
    assert memory.find("relay.example", 443) == (("192.0.2.1", 443),)
    assert memory.find("relay.example", 8443) == ()
    now.seconds += REMEMBER_S
    assert memory.find("relay.example", 443)
    now.seconds += 1
    assert memory.find("relay.example", 443) == ()


def test_what_is_forgotten_is_gone() -> None:
    memory = AddressMemory(Now())
    memory.store("a", 1, [("192.0.2.1", 1)])
    memory.store("a", 2, [("192.0.2.1", 2)])
    memory.store("b", 1, [("192.0.2.2", 1)])
    memory.store("c", 1, [])
    memory.forget("a")
    assert (memory.find("a", 1), memory.find("a", 2), memory.find("c", 1)) == ((), (), ())
    assert memory.find("b", 1)
    memory.clear()
    assert memory.find("b", 1) == ()


def test_the_memory_is_bounded_and_the_oldest_goes() -> None:
    memory = AddressMemory(Now())
    for number in range(NAMES_MAX + 1):
        memory.store(f"name-{number}", 1, [("192.0.2.1", 1)])
    assert memory.find("name-0", 1) == ()
    assert memory.find("name-1", 1)
    assert memory.find(f"name-{NAMES_MAX}", 1)


class Resolver:
    """In the place of the host's."""

    def __init__(self, *addresses: Any) -> None:
        self.addresses = list(addresses)
        self.asked = 0

    async def __call__(self, _host: str, _port: int) -> list[Any]:
        self.asked += 1
        return self.addresses


async def test_the_second_connection_asks_no_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = AddressMemory(Now())
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    async with server:
        address = server.sockets[0].getsockname()
        resolver = Resolver(address)
        monkeypatch.setattr(sockets, "_resolve", resolver)
        for _ in range(2):
            (await connect_socket("relay.example", address[1], deadline_s=30, known=memory)).close()
            remember(memory, "relay.example", address[1], address)
        assert resolver.asked == 1
        memory.clear()
        (await connect_socket("relay.example", address[1], deadline_s=30, known=memory)).close()
        assert resolver.asked == 2


def test_an_address_that_serves_on_and_on_is_asked_for_again_after_an_hour() -> None:
    now = Now()
    memory = AddressMemory(now)
    for _ in range(2):
        remember(memory, "relay.example", 443, ("192.0.2.1", 443))
        now.seconds += REMEMBER_S / 2 + 1
    assert memory.find("relay.example", 443) == ()


def test_a_proxys_address_is_not_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = AddressMemory(Now())
    monkeypatch.setattr(upstream_proxy, "proxy_for", lambda *_: UpstreamProxy("proxy.example", 3128))
    remember(memory, "relay.example", 443, ("192.0.2.8", 3128))
    assert memory.find("relay.example", 443) == ()


async def test_a_server_that_moved_is_found_where_its_name_leads_now(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = AddressMemory(Now())
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    async with server:
        address = server.sockets[0].getsockname()
        memory.store("relay.example", address[1], [("127.0.0.9", address[1])])
        monkeypatch.setattr(sockets, "_resolve", Resolver(address))
        with await connect_socket("relay.example", address[1], deadline_s=30, known=memory) as sock:
            assert sock.getpeername() == address


async def test_an_address_that_swallows_everything_costs_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = AddressMemory(Now())
    with socket.socket() as full:
        # Nobody accepts, and there is no room in the backlog: SYNs get no answer.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.2", port)
        held = [socket.create_connection(("127.0.0.1", port), timeout=5)]
        async with server:
            memory.store("relay.example", port, [("127.0.0.1", port)])
            monkeypatch.setattr(sockets, "_resolve", Resolver(("127.0.0.2", port)))
            with await connect_socket("relay.example", port, deadline_s=30, known=memory) as sock:
                assert sock.getpeername() == ("127.0.0.2", port)
        for each in held:
            each.close()


async def test_nobody_anywhere_is_the_callers_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = AddressMemory(Now())
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        memory.store("relay.example", port, [("127.0.0.1", port)])
        monkeypatch.setattr(sockets, "_resolve", Resolver(("127.0.0.1", port)))
        with pytest.raises(RemoteError):
            await connect_socket("relay.example", port, deadline_s=30, known=memory)


async def test_t15_what_must_be_judged_is_resolved_anew_and_judged_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = AddressMemory(Now())
    memory.store("sink.example", 443, [("127.0.0.1", 443)])
    resolver = Resolver(*[(f"127.0.0.{number}", 443) for number in range(1, 20)])
    monkeypatch.setattr(sockets, "_resolve", resolver)
    judged: list[str] = []

    def admit(address: Any) -> None:
        judged.append(str(address))
        if len(judged) == 19:
            raise RemoteError(Reason.DESTINATION_FORBIDDEN, "not that one")

    with pytest.raises(RemoteError, match="not that one"):
        await connect_socket("sink.example", 443, deadline_s=30, known=memory, admit=admit)
    assert len(judged) == 19, "also those that would not have been tried"


# Whoever answers must have proved who it is

MOVED = "127.0.0.9"


@asynccontextmanager
async def impostor(port: int, kind: str) -> AsyncIterator[None]:
    """Takes TCP at MOVED and says nothing, or resets: a host that hangs, or that belongs to somebody else by now."""
    if kind == "mute":
        with socket.create_server((MOVED, port)):
            yield
    else:
        async with await asyncio.start_server(lambda _r, w: w.transport.abort(), MOVED, port):
            yield


def lead_to(monkeypatch: pytest.MonkeyPatch, *addresses: Any) -> None:
    monkeypatch.setattr(sockets, "_resolve", Resolver(*addresses))


async def dial(memory: AddressMemory, url: str) -> None:
    """One connection to the controller."""
    context = client_context(tls_material().ca_pem)
    dialler = Dialler(context, lambda: "assertion", lambda _: None, addresses=memory)
    (await dialler.dial(url)).transport.abort()


async def line_to(server: LegServer, memory: AddressMemory, *, deadline: float = 30.0) -> RelayLine:
    """One connection to the relay."""
    context = client_context(tls_material().ca_pem)
    return await open_line(host="localhost", port=server.port, context=context, deadline=deadline, known=memory)


@pytest.mark.parametrize("kind", ["mute", "resetting"])
@pytest.mark.parametrize("where", ["remembered", "resolved"])
async def test_f7_an_impostor_at_a_controllers_address_costs_one_attempt(
    monkeypatch: pytest.MonkeyPatch, kind: str, where: str
) -> None:
    memory = AddressMemory(Now())
    material = tls_material()
    async with fake_controller(tls=server_context(material.cert_pem, material.key_pem)) as controller:
        port = int(controller.url.rpartition(":")[2])
        url, good, bad = f"https://localhost:{port}", ("127.0.0.1", port), (MOVED, port)
        async with impostor(port, kind):
            if where == "remembered":
                memory.store("localhost", port, [bad])
            lead_to(monkeypatch, good if where == "remembered" else bad)
            monkeypatch.setattr(agent_dial, "CONNECT_DEADLINE_S", 0.5 if kind == "mute" else 30.0)
            with pytest.raises(RemoteError) as caught:
                await dial(memory, url)
            assert caught.value.reason is Reason.CONTROLLER_UNREACHABLE
            lead_to(monkeypatch, good)
            monkeypatch.setattr(agent_dial, "CONNECT_DEADLINE_S", 30.0)
            await dial(memory, url)
            assert memory.find("localhost", port) == (good,)


@pytest.mark.parametrize("kind", ["mute", "resetting"])
@pytest.mark.parametrize("where", ["remembered", "resolved"])
async def test_f5_an_impostor_at_a_relays_address_costs_one_attempt(
    monkeypatch: pytest.MonkeyPatch, kind: str, where: str
) -> None:
    memory = AddressMemory(Now())
    async with leg_server() as server:
        good, bad = ("127.0.0.1", server.port), (MOVED, server.port)
        async with impostor(server.port, kind):
            if where == "remembered":
                memory.store("localhost", server.port, [bad])
            lead_to(monkeypatch, good if where == "remembered" else bad)
            with pytest.raises(RemoteError) as caught:
                await line_to(server, memory, deadline=0.5 if kind == "mute" else 30.0)
            assert caught.value.reason is (Reason.TIMEOUT if kind == "mute" else Reason.RELAY_UNREACHABLE)
            lead_to(monkeypatch, good)
            (await line_to(server, memory)).close()
            assert memory.find("localhost", server.port) == (good,)


async def test_f5_who_stops_waiting_for_a_mute_relay_does_not_go_there_first_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = AddressMemory(Now())
    async with leg_server() as server, impostor(server.port, "mute"):
        memory.store("localhost", server.port, [(MOVED, server.port)])
        lead_to(monkeypatch, ("127.0.0.1", server.port))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await line_to(server, memory)
        assert memory.find("localhost", server.port) == ()


async def test_f5_a_relay_that_answers_no_request_is_looked_for_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = AddressMemory(Now())
    async with leg_server() as server:
        lead_to(monkeypatch, ("127.0.0.1", server.port))
        server.answer = lambda *_: None
        line = await line_to(server, memory)
        assert memory.find("localhost", server.port)
        with pytest.raises(RemoteError):
            await line.upgrade("/relay/v1/connect", "ticket", deadline=0.2)
        assert memory.find("localhost", server.port) == ()


async def test_a_relay_that_says_no_is_still_the_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = AddressMemory(Now())
    async with leg_server() as server:
        lead_to(monkeypatch, ("127.0.0.1", server.port))
        server.answer = lambda acceptor, _: acceptor.refuse(503, Reason.CONNECTOR_NOT_ATTACHED)
        line = await line_to(server, memory)
        with pytest.raises(RefusedError):
            await line.upgrade("/relay/v1/connect", "ticket", deadline=30)
        assert memory.find("localhost", server.port)
